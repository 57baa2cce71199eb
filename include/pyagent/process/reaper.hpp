// Takes notice of threads that ended under our trace, while our own thread can't.
#pragma once

#include <pthread.h>     // pthread_create
#include <signal.h>      // sigfillset
#include <sys/types.h>   // pid_t
#include <sys/wait.h>    // waitid
#include <time.h>        // clock_gettime

#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::process {

/// To live around PTRACE_SEIZE of a thread of process `pid` when others of it are traced already. The call waits for an
/// execve of the process to finish (the kernel's cred_guard_mutex), and the execve waits until the tracer has taken
/// notice of each traced thread that it has ended: without help both would wait for ever. Any thread of the tracer's
/// process may take that notice, so one is made that does if the call takes long.
class Reaper {
 public:
  explicit Reaper(pid_t pid) noexcept : pid_(pid) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    is_running_ = ::pthread_create(&thread_, nullptr, run, this) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;
  ~Reaper() {
    if (!is_running_) return;
    ::pthread_mutex_lock(&mutex_);
    is_wanted_ = false;
    ::pthread_cond_signal(&changed_);
    ::pthread_mutex_unlock(&mutex_);
    ::pthread_join(thread_, nullptr);
  }

 private:
  static void* run(void* self) noexcept {
    static_cast<Reaper*>(self)->wait_and_reap();
    return nullptr;
  }

  void wait_and_reap() noexcept {
    constexpr long pause = 10'000'000;
    ::pthread_mutex_lock(&mutex_);
    while (is_wanted_) {
      timespec until{};
      ::clock_gettime(CLOCK_REALTIME, &until);
      until.tv_nsec += pause;
      until.tv_sec += until.tv_nsec / 1'000'000'000;
      until.tv_nsec %= 1'000'000'000;
      if (::pthread_cond_timedwait(&changed_, &mutex_, &until) != 0 && is_wanted_) reap();
    }
    ::pthread_mutex_unlock(&mutex_);
  }

  /// Threads that we do not trace are left alone by waitid itself. The first is the process: its end is its parent's
  /// to notice, who may be us.
  void reap() const noexcept {
    const auto tasks = read_tasks(pid_);
    if (!tasks) return;
    for (const pid_t tid : *tasks) {
      siginfo_t info{};
      if (tid != pid_) ::waitid(P_PID, static_cast<id_t>(tid), &info, WEXITED | WNOHANG | __WALL);
    }
  }

  pid_t pid_;
  pthread_t thread_{};
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
  bool is_wanted_ = true;
  bool is_running_ = false;
};

}  // namespace pyagent::inline v0::process
