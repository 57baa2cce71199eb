// Tracee: what it does to a thread, and what it must not do.
#include "pyagent/process/tracee.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "pyagent/memory/remote_memory.hpp"
#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using process::Tracee;
using test::ChildProcess;
using test::comes_true;
using test::Counters;
using test::sleep_for;
using Stop = Tracee::Stop;

namespace {

constexpr auto budget = 2s;  // other programs may be busy here

[[noreturn]] void count_forever(std::atomic<long>& counter) {
  for (;;) counter.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void sleep_forever() {
  for (;;) ::pause();
}

/// Starts a thread that never ends, and notes its id.
template <class Body>
void start_thread(std::atomic<long>& tid, Body body) {
  std::thread{[&tid, body] {
    tid = ::gettid();
    body();
  }}.detach();
}

void burn(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

Tracee seize(pid_t tid) {
  auto tracee = Tracee::seize(tid);
  REQUIRE(tracee);
  return std::move(*tracee);
}

char state_of(pid_t pid) {
  const auto status = process::read_status(pid);
  return status ? status->state : '?';
}

/// Waits uninterruptibly, from counter 0 on and until counter 1 is set, then counts.
void wait_for_vfork(Counters& counters) {
  counters[0] = 1;
  if (::vfork() == 0) {
    while (counters[1] == 0) sleep_for(100us);
    ::_exit(0);
  }
  count_forever(counters[2]);
}

/// Its counter goes on by itself.
bool advances(std::atomic<long>& counter) {
  const long before = counter;
  return comes_true([&] { return counter > before; });
}

/// The handler of a child can't be given an argument.
Counters* handler_counters = nullptr;

void handle_signals(Counters& counters, int signal) {
  handler_counters = &counters;
  struct sigaction action {};
  action.sa_handler = [](int) { handler_counters->at[0]++; };
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

TEST_CASE("a stopped thread stands still, can be read, and goes on", "[process]") {
  ChildProcess child{[](Counters& counters) { count_forever(counters[0]); }};
  REQUIRE(advances(child[0]));
  Tracee tracee = seize(child.pid());
  CHECK(advances(child[0]));  // seizing alone stops nothing
  for (int i = 0; i < 50; ++i) {
    REQUIRE(tracee.stop(budget) == Stop::stopped);
    const long before = child[0];
    burn(100us);
    CHECK(child[0] == before);
    const auto& registers = tracee.registers();
    const memory::RemoteMemory memory{child.pid()};
    CHECK(memory::read_value<std::uint64_t>(memory, registers.stack_pointer));
    CHECK(memory::read_value<std::uint8_t>(memory, registers.program_counter));
    CHECK(process::read_tracer(child.pid()).value_or(0) == ::getpid());
    tracee.resume();
    CHECK(advances(child[0]));
  }
}

TEST_CASE("only the thread that is stopped stands still", "[process]") {
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[1], [&] { count_forever(counters[2]); });
    count_forever(counters[0]);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  Tracee tracee = seize(static_cast<pid_t>(child[1]));
  REQUIRE(tracee.stop(budget) == Stop::stopped);
  CHECK(advances(child[0]));
  const long before = child[2];
  CHECK(advances(child[0]));
  CHECK(child[2] == before);
}

TEST_CASE("a tracee that is let go runs on without a tracer", "[process]") {
  ChildProcess child{[](Counters& counters) { count_forever(counters[0]); }};
  const bool is_stopped = GENERATE(false, true);
  {
    Tracee tracee = seize(child.pid());
    if (is_stopped) REQUIRE(tracee.stop(budget) == Stop::stopped);
    Tracee moved{std::move(tracee)};
    CHECK(moved.tid() == child.pid());
  }
  CHECK(process::read_tracer(child.pid()).value_or(-1) == 0);
  CHECK(advances(child[0]));
}

TEST_CASE("a thread that can't be seized is refused with the reason", "[process]") {
  ChildProcess child{[](Counters& counters) { count_forever(counters[0]); }};
  CHECK(Tracee::seize(::getpid()).error().code == Errc::not_permitted);
  ChildProcess other{[&](Counters& counters) {
    Tracee tracee = seize(child.pid());
    counters[0] = 1;
    sleep_forever();
  }};
  REQUIRE(comes_true([&] { return other[0] == 1; }));
  CHECK(Tracee::seize(child.pid()).error().code == Errc::not_permitted);
  CHECK(process::read_tracer(child.pid()).value_or(0) == other.pid());
  other.end();
  CHECK(process::read_tracer(child.pid()).value_or(-1) == 0);
  ::kill(child.pid(), SIGKILL);
  REQUIRE(comes_true([&] { return state_of(child.pid()) == 'Z'; }));
  CHECK(Tracee::seize(child.pid()).error().code == Errc::no_process);
  const pid_t pid = child.pid();
  child.wait();
  CHECK(Tracee::seize(pid).error().code == Errc::no_process);
  CHECK(process::read_tracer(pid).error().code == Errc::no_process);
}

TEST_CASE("every signal reaches a thread that is stopped again and again", "[process]") {
  constexpr int sent = 5000;
  ChildProcess child{[](Counters& counters) {
    handle_signals(counters, SIGRTMIN);
    counters[1] = 1;
    count_forever(counters[2]);
  }};
  REQUIRE(comes_true([&] { return child[1] == 1; }));
  Tracee tracee = seize(child.pid());
  std::thread sender{[pid = child.pid()] {
    for (int i = 0; i < sent; ++i) {
      while (::sigqueue(pid, SIGRTMIN, {}) != 0) sleep_for(100us);
      if (i % 8 == 0) sleep_for(100us);
    }
  }};
  const auto end = std::chrono::steady_clock::now() + 8s;
  int stops = 0, others = 0;
  while (child[0] < sent && std::chrono::steady_clock::now() < end) {
    if (tracee.stop(budget) == Stop::stopped)
      ++stops;
    else
      ++others;
    tracee.resume();
    tracee.handle_events();
  }
  sender.join();
  CHECK(others == 0);
  CHECK(stops > 100);
  CHECK(comes_true([&] {
    tracee.handle_events();
    return child[0] >= sent;
  }));
  sleep_for(5ms);
  tracee.handle_events();
  CHECK(child[0] == sent);
}

TEST_CASE("a signal is passed on between samples, and when the thread is let go", "[process]") {
  ChildProcess child{[](Counters& counters) {
    handle_signals(counters, SIGUSR1);
    counters[1] = 1;
    count_forever(counters[2]);
  }};
  REQUIRE(comes_true([&] { return child[1] == 1; }));
  {
    Tracee tracee = seize(child.pid());
    ::kill(child.pid(), SIGUSR1);
    CHECK(comes_true([&] { return tracee.handle_events() && child[0] == 1; }));
    ::kill(child.pid(), SIGUSR1);
    REQUIRE(comes_true([&] { return state_of(child.pid()) == 't'; }));
    CHECK(tracee.stop(budget) == Stop::stopped);
    CHECK(child[0] == 1);
    if (GENERATE(false, true)) tracee.resume();
  }
  CHECK(comes_true([&] { return child[0] == 2; }));
  CHECK(advances(child[2]));
}

TEST_CASE("a fatal signal kills as it does without a tracer", "[process]") {
  ChildProcess child{[](Counters& counters) { count_forever(counters[0]); }};
  REQUIRE(advances(child[0]));
  Tracee tracee = seize(child.pid());
  ::kill(child.pid(), SIGTERM);
  CHECK(comes_true([&] { return !tracee.handle_events(); }));
  CHECK(tracee.stop(budget) == Stop::gone);
  const int status = child.wait();  // its exit status is left for its parent
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

// --- interrupted system calls ---

namespace {

enum Caller : std::size_t { epoll, semaphore, polling, receiving, callers };

/// Each counts its calls in counters[1 + caller], EINTRs in [8 + caller]; its thread is [16 + caller].
void call_forever(Counters& counters, Caller caller) {
  const int queue = ::epoll_create1(0), set = ::semget(IPC_PRIVATE, 1, 0600);
  int pair[2];
  ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  const timeval timeout{0, 1000};
  ::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  for (;;) {
    burn(50us);
    long result = 0;
    errno = 0;
    char byte;
    epoll_event event;
    sembuf down{0, -1, 0};
    pollfd file{pair[0], POLLIN, 0};
    const timespec millisecond{0, 1'000'000};
    switch (caller) {
      case epoll:
        result = ::epoll_wait(queue, &event, 1, 1);
        break;
      case semaphore:
        result = ::semtimedop(set, &down, 1, &millisecond);
        break;
      case polling:
        result = ::poll(&file, 1, 1);
        break;
      case receiving:
        result = ::recv(pair[0], &byte, 1, 0);
        break;
      case callers:
        break;
    }
    if (result < 0 && errno == EINTR) counters[8 + caller]++;
    counters[1 + caller]++;
    if (counters[0] != 0) {
      ::semctl(set, 0, IPC_RMID);
      counters[0]++;
      sleep_forever();
    }
  }
}

struct CallingProcess : ChildProcess {
  CallingProcess()
      : ChildProcess([](Counters& counters) {
          for (std::size_t caller = 0; caller < callers; ++caller)
            start_thread(counters[16 + caller], [&, caller] { call_forever(counters, static_cast<Caller>(caller)); });
          sleep_forever();
        }) {
    for (std::size_t caller = 0; caller < callers; ++caller)
      REQUIRE(comes_true([&] { return counters()[16 + caller] != 0; }));
  }
  ~CallingProcess() {
    (*this)[0] = 1;
    comes_true([&] { return (*this)[0] == 1 + static_cast<long>(callers); });  // semaphores outlive their process
  }
  std::vector<pid_t> tids() {
    std::vector<pid_t> all;
    for (std::size_t caller = 0; caller < callers; ++caller) all.push_back(static_cast<pid_t>((*this)[16 + caller]));
    return all;
  }
};

}  // namespace

TEST_CASE("a thread that is stopped in a system call sees no EINTR", "[process]") {
  CallingProcess child;
  std::vector<Tracee> tracees;
  for (const pid_t tid : child.tids()) tracees.push_back(seize(tid));
  std::minstd_rand random{1};
  int failed = 0;
  const auto end = std::chrono::steady_clock::now() + 1200ms;
  while (std::chrono::steady_clock::now() < end) {
    for (auto& tracee : tracees) {
      if (tracee.stop(budget) != Stop::stopped) ++failed;
      tracee.resume();
    }
    // Now and then long enough for a timeout to pass: receiving counts it in ticks of up to 10 ms.
    if (random() % 4 == 0) sleep_for(std::chrono::microseconds{random() % 16 == 0 ? 21'000 : random() % 3000});
  }
  CHECK(failed == 0);
  for (std::size_t caller = 0; caller < callers; ++caller) {
    INFO("caller " << caller);
    CHECK(child[1 + caller] > 4);
    CHECK(child[8 + caller] == 0);
  }
}

TEST_CASE("without mending, the kernel shows the interruption of some system calls", "[process]") {
  CallingProcess child;
  const auto tids = child.tids();
  for (const pid_t tid : tids) REQUIRE(::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) == 0);
  for (int i = 0; i < 100; ++i) {
    for (const pid_t tid : tids) {
      ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
      REQUIRE(::waitpid(tid, nullptr, __WALL) == tid);
      ::ptrace(PTRACE_CONT, tid, nullptr, nullptr);
    }
    sleep_for(500us);
  }
  CHECK(child[8 + epoll] > 0);
  CHECK(child[8 + semaphore] > 0);
  CHECK(child[8 + receiving] > 0);
  CHECK(child[8 + polling] == 0);
  for (const pid_t tid : tids) {
    ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
    ::waitpid(tid, nullptr, __WALL);
    ::ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
  }
}

TEST_CASE("a handler still ends a system call with EINTR, whenever the thread is stopped", "[process]") {
  const bool is_masked = GENERATE(false, true);  // epoll_pwait lets the signal in only while it waits
  ChildProcess child{[is_masked](Counters& counters) {
    handle_signals(counters, SIGUSR1);
    const int queue = ::epoll_create1(0);
    sigset_t usual, inside;
    ::sigemptyset(&inside);
    ::sigemptyset(&usual);
    ::sigaddset(&usual, SIGUSR1);
    if (is_masked) ::sigprocmask(SIG_BLOCK, &usual, nullptr);
    for (counters[1] = 1;;) {
      epoll_event event;
      const int got = ::epoll_pwait(queue, &event, 1, -1, is_masked ? &inside : nullptr);
      counters[got < 0 && errno == EINTR ? 2 : 3]++;
    }
  }};
  REQUIRE(comes_true([&] { return child[1] == 1 && state_of(child.pid()) == 'S'; }));
  Tracee tracee = seize(child.pid());
  std::minstd_rand random{2};
  constexpr int sent = 300;
  for (int i = 1; i <= sent; ++i) {
    std::thread sender{[&, delay = random() % 200] {
      burn(std::chrono::microseconds{delay});
      ::kill(child.pid(), SIGUSR1);
    }};
    const auto end = std::chrono::steady_clock::now() + 2s;
    do {
      tracee.stop(budget);
      tracee.resume();
    } while (child[0] < i && std::chrono::steady_clock::now() < end);
    sender.join();
    // A signal that came before the call was entered is no interruption of it; with the mask there is no such moment.
    if (is_masked) REQUIRE(comes_true([&] { return tracee.handle_events() && child[2] == i; }));
    REQUIRE(comes_true([&] { return tracee.handle_events() && state_of(child.pid()) == 'S'; }));
  }
  CHECK(child[0] == sent);
  CHECK(child[2] > sent * 9 / 10);
  CHECK(child[2] <= sent);
  CHECK(child[3] == 0);
}

TEST_CASE("a signal that the process ignores interrupts no system call because of the tracer", "[process]") {
  const int signal = GENERATE(SIGCHLD, SIGUSR1);
  ChildProcess child{[](Counters& counters) {
    ::signal(SIGUSR1, SIG_IGN);
    const int queue = ::epoll_create1(0);
    for (counters[1] = 1;;) {
      epoll_event event;
      ::epoll_wait(queue, &event, 1, -1);
      counters[2]++;
    }
  }};
  REQUIRE(comes_true([&] { return child[1] == 1 && state_of(child.pid()) == 'S'; }));
  Tracee tracee = seize(child.pid());
  for (int i = 0; i < 50; ++i) {
    ::kill(child.pid(), signal);
    if (i % 2 == 0) {
      tracee.stop(budget);
      tracee.resume();
    }
    REQUIRE(comes_true([&] { return tracee.handle_events() && state_of(child.pid()) == 'S'; }));
  }
  CHECK(child[2] == 0);
}

// --- stopped, executing and ending targets ---

TEST_CASE("a process that is stopped by its owner stays stopped until it is continued", "[process]") {
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[1], [&] { count_forever(counters[2]); });
    count_forever(counters[0]);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  const bool is_seized_first = GENERATE(true, false);
  std::vector<Tracee> tracees;
  const auto seize_both = [&] {
    tracees.push_back(seize(child.pid()));
    tracees.push_back(seize(static_cast<pid_t>(child[1])));
  };
  const auto handle = [&] {
    for (auto& tracee : tracees) tracee.handle_events();
  };
  const auto is_still = [&] {
    const long first = child[0], second = child[2];
    sleep_for(5ms);
    handle();
    return child[0] == first && child[2] == second;
  };
  if (is_seized_first) seize_both();
  ::kill(child.pid(), SIGSTOP);
  REQUIRE(comes_true([&] {
    bool are_stopped = is_seized_first || state_of(child.pid()) == 'T';
    for (auto& tracee : tracees) {
      are_stopped = tracee.stop(budget) == Stop::group_stopped && are_stopped;
      tracee.resume();
    }
    return are_stopped;
  }));
  if (!is_seized_first) seize_both();
  for (int i = 0; i < 5; ++i) {
    for (auto& tracee : tracees) {
      CHECK(tracee.stop(budget) == Stop::group_stopped);
      CHECK(tracee.registers().stack_pointer);
      tracee.resume();
    }
    CHECK(is_still());
  }
  SECTION("then it runs, and can be stopped by us") {
    ::kill(child.pid(), SIGCONT);
    const long first = child[0], second = child[2];
    CHECK(comes_true([&] {
      handle();
      return child[0] > first && child[2] > second;
    }));
    for (auto& tracee : tracees) {
      CHECK(tracee.stop(budget) == Stop::stopped);
      tracee.resume();
    }
    CHECK(advances(child[0]));
  }
  SECTION("and when we let it go") {
    tracees.clear();
    CHECK(is_still());
    CHECK(state_of(child.pid()) == 'T');
    ::kill(child.pid(), SIGCONT);
    CHECK(advances(child[0]));
    CHECK(advances(child[2]));
  }
}

TEST_CASE("a thread that ends is reaped, and then its process can end", "[process]") {
  ChildProcess child{[](Counters& counters) {
    std::thread second{[&] {
      counters[1] = ::gettid();
      while (counters[2] == 0) sleep_for(100us);
    }};
    second.join();
    counters[3] = 1;
    while (counters[2] < 2) sleep_for(100us);
    ::_exit(7);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  Tracee first = seize(child.pid());
  Tracee second = seize(static_cast<pid_t>(child[1]));
  child[2] = 1;
  CHECK(comes_true([&] { return !second.handle_events(); }));
  CHECK(comes_true([&] { return first.handle_events() && child[3] == 1; }));
  child[2] = 2;
  CHECK(comes_true([&] { return !first.handle_events(); }));
  const int status = child.wait();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("a stopped thread whose process ends is gone", "[process]") {
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[1], [&] { count_forever(counters[0]); });
    while (counters[2] == 0) sleep_for(100us);
    ::_exit(3);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  Tracee tracee = seize(static_cast<pid_t>(child[1]));
  REQUIRE(tracee.stop(budget) == Stop::stopped);
  child[2] = 1;
  sleep_for(2ms);
  SECTION("when it is resumed") {
    tracee.resume();
    CHECK(comes_true([&] { return !tracee.handle_events(); }));
  }
  SECTION("when it is let go") { CHECK(tracee.detach(budget)); }
  CHECK(WEXITSTATUS(child.wait()) == 3);
}

TEST_CASE("no thread stays traced after one of them executed a program", "[process]") {
  const bool is_leader_seized = GENERATE(true, false);
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[1], [&] {
      while (counters[2] == 0) sleep_for(100us);
      ::execlp("sleep", "sleep", "30", nullptr);
    });
    count_forever(counters[0]);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  std::vector<Tracee> tracees;
  tracees.push_back(seize(static_cast<pid_t>(child[1])));
  if (is_leader_seized) tracees.push_back(seize(child.pid()));
  child[2] = 1;
  CHECK(comes_true([&] { return !tracees.front().handle_events(); }));
  CHECK(comes_true([&] { return process::read_tracer(child.pid()).value_or(-1) == 0; }));
  if (is_leader_seized) CHECK(tracees.back().stop(budget) == Stop::gone);
  CHECK(comes_true([&] { return state_of(child.pid()) == 'S'; }));
  ::kill(child.pid(), SIGTERM);
  CHECK(WTERMSIG(child.wait()) == SIGTERM);
}

TEST_CASE("a thread that executes a program is not waited for while it waits for us", "[process]") {
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[0], [] { sleep_forever(); });
    start_thread(counters[1], [&] {
      while (counters[2] == 0) sleep_for(100us);
      ::execlp("sleep", "sleep", "30", nullptr);
    });
    sleep_forever();
  }};
  REQUIRE(comes_true([&] { return child[0] != 0 && child[1] != 0; }));
  Tracee ends = seize(static_cast<pid_t>(child[0]));
  const auto executes = static_cast<pid_t>(child[1]);
  child[2] = 1;
  REQUIRE(comes_true([&] { return state_of(ends.tid()) == 'Z' && state_of(child.pid()) == 'Z'; }));
  REQUIRE(comes_true([&] { return state_of(executes) == 'D'; }));  // until the first one is reaped
  CHECK(Tracee::seize(executes).error().code == Errc::inconsistent);
  CHECK_FALSE(ends.handle_events());
  CHECK(comes_true([&] { return static_cast<bool>(Tracee::seize(child.pid())); }));
}

TEST_CASE("a process that executes a program by its only thread stays traced", "[process]") {
  ChildProcess child{[](Counters& counters) {
    counters[0] = 1;
    while (counters[1] == 0) sleep_for(100us);
    ::execlp("sleep", "sleep", "30", nullptr);
  }};
  REQUIRE(comes_true([&] { return child[0] == 1; }));
  Tracee tracee = seize(child.pid());
  child[1] = 1;
  REQUIRE(comes_true([&] { return process::read_status(child.pid())->name == "sleep"; }));
  CHECK(tracee.stop(budget) == Stop::stopped);
  tracee.resume();
  CHECK(tracee.handle_events());
}

TEST_CASE("an uninterruptible thread is given up in time, and goes on when it stops late", "[process]") {
  ChildProcess child{wait_for_vfork};
  REQUIRE(comes_true([&] { return child[0] == 1 && state_of(child.pid()) == 'D'; }));
  Tracee tracee = seize(child.pid());
  const auto begin = std::chrono::steady_clock::now();
  CHECK(tracee.stop(5ms) == Stop::timeout);
  CHECK(std::chrono::steady_clock::now() - begin < 100ms);
  CHECK_FALSE(tracee.detach(1ms));
  CHECK(tracee.handle_events());
  child[1] = 1;
  CHECK(comes_true([&] { return tracee.handle_events() && child[2] > 0; }));
  CHECK(advances(child[2]));
}

TEST_CASE("a thread that can't be let go at once is let go when it stops", "[process]") {
  ChildProcess child{wait_for_vfork};
  REQUIRE(comes_true([&] { return child[0] == 1 && state_of(child.pid()) == 'D'; }));
  auto& leftovers = process::Leftovers::of_this_thread();
  CHECK(leftovers.is_empty());
  { const Tracee tracee = seize(child.pid()); }
  CHECK(leftovers.contains(child.pid()));
  leftovers.drain(5ms);
  CHECK_FALSE(leftovers.is_empty());
  child[1] = 1;
  leftovers.drain(5s);
  CHECK(leftovers.is_empty());
  CHECK(comes_true([&] { return child[2] > 0; }));
  CHECK(advances(child[2]));
  CHECK(*process::read_tracer(child.pid()) == 0);
}

TEST_CASE("a killed tracer leaves its target running", "[process]") {
  ChildProcess child{[](Counters& counters) {
    start_thread(counters[1], [&] { count_forever(counters[2]); });
    count_forever(counters[0]);
  }};
  REQUIRE(comes_true([&] { return child[1] != 0; }));
  std::minstd_rand random{3};
  int stuck = 0;
  long stops = 0;
  for (int i = 0; i < 300; ++i) {
    ChildProcess tracer{[&](Counters& counters) {
      auto first = Tracee::seize(child.pid());
      auto second = Tracee::seize(static_cast<pid_t>(child[1]));
      while (first && second) {
        for (auto* tracee : {&*first, &*second}) {
          tracee->stop(budget);
          counters[0]++;
          tracee->resume();
          tracee->handle_events();
        }
      }
      counters[1] = 1;
      sleep_forever();
    }};
    while (tracer[0] == 0 && tracer[1] == 0) sleep_for(50us);
    burn(std::chrono::microseconds{random() % 1000});
    tracer.end();
    stops += tracer[0];
    if (!advances(child[0]) || !advances(child[2])) ++stuck;
  }
  CHECK(stuck == 0);
  CHECK(stops > 300);
  CHECK(process::read_tracer(child.pid()).value_or(-1) == 0);
}
