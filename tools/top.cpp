// Samples a process and shows the table, on a screen or line by line.
#include "top.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>  // any_of
#include <cstdio>     // fputs
#include <optional>   // optional
#include <string>     // string, to_string
#include <thread>     // this_thread
#include <utility>    // move
#include <vector>     // vector

#include "launch.hpp"
#include "permissions.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/sampler/describe_process.hpp"
#include "pyagent/sampler/session.hpp"
#include "pyagent/symbol/native_options.hpp"
#include "say.hpp"
#include "screen.hpp"
#include "stop_signals.hpp"
#include "terminal_text.hpp"
#include "top_sink.hpp"
#include "top_table.hpp"
#include "top_view.hpp"

namespace pyagent::tools {
namespace {

using Clock = std::chrono::steady_clock;

sampler::Options sampling_options(const TopOptions& options) {
  sampler::Options wanted;
  wanted.interval = std::chrono::nanoseconds{static_cast<std::int64_t>(1e9 / options.rate)};
  wanted.stop_threads = options.stop_threads;
  wanted.idle = options.idle;
  wanted.gil = options.gil;
  wanted.native = options.native;
  if (options.native) wanted.module_files = std::make_shared<sampler::ModuleFiles>();
  return wanted;
}

/// The arguments, the program without its directory.
std::string command_text(std::vector<std::string> command, const std::string& executable) {
  constexpr std::size_t most = 4096;
  if (command.empty()) command.push_back(executable);
  command[0].erase(0, command[0].rfind('/') + 1);  // npos + 1 is 0
  std::string text;
  for (const std::string& argument : command)
    if (text.size() < most) text += (text.empty() ? "" : " ") + argument.substr(0, most);
  return terminal_text(text);
}

/// What happens while sampling, and what is shown of it.
class Top : public sampler::SessionEvents {
 public:
  /// A process that was sampled when the last session ended.
  struct Live {
    pid_t pid;
    std::uint64_t start_ticks;
  };
  /// Why there is nothing to do any more.
  enum class Outcome { none, quit, suspended };

  Top(const TopOptions& options, pid_t pid, Screen* screen)
      : sampling_(sampling_options(options)),
        delay_(std::chrono::nanoseconds{static_cast<std::int64_t>(options.delay * 1e9)}),
        names_{options.function, options.full_filenames, terminal_text, options.native_all},
        symbol_directories_(options.symbol_directories),
        screen_(screen) {
    view_.pid = pid;
    view_.idle = options.idle;
    view_.lines = options.function;  // each of a function's lines is its first one then
  }

  std::unique_ptr<sampler::SampleSink> open(const sampler::Target& target) override;
  void ended(const sampler::Target& target, sampler::SampleSink& sink, sampler::End end) override;
  void refused(pid_t pid, Error error, const interpreter::FindFailure& why) override;
  bool tick(const sampler::Tick& tick) override;
  bool interrupted() override { return handle_user(); }

  /// Makes ready for another session, after the one that was suspended.
  std::vector<Live> resume();
  /// Counts what was sampled since the last interval.
  void finish() { table_.finish(Clock::now() - interval_begin_); }

  Outcome outcome() const noexcept { return outcome_; }
  bool was_opened() const noexcept { return !view_.command.empty(); }
  std::uint64_t samples() const noexcept { return table_.all().samples; }
  const std::vector<std::string>& problems() const noexcept { return problems_; }
  /// The process that was asked for is there, but can't be read any more; `problems` says so.
  bool is_lost() const noexcept { return is_lost_; }
  std::string plain_text() const { return render_plain(table_, view_, most_plain_rows); }

 private:
  static constexpr std::size_t most_plain_rows = 30;

  bool handle_user();
  void handle_key(int pressed);
  void scroll(std::ptrdiff_t rows);
  void finish_interval(Clock::time_point now);
  void show();
  void draw();

  TopTable table_;
  TopView view_;
  sampler::Options sampling_;
  Clock::duration delay_;
  TopNames names_;
  std::vector<std::string> symbol_directories_;
  Screen* screen_;
  Clock::time_point interval_begin_{};
  std::vector<Live> live_;
  std::vector<std::string> problems_;
  std::string event_;        ///< what happened last
  int event_intervals_ = 0;  ///< for how long it is shown
  bool is_paused_ = false;
  bool is_lost_ = false;
  Outcome outcome_ = Outcome::none;
};

std::unique_ptr<sampler::SampleSink> Top::open(const sampler::Target& target) {
  const bool is_known =
      std::any_of(live_.begin(), live_.end(), [&](const Live& live) { return live.pid == target.pid(); });
  if (!is_known) live_.push_back({target.pid(), target.identity().start_ticks()});
  if (!was_opened() || target.pid() == view_.pid) {
    const auto process = sampler::describe_process(target, sampling_);
    view_.command = command_text(process.command, process.executable);
    view_.python_version = process.python_version;
    view_.pid = process.pid;
  }
  return std::make_unique<TopSink>(table_, names_, symbol::native_options(target.pid(), symbol_directories_));
}

void Top::ended(const sampler::Target& target, sampler::SampleSink&, sampler::End end) {
  if (end == sampler::End::stopped) return;
  std::erase_if(live_, [&](const Live& live) { return live.pid == target.pid(); });
  event_ = "Process " + std::to_string(target.pid());
  event_intervals_ = 3;
  switch (end) {
    case sampler::End::stopped:
    case sampler::End::exited:
      event_ += " has ended";
      return;
    case sampler::End::executed:
      event_ += " runs another program now";
      return;
    case sampler::End::sink_failed:
    case sampler::End::unreadable:
      break;
  }
  event_ += " can't be read any more";
  if (target.pid() == view_.pid) is_lost_ = true;
  problems_.push_back("the memory of process " + std::to_string(target.pid()) + " can't be read any more");
}

void Top::refused(pid_t pid, Error error, const interpreter::FindFailure& why) {
  problems_.push_back(explain_attach_failure(pid, error, why));
  event_ = "Process " + std::to_string(pid) + " can't be sampled";
  event_intervals_ = 3;
}

bool Top::tick(const sampler::Tick& tick) {
  if (interval_begin_ == Clock::time_point{}) {
    interval_begin_ = tick.time;
    show();
  }
  table_.add_tick();
  view_.processes = tick.processes;
  if (!handle_user()) return false;
  if (!is_paused_ && tick.time - interval_begin_ >= delay_) finish_interval(tick.time);
  return true;
}

void Top::finish_interval(Clock::time_point now) {
  table_.finish_interval(now - interval_begin_);
  interval_begin_ = now;
  view_.threads = 0;
  for (const Live& live : live_)
    if (const auto status = process::read_status(live.pid)) view_.threads += status->threads;
  view_.notice.clear();
  if (event_intervals_ > 0 && event_intervals_-- > 0)
    view_.notice = event_;
  else if (table_.recent().samples == 0 && !live_.empty() && !view_.idle)
    view_.notice = "All threads wait; with --idle they are shown too";
  show();
}

/// False when the user wants something that ends the session.
bool Top::handle_user() {
  if (screen_ != nullptr) {
    while (const auto key = screen_->read_key()) handle_key(*key);
    if (screen_->take_change()) draw();
  }
  if (is_stop_asked() || is_quit_asked()) outcome_ = Outcome::quit;
  if (outcome_ == Outcome::none && is_suspension_asked()) outcome_ = Outcome::suspended;
  return outcome_ == Outcome::none;
}

void Top::handle_key(int pressed) {
  constexpr std::ptrdiff_t all_rows = 1'000'000;
  const auto page =
      static_cast<std::ptrdiff_t>(screen_->size().height) - static_cast<std::ptrdiff_t>(top_header_height) - 1;
  const bool was_help = std::exchange(view_.help, false);
  switch (pressed) {
    case key::up:
    case 'k':
      scroll(-1);
      break;
    case key::down:
    case 'j':
      scroll(1);
      break;
    case key::page_up:
      scroll(-page);
      break;
    case key::page_down:
      scroll(page);
      break;
    case key::home:
      scroll(-all_rows);
      break;
    case key::end:
      scroll(all_rows);
      break;
    case '1':
    case '2':
    case '3':
    case '4':
      view_.sort = static_cast<TopColumn>(pressed - '1');
      view_.first_row = 0;
      break;
    case 'l':
    case 'L':
      view_.lines = !view_.lines;
      view_.first_row = 0;
      break;
    case 'r':
    case 'R':
      table_.reset();
      interval_begin_ = Clock::now();
      break;
    case ' ':
      is_paused_ = !is_paused_;
      view_.notice = is_paused_ ? "Paused; space goes on" : "";
      break;
    case '?':
    case 'h':
    case 'H':
      view_.help = !was_help;
      break;
    case 'q':
    case 'Q':
    case '\x03':  // where ^C sends no signal
    case key::hang_up:
      outcome_ = Outcome::quit;
      return;
    default:
      break;
  }
  draw();
}

void Top::scroll(std::ptrdiff_t rows) {
  const auto first = static_cast<std::ptrdiff_t>(view_.first_row) + rows;
  view_.first_row = first > 0 ? static_cast<std::size_t>(first) : 0;
}

void Top::show() {
  if (screen_ != nullptr) return draw();
  if (table_.elapsed().count() == 0) return;  // nothing to tell yet
  const bool is_written = std::fputs((plain_text() + '\n').c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (!is_written) outcome_ = Outcome::quit;
}

void Top::draw() {
  const Screen::Size size = screen_->size();
  screen_->draw(render_screen(table_, view_, size.width, size.height));
}

std::vector<Top::Live> Top::resume() {
  finish();
  interval_begin_ = {};
  outcome_ = Outcome::none;
  return std::exchange(live_, {});
}

// --- a program that is started here ---

/// While this object lives, what a new process would have of our terminal is /dev/null: on a screen of ours there is no
/// room for its output, and keys are ours. The tables alone go to standard output.
class HiddenTerminal {
 public:
  explicit HiddenTerminal(bool has_screen) {
    hide(STDOUT_FILENO, true);
    hide(STDIN_FILENO, has_screen && ::isatty(STDIN_FILENO) == 1);
    hide(STDERR_FILENO, has_screen && ::isatty(STDERR_FILENO) == 1);
  }
  HiddenTerminal(const HiddenTerminal&) = delete;
  HiddenTerminal& operator=(const HiddenTerminal&) = delete;
  ~HiddenTerminal() {
    for (int number = 0; number < 3; ++number)
      if (kept_[number]) ::dup2(kept_[number].number(), number);
  }

 private:
  void hide(int number, bool is_wanted) {
    const process::FileDescriptor null{is_wanted ? ::open("/dev/null", O_RDWR | O_CLOEXEC) : -1};
    if (!null) return;
    kept_[number] = process::FileDescriptor{::fcntl(number, F_DUPFD_CLOEXEC, 3)};
    if (kept_[number]) ::dup2(null.number(), number);
  }

  process::FileDescriptor kept_[3];
};

/// Whether our child `pid` has ended. Leaves it to be waited for.
bool has_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/// Nobody would see what the program goes on to do.
void end_program(Program& program) {
  constexpr std::chrono::seconds patience{2};
  const auto deadline = Clock::now() + patience;
  if (!has_ended(program.pid())) ::kill(program.pid(), SIGTERM);
  while (!has_ended(program.pid()) && Clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  if (!has_ended(program.pid())) ::kill(program.pid(), SIGKILL);
  program.wait();
}

// --- all of it ---

/// Puts those processes of the last session that are still the same into the next one.
void add_again(sampler::Session& session, const std::vector<Top::Live>& processes, pid_t first) {
  for (const Top::Live& live : processes) {
    auto target = sampler::attach(live.pid);
    if (target && target->identity().start_ticks() == live.start_ticks) session.add(std::move(*target));
  }
  if (!std::any_of(processes.begin(), processes.end(), [&](const Top::Live& live) { return live.pid == first; }))
    session.watch(first);
}

/// Samples until it is over. `begin` puts the first process, `pid`, into the session.
template <class Begin>
void run_sessions(const TopOptions& options, pid_t pid, Top& events, Screen* screen, Begin&& begin) {
  {
    sampler::Session session{sampling_options(options), events, options.subprocesses};
    begin(session);
    session.run({});
  }
  while (events.outcome() == Top::Outcome::suspended) {
    // No thread is held now: signals that were sent to one would wait until we are continued.
    const auto processes = events.resume();
    if (screen != nullptr) screen->leave();
    suspend();
    if (screen != nullptr) screen->enter();
    sampler::Session session{sampling_options(options), events, options.subprocesses};
    add_again(session, processes, pid);
    session.run({});
  }
}

/// Shows process `pid`, put into the session by `begin`, to the end.
template <class Begin>
int show_process(const TopOptions& options, pid_t pid, Program* program, Begin&& begin) {
  std::optional<Screen> screen;
  if (Screen::is_possible()) {
    constexpr std::chrono::milliseconds soon{50};
    if (sampling_options(options).interval > soon) interrupt_every(soon);  // for keys
    screen.emplace();
  }
  const bool had_screen = screen.has_value();
  Top events{options, pid, had_screen ? &*screen : nullptr};
  run_sessions(options, pid, events, had_screen ? &*screen : nullptr, begin);
  screen.reset();

  const bool was_quit = events.outcome() == Top::Outcome::quit;
  if (program != nullptr) end_program(*program);
  events.finish();
  if (events.was_opened() && !(was_quit && had_screen)) std::fputs(events.plain_text().c_str(), stdout);
  std::fflush(stdout);
  for (const std::string& problem : events.problems()) say(problem);
  if (was_quit) return 0;
  if (events.is_lost()) return exit_failed;
  if (events.was_opened()) return say("process " + std::to_string(pid) + " has ended"), 0;
  if (!events.problems().empty()) return exit_failed;
  return fail("no Python was seen running in process " + std::to_string(pid),
              options.subprocesses ? "" : "--subprocesses shows what it starts, too");
}

int top_process(const TopOptions& options) {
  interpreter::FindFailure why;
  auto target = sampler::attach(options.pid, &why);
  const bool is_to_be_watched = !target && target.error().code == Errc::not_found && options.subprocesses;
  if (!target && !is_to_be_watched) return fail(explain_attach_failure(options.pid, target.error(), why));
  catch_stop_signals();
  catch_suspension();
  return show_process(options, options.pid, nullptr, [&](sampler::Session& session) {
    if (target)
      session.add(std::move(*target));
    else
      session.watch(options.pid);
  });
}

int top_program(const TopOptions& options) {
  int error_number = 0;
  std::optional<Program> program = [&] {
    const HiddenTerminal hidden{Screen::is_possible()};
    return Program::prepare(options.command, error_number);
  }();
  if (!program) return fail_to_start(options.command, error_number);
  catch_stop_signals();
  catch_suspension();
  if (const int failed = program->start(); failed != 0) return fail_to_start(options.command, failed);
  return show_process(options, program->pid(), &*program,
                      [&](sampler::Session& session) { session.watch(program->pid()); });
}

}  // namespace

int top(const TopOptions& options) { return options.pid != 0 ? top_process(options) : top_program(options); }

}  // namespace pyagent::tools
