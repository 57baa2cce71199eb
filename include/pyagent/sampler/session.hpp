// Processes that are sampled together: one clock, one thread, each process with a sink of its own.
#pragma once

#include <sys/types.h>  // pid_t

#include <algorithm>  // any_of, clamp
#include <chrono>     // steady_clock
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <memory>     // unique_ptr
#include <optional>   // optional
#include <utility>    // exchange, move
#include <vector>     // vector

#include "pyagent/process/children.hpp"
#include "pyagent/process/identity.hpp"
#include "pyagent/sampler/event_wait.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/sampler.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::inline v0::sampler {

/// One moment at which samples were taken.
struct Tick {
  std::chrono::steady_clock::time_point time;
  std::uint64_t number = 0;   ///< from 1
  std::uint64_t missed = 0;   ///< ticks that were due and not taken, in all
  std::size_t processes = 0;  ///< that are sampled now
  std::size_t watched = 0;    ///< that are waited for: not yet, or no longer, Python
};

/// What the user of a session does at its events. Nothing is stopped while these are called.
class SessionEvents {
 public:
  virtual ~SessionEvents() = default;
  /// A process is about to be sampled; null leaves it alone.
  virtual std::unique_ptr<SampleSink> open(const Target& target) = 0;
  /// A process is not sampled any more; nothing more comes to its sink, which goes away after this.
  virtual void ended(const Target& target, SampleSink& sink, End end) = 0;
  /// A watched process can't be sampled for good: `why` as of attach.
  virtual void refused(pid_t pid, Error error, const interpreter::FindFailure& why) = 0;
  /// After each tick, sampled processes or none; false ends the session.
  virtual bool tick(const Tick& tick) = 0;
  /// A signal handler ran while the session waited for the next tick; false ends the session.
  virtual bool interrupted() { return true; }
};

/// Samples processes until there are none left. One thread must make it, run it and destroy it: ptrace(2) knows
/// threads.
class Session {
 public:
  using Clock = std::chrono::steady_clock;

  /// With `subprocesses`, children of sampled and watched processes are watched too.
  Session(const Options& options, SessionEvents& events, bool subprocesses = false)
      : options_(with_possible_interval(options)), events_(events), subprocesses_(subprocesses) {}

  /// Samples this process from the next tick on.
  void add(Target target);
  /// Samples this process as soon as an interpreter runs in it, and again after each exec; a process that ends is
  /// forgotten.
  void watch(pid_t pid);
  /// Until `deadline`, or until the events say so, or until no process is left. Then no thread is held any more.
  void run(std::optional<Clock::time_point> deadline);

 private:
  /// A process that is sampled.
  struct Sampled {
    explicit Sampled(Target its_target) : target(std::make_unique<Target>(std::move(its_target))) {}
    std::unique_ptr<Target> target;
    std::unique_ptr<SampleSink> sink;
    std::unique_ptr<Sampler> sampler;
  };
  /// A process that may become one.
  struct Watched {
    process::Identity identity;
    Clock::time_point next_try;
    Clock::duration pause;
  };

  void end(Sampled& sampled, End why);
  void try_watched(Clock::time_point now);
  void find_children();
  bool is_known(pid_t pid) const;
  void count_missed(std::uint64_t ticks);
  bool wait(EventWait& wait, Clock::time_point deadline);

  Options options_;
  SessionEvents& events_;
  bool subprocesses_;
  std::vector<Sampled> sampled_;
  std::vector<Watched> watched_;
  std::vector<pid_t> left_alone_;  // refused, or not wanted: not watched again
  Tick tick_;
};

inline void Session::add(Target target) {
  Sampled sampled{std::move(target)};
  sampled.sink = events_.open(*sampled.target);
  if (sampled.sink == nullptr) return left_alone_.push_back(sampled.target->pid());
  sampled.sampler = std::make_unique<Sampler>(*sampled.target, options_);
  sampled_.push_back(std::move(sampled));
}

inline void Session::watch(pid_t pid) {
  if (is_known(pid)) return;
  if (auto identity = process::Identity::open(pid)) watched_.push_back({std::move(*identity), {}, {}});
}

inline bool Session::is_known(pid_t pid) const {
  const auto is_it = [pid](const auto& entry) { return entry == pid; };
  // One without a sampler is at its end, and may be watched from now on.
  const auto is_sampled = [&](const Sampled& entry) { return entry.sampler != nullptr && is_it(entry.target->pid()); };
  return std::any_of(sampled_.begin(), sampled_.end(), is_sampled) ||
         std::any_of(watched_.begin(), watched_.end(), [&](auto& entry) { return is_it(entry.identity.pid()); }) ||
         std::any_of(left_alone_.begin(), left_alone_.end(), is_it);
}

inline void Session::run(std::optional<Clock::time_point> deadline) {
  EventWait event_wait;
  constexpr std::chrono::milliseconds children_interval{20};
  auto next = Clock::now();
  auto next_children = next;
  for (bool wanted = true; wanted;) {
    tick_.time = Clock::now();
    ++tick_.number;
    if (tick_.time >= next_children && subprocesses_) {
      find_children();
      next_children = tick_.time + children_interval;
    }
    try_watched(tick_.time);
    for (std::size_t i = 0; i < sampled_.size();) {
      const auto why = sampled_[i].sampler->sample(*sampled_[i].sink);
      if (!why) {
        ++i;
        continue;
      }
      const pid_t pid = sampled_[i].target->pid();
      end(sampled_[i], *why);
      sampled_.erase(sampled_.begin() + static_cast<std::ptrdiff_t>(i));
      if (*why == End::executed) watch(pid);
    }
    tick_.processes = sampled_.size();
    tick_.watched = watched_.size();
    wanted = events_.tick(tick_) && !(sampled_.empty() && watched_.empty());
    next += options_.interval;
    if (const auto now = Clock::now(); now > next) {
      const auto late = static_cast<std::uint64_t>((now - next) / options_.interval);
      count_missed(late);
      next += options_.interval * late;
    }
    if (deadline && next >= *deadline) wanted = false, next = *deadline;
    if (!wait(event_wait, next)) wanted = false;
  }
  for (Sampled& entry : std::exchange(sampled_, {}))
    end(entry, End::stopped);  // the events may add others for the next run
}

/// False when a signal came and the events want no more.
inline bool Session::wait(EventWait& event_wait, Clock::time_point deadline) {
  const auto holds = [&] {
    return !process::Leftovers::of_this_thread().is_empty() ||
           std::any_of(sampled_.begin(), sampled_.end(), [](auto& entry) { return entry.sampler->holds_threads(); });
  };
  const auto handle = [&] {
    process::Leftovers::of_this_thread().handle();
    for (Sampled& entry : sampled_) entry.sampler->handle_events();
  };
  while (Clock::now() < deadline)
    if (event_wait.wait_until(deadline, holds, handle) == Wake::interrupted && !events_.interrupted()) return false;
  return true;
}

inline void Session::count_missed(std::uint64_t ticks) {
  tick_.missed += ticks;
  if (ticks != 0)
    for (Sampled& entry : sampled_) entry.sink->count(recording::Counter::missed_ticks, ticks);
}

inline void Session::end(Sampled& sampled, End why) {
  sampled.sampler->finish(*sampled.sink);
  sampled.sampler.reset();
  events_.ended(*sampled.target, *sampled.sink, why);
}

/// Looks for interpreters in the watched processes, in each at growing intervals: a shell may never become one.
inline void Session::try_watched(Clock::time_point now) {
  constexpr std::chrono::milliseconds first{1}, longest{100};
  for (std::size_t i = 0; i < watched_.size();) {
    Watched& entry = watched_[i];
    const auto forget = [&] { watched_.erase(watched_.begin() + static_cast<std::ptrdiff_t>(i)); };
    const pid_t pid = entry.identity.pid();
    if (entry.identity.has_ended()) {
      forget();
      continue;
    }
    if (now < entry.next_try) {
      ++i;
      continue;
    }
    if (entry.identity.has_executed())
      if (auto identity = process::Identity::open(pid)) entry = {std::move(*identity), {}, {}};
    interpreter::FindFailure why;
    auto target = attach(pid, &why);
    if (target) {
      forget();
      add(std::move(*target));
      continue;
    }
    const Errc code = target.error().code;
    if (code == Errc::not_permitted || code == Errc::unsupported_version || code == Errc::unsupported_build) {
      forget();
      left_alone_.push_back(pid);
      events_.refused(pid, target.error(), why);
      continue;
    }
    entry.pause = std::clamp<Clock::duration>(entry.pause * 2, first, longest);
    entry.next_try = now + entry.pause;
    ++i;
  }
}

inline void Session::find_children() {
  std::vector<pid_t> parents;
  for (const Sampled& entry : sampled_) parents.push_back(entry.target->pid());
  for (const Watched& entry : watched_) parents.push_back(entry.identity.pid());
  for (const pid_t parent : parents)
    for (const pid_t child : process::read_children(parent)) watch(child);
}

}  // namespace pyagent::inline v0::sampler
