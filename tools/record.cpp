// Records from outside: finds the process or starts the program, samples it, and makes the profile.
#include "record.hpp"

#include <unistd.h>

#include <cstdint>   // uint64_t
#include <cstdio>    // fputs
#include <optional>  // optional

#include "attach.hpp"
#include "launch.hpp"
#include "output.hpp"
#include "permissions.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/sampler/session.hpp"
#include "recorder.hpp"
#include "recordings.hpp"
#include "say.hpp"
#include "stop_signals.hpp"
#include "summary.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

sampler::Options sampling_options(const RecordOptions& options) {
  sampler::Options wanted;
  wanted.interval = std::chrono::nanoseconds{static_cast<std::int64_t>(1e9 / options.rate)};
  wanted.stop_threads = options.stop_threads;
  wanted.idle = options.shown.idle;
  wanted.gil = options.shown.gil;
  wanted.native = options.native;
  if (options.native) wanted.module_files = std::make_shared<sampler::ModuleFiles>();
  return wanted;
}

/// Samples until it is over. `begin` puts the first process into the session.
template <class Begin>
void run_session(const RecordOptions& options, Recorder& recorder, Begin&& begin) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (options.duration) deadline = std::chrono::steady_clock::now() + *options.duration;
  sampler::Session session{sampling_options(options), recorder, options.subprocesses};
  begin(session);
  session.run(deadline);
  recorder.clear_line();
}

/// Why there is less in the profile than one may have thought.
void give_hints(const RecordOptions& options, const recording::Counters& counters) {
  if (counters.missed_ticks > counters.samples / 10)
    say(std::to_string(counters.missed_ticks) + " moments were missed, because this machine or pyagent was too slow",
        "a lower --rate helps");
  if (counters.samples == 0 && !options.shown.idle)
    say("no samples: its threads waited all the time", "--idle counts waiting threads too");
}

/// Makes one profile of the recordings and removes these. The number of samples in it; nothing, and the recordings are
/// kept, if that was not possible.
std::optional<std::uint64_t> finish(const RecordOptions& options, const Recorder& recorder, const std::string& output) {
  constexpr std::size_t most_functions = 10;
  Recordings recordings;
  std::vector<std::string> problems;
  for (const std::string& path : recorder.recordings())
    if (std::string problem = recordings.open(path); !problem.empty()) problems.push_back(problem);
  profile::ProfileOptions shown = options.shown;
  shown.processes = options.subprocesses;
  std::vector<std::string> remarks;
  const profile::Profile profile = recordings.build_profile(shown, options.symbol_directories, remarks);
  if (problems.empty())
    if (std::string problem = write_profile(profile, output, choose_format(output, options.format)); !problem.empty())
      problems.push_back(problem);
  problems.insert(problems.end(), recordings.damages().begin(), recordings.damages().end());
  for (const std::string& problem : problems) say(problem);
  for (const std::string& path : recorder.recordings())
    if (problems.empty())
      ::unlink(path.c_str());
    else
      say("what was sampled is kept in " + terminal_text(path), "pyagent convert makes a profile of it");
  if (!problems.empty()) return {};

  const auto counters = recordings.counters();
  if (!options.quiet) {
    give_hints(options, counters);
    for (const std::string& remark : remarks) say(terminal_text(remark));
    say(describe_counts(counters) + ": " + terminal_text(output));
    std::fputs(hottest_functions(profile, most_functions).c_str(), stderr);
  }
  return counters.samples;
}

int record_process(const RecordOptions& options) {
  interpreter::FindFailure why;
  auto target = attach_patiently(options.pid, why);
  // A shell may start Python, and it is its children that are wanted.
  const bool is_to_be_watched = !target && target.error().code == Errc::not_found && options.subprocesses;
  if (!target && !is_to_be_watched) return fail(explain_attach_failure(options.pid, target.error(), why));
  const auto command = process::read_command_line(options.pid).value_or({});
  const std::string output = choose_output(options.output, options.format, options.pid, command);
  if (const std::string problem = find_output_problem(output); !problem.empty())
    return fail(problem, "name another file with --output FILE");

  if (const std::string tracer = describe_tracer(options.pid);
      !tracer.empty() && options.stop_threads && !options.quiet)
    say("process " + tracer + " is attached to it, so nothing is stopped: see --nonblocking");
  catch_stop_signals();
  Recorder recorder{output, sampling_options(options), options.pid, options.quiet};
  run_session(options, recorder, [&](sampler::Session& session) {
    if (target)
      session.add(std::move(*target));
    else
      session.watch(options.pid);
  });
  if (recorder.recordings().empty())
    return fail("no Python was seen running in process " + describe_process(options.pid) + ": no profile");
  const auto samples = finish(options, recorder, output);
  const bool may_be_empty = !recorder.has_lost_process() && !recorder.has_failed();
  return samples && (*samples != 0 || may_be_empty) ? 0 : exit_failed;
}

int record_program(const RecordOptions& options) {
  int error_number = 0;
  auto program = Program::prepare(options.command, error_number);
  if (!program) return fail_to_start(options.command, error_number);
  const std::string output = choose_output(options.output, options.format, program->pid(), options.command);
  if (const std::string problem = find_output_problem(output); !problem.empty())
    return fail(problem, "name another file with --output FILE; nothing was started");

  catch_stop_signals();
  pass_stop_signals_on(program->pid());
  if (const int failed = program->start(); failed != 0) return fail_to_start(options.command, failed);
  Recorder recorder{output, sampling_options(options), 0, options.quiet};
  run_session(options, recorder, [&](sampler::Session& session) { session.watch(program->pid()); });
  bool has_failed = recorder.has_failed();
  if (recorder.recordings().empty())
    say("no Python was seen running in '" + terminal_text(options.command[0]) + "': no profile",
        options.subprocesses ? "" : "--subprocesses samples what it starts, too");
  else if (!finish(options, recorder, output))
    has_failed = true;
  const int status = program->wait();
  return status == 0 && has_failed ? exit_failed : status;
}

}  // namespace

int record(const RecordOptions& options) {
  return options.pid != 0 ? record_process(options) : record_program(options);
}

}  // namespace pyagent::tools
