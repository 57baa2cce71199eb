// Waiting for the next sample: what ends it, and whose SIGCHLD it takes.
#include "pyagent/sampler/event_wait.hpp"

#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace std::chrono_literals;
using pyagent::sampler::EventWait;
using pyagent::sampler::Wake;
using Clock = EventWait::Clock;

namespace {

std::atomic<int> handled{0};

/// Counts one kind of signal while it lives.
class Handler {
 public:
  explicit Handler(
      int signal, void (*handle)(int) = [](int) { ++handled; })
      : signal_(signal) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = handle;
    ::sigaction(signal_, &action, &before_);
  }
  Handler(const Handler&) = delete;
  ~Handler() { ::sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ {};
};

bool is_blocked(int signal) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, signal) == 1;
}

/// Blocks SIGCHLD while it lives.
class Blocked {
 public:
  Blocked() {
    ::sigemptyset(&child_);
    ::sigaddset(&child_, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &child_, &before_);
  }
  Blocked(const Blocked&) = delete;
  ~Blocked() {
    take();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  /// Takes a SIGCHLD that is pending; false when there is none.
  bool take() {
    const timespec at_once{};
    return ::sigtimedwait(&child_, nullptr, &at_once) == SIGCHLD;
  }

 private:
  sigset_t child_{}, before_{};
};

const auto yes = [] { return true; };
const auto no = [] { return false; };
const auto nothing = [] {};

}  // namespace

TEST_CASE("a wait ends when the time has come, whether threads are held or not", "[sampler]") {
  EventWait wait;
  for (const bool holds : {false, true}) {
    const auto begin = Clock::now(), deadline = begin + 12ms;
    CHECK(wait.wait_until(
              deadline, [&] { return holds; }, nothing) == Wake::time);
    CHECK(Clock::now() >= deadline);
    CHECK(Clock::now() < begin + 1s);
    CHECK(wait.wait_until(
              begin, [&] { return holds; }, nothing) == Wake::time);  // long ago
    CHECK(wait.wait_until(
              Clock::time_point{}, [&] { return holds; }, nothing) == Wake::time);
  }
}

TEST_CASE("a wait that holds threads looks after them at once when SIGCHLD comes, and now and then", "[sampler]") {
  EventWait wait;
  int calls = 0;
  CHECK(wait.wait_until(Clock::now() + 20ms, yes, [&] { ++calls; }) == Wake::time);
  CHECK(calls >= 2);
  CHECK(calls < 20);
  ::raise(SIGCHLD);
  Clock::time_point at{};
  const auto begin = Clock::now();
  CHECK(wait.wait_until(begin + 4ms, yes, [&] { at = at == Clock::time_point{} ? Clock::now() : at; }) == Wake::time);
  CHECK(at - begin < 3ms);
}

TEST_CASE("a wait that holds nothing calls nobody and takes no signal", "[sampler]") {
  const Handler handler{SIGCHLD};
  {
    EventWait wait;
    ::raise(SIGCHLD);
    CHECK(wait.wait_until(Clock::now() + 1ms, no, [] { FAIL(); }) == Wake::time);
    CHECK(handled == 0);
  }
  CHECK(handled == 1);
}

TEST_CASE("a wait ends when a signal handler ran", "[sampler]") {
  const Handler handler{SIGALRM};
  EventWait wait;
  for (const bool holds : {false, true}) {
    const itimerval soon{{}, {0, 3'000}};
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    const auto begin = Clock::now();
    // Another thread may be given the signal; there is none here.
    CHECK(wait.wait_until(
              begin + 10s, [&] { return holds; }, nothing) == Wake::interrupted);
    CHECK(Clock::now() < begin + 5s);
  }
  CHECK(handled == 2);
}

TEST_CASE("SIGCHLD is blocked while somebody may wait, and then as it was before", "[sampler]") {
  REQUIRE(!is_blocked(SIGCHLD));
  {
    EventWait wait;
    CHECK(is_blocked(SIGCHLD));
  }
  CHECK(!is_blocked(SIGCHLD));
  const Blocked blocked;
  {
    EventWait wait;
    CHECK(is_blocked(SIGCHLD));
  }
  CHECK(is_blocked(SIGCHLD));
}

TEST_CASE("a SIGCHLD that was for the program itself comes in the end", "[sampler]") {
  const Handler handler{SIGCHLD};
  {
    EventWait wait;
    ::test::ChildProcess child{[](auto&) {}};
    child.wait();
    CHECK(wait.wait_until(Clock::now() + 2ms, yes, nothing) == Wake::time);
    CHECK(handled == 0);
  }
  CHECK(handled == 1);
}

TEST_CASE("a SIGCHLD that a program takes from the queue itself is there again in the end", "[sampler]") {
  Blocked blocked;
  {
    EventWait wait;
    ::test::ChildProcess child{[](auto&) {}};
    child.wait();
    CHECK(wait.wait_until(Clock::now() + 2ms, yes, nothing) == Wake::time);
  }
  CHECK(blocked.take());
  CHECK(!blocked.take());
  {
    EventWait wait;
    CHECK(wait.wait_until(Clock::now() + 2ms, yes, nothing) == Wake::time);
  }
  CHECK(!blocked.take());  // nothing was taken, so nothing is sent
}

TEST_CASE("a stop that a tracer is told of is nobody else's event", "[sampler]") {
  const Handler handler{SIGCHLD};
  ::test::ChildProcess child{[](auto&) {
    for (;;) ::pause();
  }};
  {
    EventWait wait;
    ::kill(child.pid(), SIGSTOP);
    int status = 0;
    CHECK(::waitpid(child.pid(), &status, WUNTRACED) == child.pid());
    CHECK(wait.wait_until(Clock::now() + 2ms, yes, nothing) == Wake::time);
  }
  CHECK(handled == 0);
}
