// A process to look at from outside: forked from the test, with counters in memory that both see.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <new>

#include "support/catch.hpp"

namespace test {

/// What a child and its test tell each other; all zero at first.
struct Counters {
  std::array<std::atomic<long>, 24> at{};
  std::atomic<long>& operator[](std::size_t i) { return at[i]; }
};

/// Runs `body(counters)` in a process of its own, which dies with this object or with the test.
class ChildProcess {
 public:
  template <class Body>
  explicit ChildProcess(Body body)
      : counters_(new (::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                      Counters) {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (const int caught_by_catch : {SIGINT, SIGILL, SIGFPE, SIGSEGV, SIGTERM, SIGABRT})
        ::signal(caught_by_catch, SIG_DFL);
      body(*counters_);
      ::_exit(0);
    }
    REQUIRE(pid_ > 0);
  }
  ChildProcess(const ChildProcess&) = delete;
  ~ChildProcess() {
    if (pid_ > 0) end();
    ::munmap(counters_, sizeof(Counters));
  }

  pid_t pid() const { return pid_; }
  Counters& counters() { return *counters_; }
  std::atomic<long>& operator[](std::size_t i) { return (*counters_)[i]; }

  /// Waits for its end, and gives the status of waitpid.
  int wait() {
    int status = -1;
    if (::waitpid(pid_, &status, __WALL) != pid_) status = -1;
    pid_ = 0;
    return status;
  }
  int end() {
    ::kill(pid_, SIGKILL);
    return wait();
  }

 private:
  Counters* counters_;
  pid_t pid_ = 0;
};

inline void sleep_for(std::chrono::nanoseconds time) {
  const timespec pause{static_cast<time_t>(time.count() / 1'000'000'000),
                       static_cast<long>(time.count() % 1'000'000'000)};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
}

/// Calls `is_so` until it is, at most for some seconds; what it gave last.
template <class Condition>
bool comes_true(Condition is_so) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{5};
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > end) return is_so();
    sleep_for(std::chrono::microseconds{100});
  }
  return true;
}

}  // namespace test
