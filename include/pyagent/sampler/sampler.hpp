// Samples the threads of one process.
#pragma once

#include <sys/syscall.h>  // SYS_gettid
#include <time.h>         // clock_getres
#include <unistd.h>       // getpid, syscall

#include <algorithm>  // any_of, clamp, max, min
#include <chrono>     // nanoseconds, steady_clock
#include <cstdint>    // int64_t
#include <optional>   // optional
#include <string>     // string
#include <utility>    // move

#include "pyagent/process/task_files.hpp"
#include "pyagent/profile/build_profile.hpp"
#include "pyagent/sampler/describe_process.hpp"
#include "pyagent/sampler/event_wait.hpp"
#include "pyagent/sampler/memory_recording.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/sampled_thread.hpp"
#include "pyagent/sampler/target.hpp"
#include "pyagent/sampler/thread_list.hpp"
#include "pyagent/sampler/thread_reader.hpp"

namespace pyagent::inline v0::sampler {

/// Samples one process, one round at a time: who calls `sample` gives the rhythm, as Session does.
///
/// A thread that is blocked in the kernel is never stopped, since some system calls would give EINTR: it is read as it
/// stands, and what was read counts if the thread has not run meanwhile. A running one is stopped alone, for as long as
/// one batch of reads takes, or, without Options::stop_threads, read twice.
///
/// One thread must make it, use it and destroy it: ptrace(2) knows threads. Between calls of `sample`, `handle_events`
/// has to be called when SIGCHLD comes, and now and then: a signal that is sent to the target waits for it.
class Sampler {
 public:
  using Clock = std::chrono::steady_clock;

  /// `target` must outlive the sampler.
  Sampler(const Target& target, const Options& options);
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  ~Sampler() { release(); }

  /// Takes a sample of each thread. What ended the process is said once; nothing may be sampled after that.
  std::optional<End> sample(SampleSink& sink);

  /// The Python threads that were there in the last round.
  const ThreadList& threads() const noexcept { return threads_; }

  /// Passes on the signals and ends of threads that are held.
  void handle_events() noexcept {
    process::Leftovers::of_this_thread().handle();
    for (auto& thread : threads_.all())
      if (thread->tracee && !thread->tracee->handle_events()) thread->tracee.reset();
  }
  bool holds_threads() const noexcept {
    return !process::Leftovers::of_this_thread().is_empty() ||
           std::any_of(threads_.all().begin(), threads_.all().end(), [](auto& thread) { return bool{thread->tracee}; });
  }

  /// Lets go of all threads, and gives the sink what was not given yet: waits that go on, and CPU times.
  void finish(SampleSink& sink);

  /// Samples for as long as `duration`, in the rhythm of Options::interval, and makes `profile` what was seen. Gives
  /// why it ended early, if it did.
  std::optional<End> run_for(std::chrono::nanoseconds duration, profile::Profile& profile,
                             const profile::ProfileOptions& options = {});

 private:
  using nanoseconds = std::chrono::nanoseconds;

  bool sample_thread(SampledThread& thread, SampleSink& sink);
  bool sample_running(SampledThread& thread, SampleSink& sink);
  bool sample_blocked(SampledThread& thread, const process::SystemCall& call, SampleSink& sink);
  static bool has_frames(const recording::SampleRecord& record) noexcept {
    return !record.frames.empty() || !record.native.empty();
  }
  void give_running(SampledThread& thread, SampleSink& sink);
  void give_wait(SampledThread& thread, SampleSink& sink);
  void give(SampledThread& thread, recording::SampleRecord& record, nanoseconds until, SampleSink& sink);
  nanoseconds sleep_until(const SampledThread& thread, nanoseconds until) const noexcept;
  void leave_out(SampledThread& thread) const noexcept;
  void release() noexcept;
  void count_failure(Verdict verdict, SampleSink& sink);
  void update_name(SampledThread& thread, SampleSink& sink);
  nanoseconds now() const noexcept { return Clock::now().time_since_epoch(); }

  const Target& target_;
  Options options_;
  ThreadList threads_;
  ThreadReader reader_;
  pid_t caller_ = 0;          ///< our own thread, if it is one of the target's: the kernel shows it in a system call
  nanoseconds tick_{};        ///< the kernel's: run times of running threads are that old
  nanoseconds next_check_{};  ///< of the process itself
  nanoseconds time_{};        ///< of this round
};

inline Sampler::Sampler(const Target& target, const Options& options)
    : target_(target), options_(with_possible_interval(options)), threads_(target, options.native), reader_(target, options) {
  if (target.pid() == ::getpid()) {
    options_.stop_threads = false;  // nobody can trace threads of his own process
    caller_ = static_cast<pid_t>(::syscall(SYS_gettid));
  }
  timespec resolution{};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  tick_ = std::chrono::seconds{resolution.tv_sec} + nanoseconds{resolution.tv_nsec};
}

inline std::optional<End> Sampler::sample(SampleSink& sink) {
  constexpr std::chrono::milliseconds check_interval{100};
  time_ = now();
  bool is_doubtful = !threads_.refresh(time_, sink);
  for (std::size_t i = 0; i < threads_.all().size(); ++i) {
    SampledThread& thread = *threads_.all()[i];
    if (options_.thread != 0 && thread.tid != options_.thread) continue;
    const bool is_listed = !thread.has_ended && (!thread.states.empty() || thread.is_other);
    if (is_listed && !sample_thread(thread, sink)) is_doubtful = true;
  }
  if (is_doubtful) threads_.look_again();
  if (!is_doubtful && time_ < next_check_) return {};
  next_check_ = time_ + check_interval;
  if (sink.status() != Errc::ok) return End::sink_failed;
  if (target_.identity().has_ended()) return End::exited;
  if (target_.identity().has_executed()) return End::executed;
  return threads_.has_failed_long() ? std::optional{End::unreadable} : std::nullopt;
}

/// False when the thread is not what it was: it has ended, or its thread state is another's.
inline bool Sampler::sample_thread(SampledThread& thread, SampleSink& sink) {
  const auto schedule = thread.files.read_schedule();
  if (!schedule) {
    thread.has_ended = true;
    return false;
  }
  const bool has_rested = thread.is_blocked && schedule->timeslices == thread.timeslices;
  if (has_rested) {
    thread.rested_until = time_;
    constexpr std::chrono::milliseconds give_interval{250};
    if (time_ - thread.last_time >= give_interval) give_wait(thread, sink);
    return true;
  }
  if (thread.is_blocked) give_wait(thread, sink);  // the time since then is that of what it does now
  thread.timeslices = schedule->timeslices;
  thread.cpu = nanoseconds{static_cast<std::int64_t>(schedule->ran_ns - thread.first_schedule.ran_ns)};
  thread.delay = nanoseconds{static_cast<std::int64_t>(schedule->waited_ns - thread.first_schedule.waited_ns)};
  thread.parked.frames.clear();
  thread.parked.native.clear();
  const auto call = thread.files.read_system_call();
  thread.is_blocked = call && call->is_blocked() && thread.tid != caller_;
  if (thread.is_blocked && !options_.idle) return true;
  if (options_.gil && !reader_.has_gil(thread)) return leave_out(thread), true;
  return thread.is_blocked ? sample_blocked(thread, *call, sink) : sample_running(thread, sink);
}

inline bool Sampler::sample_running(SampledThread& thread, SampleSink& sink) {
  const Verdict verdict =
      options_.stop_threads ? reader_.read_stopped(thread, sink) : reader_.read_running(thread, sink);
  if (verdict == Verdict::taken)
    give_running(thread, sink);
  else
    count_failure(verdict, sink);
  return verdict == Verdict::taken || verdict == Verdict::changed;
}

/// Reads where the thread waits. How long it waits there is seen in the rounds that follow; the time since the last
/// round goes to this place too.
inline bool Sampler::sample_blocked(SampledThread& thread, const process::SystemCall& call, SampleSink& sink) {
  const Verdict verdict = reader_.read_blocked(thread, call, sink);
  if (verdict == Verdict::taken) {
    thread.interpreter = reader_.interpreter();
    thread.parked = reader_.record();
    thread.parked.cpu = {};
    thread.rested_until = time_;
    give(thread, thread.parked, time_, sink);
    return true;
  }
  thread.is_blocked = false;
  if (verdict != Verdict::changed) count_failure(verdict, sink);  // one that runs again is read in the next round
  return verdict == Verdict::changed;
}

/// A running thread's sample weighs the CPU time it used since its last one. The kernel counts that time at its ticks
/// while the thread runs, so up to a tick may be given in advance. One that has just been woken still stands where it
/// slept, and has not used its time there: its next sample gets it.
inline void Sampler::give_running(SampledThread& thread, SampleSink& sink) {
  recording::SampleRecord& record = reader_.record();
  const nanoseconds elapsed = time_ - thread.last_time;
  const nanoseconds counted = thread.cpu - thread.sampled;
  record.cpu = std::max({counted, std::min(elapsed, counted + tick_), nanoseconds{}});
  if (options_.stop_threads && !reader_.had_processor()) record.cpu = {};
  thread.sampled += record.cpu;
  thread.interpreter = reader_.interpreter();
  give(thread, record, time_, sink);
}

/// Gives the sample of a wait, for as long as it was seen to last.
inline void Sampler::give_wait(SampledThread& thread, SampleSink& sink) {
  if (!options_.idle || !has_frames(thread.parked) || thread.rested_until <= thread.last_time) return;
  give(thread, thread.parked, thread.rested_until, sink);
}

/// Gives `record` the time until `until`, besides its CPU time.
///
/// What it gets is not the time since the thread's last sample: who samples is often held up until the thread that runs
/// in his place goes to sleep, and would give that one's run to the sleep. As the kernel counts it, CPU time and the
/// time it was ready to run go to samples of a running thread, the rest to those of one that is blocked.
inline void Sampler::give(SampledThread& thread, recording::SampleRecord& record, nanoseconds until, SampleSink& sink) {
  nanoseconds wait = thread.delay - thread.delayed;
  if (thread.is_blocked)
    thread.slept += wait = std::max(sleep_until(thread, until), nanoseconds{});
  else
    thread.delayed += wait;
  record.wall = options_.idle ? wait : nanoseconds{};
  record.thread = thread.record.index;
  record.time = until;
  thread.last_time = until;
  if (time_ >= thread.next_name_check) update_name(thread, sink);
  if (!has_frames(record)) return sink.count(recording::Counter::without_python, 1);
  sink.add_sample(record);
}

/// The time that the thread was blocked until `until` and that no sample has got.
inline std::chrono::nanoseconds Sampler::sleep_until(const SampledThread& thread, nanoseconds until) const noexcept {
  return until - thread.first_time - std::max(thread.cpu, thread.sampled) - thread.delay - thread.slept;
}

/// No sample gets the time that has passed.
inline void Sampler::leave_out(SampledThread& thread) const noexcept {
  thread.sampled = std::max(thread.sampled, thread.cpu);
  thread.delayed = thread.delay;
  thread.slept += std::max(sleep_until(thread, time_), nanoseconds{});
  thread.last_time = time_;
}

inline void Sampler::count_failure(Verdict verdict, SampleSink& sink) {
  using recording::Counter;
  const auto count = [&](Counter reason) {
    sink.count(Counter::dropped, 1);
    sink.count(reason, 1);
  };
  switch (verdict) {
    case Verdict::taken:
    case Verdict::not_mine:
    case Verdict::gone:
      return;
    case Verdict::changed:
      return count(Counter::dropped_changed);
    case Verdict::invalid:
      return count(Counter::dropped_invalid);
    case Verdict::unreadable:
      return count(Counter::dropped_unreadable);
  }
}

/// Tells the sink of the thread when it is new or its name has changed; looked at ever more rarely, since it hardly
/// does.
inline void Sampler::update_name(SampledThread& thread, SampleSink& sink) {
  constexpr std::chrono::milliseconds soonest{10};
  constexpr std::chrono::seconds rarest{5};
  thread.name_interval = std::clamp<nanoseconds>(thread.name_interval * 2, soonest, rarest);
  thread.next_name_check = time_ + thread.name_interval;
  std::string name = threads_.read_name(thread, thread.interpreter);
  if (thread.is_known && (name.empty() || name == thread.record.name)) return;
  thread.record.name = std::move(name);
  thread.is_known = true;
  sink.add_thread(thread.record);
}

/// All at once: a thread that executes a program stops only when the others were let go.
inline void Sampler::release() noexcept {
  constexpr std::chrono::milliseconds budget{500};
  for (auto& thread : threads_.all()) thread->tracee.reset();
  process::Leftovers::of_this_thread().drain(budget);
}

inline void Sampler::finish(SampleSink& sink) {
  time_ = now();
  release();
  for (auto& thread : threads_.all()) {
    if (!thread->is_known) continue;
    if (thread->is_blocked) give_wait(*thread, sink);
    threads_.give_cpu(*thread, sink);
  }
}

inline std::optional<End> Sampler::run_for(nanoseconds duration, profile::Profile& profile,
                                           const profile::ProfileOptions& options) {
  MemoryRecording recording{describe_process(target_, options_)};
  EventWait wait;
  std::optional<End> why;
  const auto begin = Clock::now();
  const auto deadline = begin + std::min(duration, Clock::time_point::max() - begin);
  for (auto next = begin; next < deadline && !why;) {
    why = sample(recording);
    const auto now = Clock::now();
    if (now > next + options_.interval) {
      const auto late = (now - next) / options_.interval;
      recording.count(recording::Counter::missed_ticks, static_cast<std::uint64_t>(late));
      next += options_.interval * late;
    }
    next = std::min(next + options_.interval, deadline);
    while (Clock::now() < next)
      wait.wait_until(
          next, [&] { return holds_threads(); }, [&] { handle_events(); });
  }
  finish(recording);
  profile = profile::build_profile(recording, options);
  return why;
}

}  // namespace pyagent::inline v0::sampler
