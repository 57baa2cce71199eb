// Stops sampling and turns the recording into a profile.
#include "finish.hpp"

#include <sched.h>  // sched_yield
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>    // array
#include <cerrno>   // errno
#include <cstdio>   // snprintf
#include <cstring>  // strerror
#include <exception>

#include "engine.hpp"
#include "helper.hpp"
#include "pyagent/elf/mapped_file.hpp"
#include "pyagent/format/file_sink.hpp"
#include "pyagent/format/output_name.hpp"
#include "pyagent/format/raw.hpp"
#include "pyagent/format/speedscope.hpp"
#include "pyagent/process/program_name.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/profile/build_profile.hpp"
#include "pyagent/profile/native_summary.hpp"
#include "pyagent/recording/reader.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/native_options.hpp"
#include "signals.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

using recording::Counter;

/// Disarms all timers and waits until no handler is at work any more.
void stop_handlers() noexcept {
  for (std::uint32_t i = 0; i < slot_limit(); ++i)
    if (Slot* const slot = live_slot(i); slot != nullptr && slot->is_armed.exchange(false)) delete_timers(*slot);
  constexpr int patience = 10'000;
  for (std::uint32_t i = 0; i < slot_limit(); ++i)
    if (Slot* const slot = live_slot(i))
      for (int turn = 0; slot->is_busy.load(std::memory_order_acquire) && turn < patience; ++turn) ::sched_yield();
}

/// How much CPU time each living thread used, beside what was sampled of it.
void write_cpu_times() noexcept {
  for (std::uint32_t i = 0; i < slot_limit(); ++i) {
    Slot* const slot = live_slot(i);
    if (slot == nullptr || slot->samples == 0 || slot->is_busy.exchange(true)) continue;
    if (const std::uint64_t cpu = read_clock(cpu_clock_of(slot->thread.tid)); cpu > slot->first_cpu)
      slot->writer.write_thread_cpu(slot->thread.index, cpu - slot->first_cpu, slot->sampled_cpu);
    slot->is_busy.store(false);
  }
}

std::string seconds(std::uint64_t nanoseconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f s", static_cast<double>(nanoseconds) / 1e9);
  return text.data();
}

/// "1234 samples (1 flagged, 2 dropped)".
std::string describe_counts() {
  const std::uint64_t samples = counted(Counter::samples);
  const std::uint64_t flagged = counted(Counter::suspect) + counted(Counter::unreadable);
  std::string text =
      std::to_string(samples) + (samples == 1 ? " sample" : " samples") + ", " + std::to_string(flagged) + " flagged";
  if (const auto dropped = counted(Counter::dropped)) text += ", " + std::to_string(dropped) + " dropped";
  if (const auto elided = counted(Counter::elided)) text += ", " + std::to_string(elided) + " too deep to keep whole";
  if (const auto threads = counted(Counter::unsampled_threads))
    text += ", " + std::to_string(threads) + " threads without a timer";
  return text;
}

Errc write_profile(const recording::Reader& reader) {
  const Options& options = output().options;
  const profile::ProfileOptions wanted{.function = options.function,
                                       .show_lines = !options.nolineno,
                                       .full_filenames = options.full_filenames,
                                       .threads = options.threads,
                                       .gil = options.gil,
                                       .idle = options.idle,
                                       .native = options.native,
                                       .native_all = options.native_all};
  symbol::CodeSymbols codes;
  symbol::NativeSymbols natives{symbol::native_options(state.pid, options.symbol_directories)};
  const profile::Profile profile = profile::build_profile(reader, wanted, codes, natives);
  format::FileSink sink{output().path};
  const auto written = options.format == Options::Format::raw ? format::write_raw(profile, sink)
                                                              : format::write_speedscope(profile, sink);
  return written.error().code;
}

/// The last line: what was sampled and where it is, or why it is not.
std::string convert(std::uint64_t cpu) {
  const std::string counts = describe_counts() + " of " + seconds(cpu) + " CPU time";
  if (state.is_doubted.load() && counted(Counter::dropped) != 0)
    return "no profile: this version of Python is not known to this pyagent, and its structures did not pass the "
           "self-check (" +
           counts + ")";
  if (!state.is_open.load()) {
    if (const int failed = state.open_error.load())
      return "no profile: " + output().recording + " can't be created: " + message(static_cast<Errc>(failed));
    return "no profile: no Python code was seen running in " + seconds(cpu) + " of CPU time";
  }
  state.spool.trim();
  const std::string kept = "; what was sampled is kept in " + output().recording;
  auto file = elf::MappedFile::open(output().recording.c_str());
  if (!file) return counts + ", but the recording can't be read: " + message(file.error()) + kept;
  const auto reader = recording::Reader::open(file->bytes());
  if (!reader) return counts + ", but the recording can't be read: " + message(reader.error()) + kept;
  if (const Errc failed = write_profile(*reader); failed != Errc::ok)
    return counts + ", but " + output().path + " can't be written: " + message(failed) + kept;
  if (const Error damage = reader->damage(); damage.code != Errc::ok)
    return counts + ": " + output().shown + ", which lacks what stands behind byte " +
           std::to_string(damage.where.value) + " of the recording (" + message(damage) + ")" + kept;
  ::unlink(output().recording.c_str());
  return counts + profile::native_summary(reader->counters()) + ": " + output().shown;
}

bool is_writable_directory(const std::string& directory, std::string& problem) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
      ::access(directory.c_str(), W_OK | X_OK) == 0)
    return true;
  problem = "can't write to " + directory + ": " + (errno != 0 ? std::strerror(errno) : "not a directory") +
            "\n  name a file in another directory with PYAGENT=output=FILE";
  return false;
}

/// "prof.json" with 12 becomes "prof.12.json".
std::string with_number(const std::string& path, int number) {
  const auto slash = path.rfind('/');
  const auto dot = path.find('.', slash == std::string::npos ? 1 : slash + 2);
  const auto at = std::min(dot, path.size());
  return path.substr(0, at) + "." + std::to_string(number) + path.substr(at);
}

/// When this process began, by the clock of files and at most one clock tick late; a program that it was before an exec
/// has the same.
timespec process_start() {
  timespec uptime{}, now{};
  ::clock_gettime(CLOCK_BOOTTIME, &uptime);
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto status = process::read_status(state.pid);
  const double age = static_cast<double>(uptime.tv_sec) + static_cast<double>(uptime.tv_nsec) / 1e9 -
                     static_cast<double>(status ? status->start_ticks + 1 : 0) /
                         static_cast<double>(process::clock_ticks_per_second());
  const double start = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9 - age;
  return {static_cast<time_t>(start),
          static_cast<long>((start - static_cast<double>(static_cast<time_t>(start))) * 1e9)};
}

/// "prof.json" becomes "prof.2.json" when this process wrote the former before it executed the present program.
std::string avoid_own_earlier(const std::string& path) {
  const timespec start = process_start();
  const auto is_own = [&](const std::string& name) {
    struct stat status {};
    return ::stat(name.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mtim.tv_sec > start.tv_sec ||
            (status.st_mtim.tv_sec == start.tv_sec && status.st_mtim.tv_nsec >= start.tv_nsec));
  };
  if (!is_own(path)) return path;
  for (int number = 2;; ++number)
    if (const std::string other = with_number(path, number); !is_own(other)) return other;
}

}  // namespace

Output& output() noexcept {
  alignas(Output) static std::array<std::byte, sizeof(Output)> storage;
  static Output& place = *new (storage.data()) Output;
  return place;
}

void say(const std::string& line) noexcept {
  const std::string text = "pyagent: " + line + "\n";
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

bool prepare_output(const Options& options, bool is_child, std::string& problem) {
  std::string path = options.output;
  if (path.empty()) {
    const auto arguments = process::read_command_line(state.pid).value_or({});
    path = format::default_output_name(process::program_name(arguments), options.format == Options::Format::raw);
  }
  const bool names_pid = path.find("%p") != std::string::npos;
  path = format::replace_pid(path, state.pid);
  if (is_child && !names_pid) path = with_number(path, state.pid);
  path = avoid_own_earlier(path);
  Output& out = output();
  out.options = options;
  out.shown = path;
  out.path = path;
  if (path.front() != '/') {
    std::array<char, 4096> directory{};
    if (::getcwd(directory.data(), directory.size()) == nullptr)
      return problem = std::string{"the working directory is not known: "} + std::strerror(errno), false;
    out.path = std::string{directory.data()} + "/" + path;
  }
  struct stat status {};
  if (::stat(out.path.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    return problem = out.path + " is a directory", false;
  errno = 0;
  const std::string directory = out.path.substr(0, std::max<std::size_t>(out.path.rfind('/'), 1));
  if (!is_writable_directory(directory, problem)) return false;
  // The name is made up new for each process: no file of this name is anybody else's.
  out.recording = out.path + "." + std::to_string(state.pid) + "-" +
                  std::to_string(read_clock(CLOCK_REALTIME) % 1'000'000'000'000) + ".pyagent";
  state.recording_path = out.recording.c_str();
  return true;
}

void finish(Ending ending) noexcept {
  Phase expected = Phase::sampling;
  if (!state.phase.compare_exchange_strong(expected, Phase::finished)) return;
  const int saved_errno = errno;
  stop_handlers();
  if (ending != Ending::duration) stop_helper();
  write_cpu_times();
  const std::uint64_t cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  std::string line;
  try {
    line = convert(cpu);
  } catch (const std::exception&) {
    line = "no profile: out of memory; what was sampled is kept in " + output().recording;
  }
  if (!output().options.quiet) say(line);
  errno = saved_errno;
}

}  // namespace pyagent::agent
