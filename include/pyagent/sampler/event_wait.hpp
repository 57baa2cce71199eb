// Waits for the next sample, and wakes when a thread that is held reports something.
#pragma once

#include <signal.h>  // sigtimedwait, kill
#include <time.h>    // clock_nanosleep
#include <unistd.h>  // getpid

#include <algorithm>  // min
#include <cerrno>     // errno
#include <chrono>     // steady_clock

#include "pyagent/sampler/short_slices.hpp"

namespace pyagent::inline v0::sampler {

/// What ended a wait.
enum class Wake : unsigned char {
  time,         ///< the time has come
  interrupted,  ///< a signal handler of ours ran
};

/// A signal that is sent to a thread under ptrace waits until its tracer passes it on, so the tracer must not simply
/// sleep. The kernel says by SIGCHLD that there is something to pass on; while this object lives, SIGCHLD is blocked in
/// the thread that made it and taken from the queue. What was meant for somebody else, a child of the program that uses
/// this library, is sent again at the end.
class EventWait {
 public:
  using Clock = std::chrono::steady_clock;

  EventWait() noexcept {
    ::sigemptyset(&child_);
    ::sigaddset(&child_, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &child_, &before_);
  }
  EventWait(const EventWait&) = delete;
  EventWait& operator=(const EventWait&) = delete;
  ~EventWait() {
    // Who blocks it takes it from the queue, handler or not.
    const bool was_blocked = ::sigismember(&before_, SIGCHLD) == 1;
    if (has_taken_ && (was_blocked || has_handler())) ::kill(::getpid(), SIGCHLD);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  /// Waits until `deadline`. While `holds_threads()`, calls `handle()` whenever a thread has reported something.
  template <class Holds, class Handle>
  Wake wait_until(Clock::time_point deadline, Holds&& holds_threads, Handle&& handle) {
    if (!holds_threads()) return sleep_until(deadline);
    // Another thread that does not block SIGCHLD may be given it in our place: then reports are found by looking.
    constexpr std::chrono::milliseconds longest{5};
    for (auto now = Clock::now(); now < deadline; now = Clock::now()) {
      const auto left = std::min<std::chrono::nanoseconds>(deadline - now, longest);
      const timespec timeout{0, static_cast<long>(left.count())};
      siginfo_t info{};
      const int signal = ::sigtimedwait(&child_, &info, &timeout);
      if (signal == SIGCHLD && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) has_taken_ = true;
      if (signal < 0 && errno == EINTR) return Wake::interrupted;
      handle();
    }
    return Wake::time;
  }

 private:
  static Wake sleep_until(Clock::time_point deadline) noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
    const timespec time{static_cast<time_t>(since / 1'000'000'000), static_cast<long>(since % 1'000'000'000)};
    return ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR ? Wake::interrupted : Wake::time;
  }

  static bool has_handler() noexcept {
    struct sigaction action {};
    return ::sigaction(SIGCHLD, nullptr, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
  }

  sigset_t child_{};
  sigset_t before_{};
  bool has_taken_ = false;
  ShortSlices short_slices_;
};

}  // namespace pyagent::inline v0::sampler
