// TaskFiles: whether a thread has run, and where it waits.
#include "pyagent/process/task_files.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using process::TaskFiles;
using State = process::SystemCall::State;
using test::ChildProcess;
using test::comes_true;
using test::Counters;
using test::sleep_for;

namespace {

[[noreturn]] void count_forever(std::atomic<long>& counter) {
  for (;;) counter.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void sleep_forever() {
  for (;;) ::pause();
}

TaskFiles open(pid_t pid, pid_t tid) {
  auto files = TaskFiles::open(pid, tid);
  REQUIRE(files);
  return std::move(*files);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (int number = 0; number < 4096; ++number) count += ::fcntl(number, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("the schedule of a thread is read from its text", "[process]") {
  const auto schedule = process::parse_schedule("123456789012 345 67\n");
  REQUIRE(schedule);
  CHECK(schedule->ran_ns == 123456789012);
  CHECK(schedule->waited_ns == 345);
  CHECK(schedule->timeslices == 67);
  for (const char* text : {"", "1", "1 2", "1 2 ", "a b c"}) CHECK_FALSE(process::parse_schedule(text));
}

TEST_CASE("the system call of a thread is read from its text", "[process]") {
  const auto running = process::parse_system_call("running\n");
  REQUIRE(running);
  CHECK(running->state == State::running);
  CHECK_FALSE(running->is_blocked());

  const std::string text = "232 0x4 0x7ffd1000 0x40 0xffffffff 0x0 0x8 0x7ffd0ff8 0x7f12345678ab\n";
  const auto blocked = process::parse_system_call(text);
  REQUIRE(blocked);
  CHECK(blocked->state == State::blocked);
  CHECK(blocked->number == 232);
  CHECK(blocked->arguments == std::array<std::uint64_t, 6>{4, 0x7ffd1000, 0x40, 0xffffffff, 0, 8});
  CHECK(blocked->stack_pointer == Address{0x7ffd0ff8});
  CHECK(blocked->program_counter == Address{0x7f12345678ab});
  for (std::size_t length = 0; length <= text.find(" 0x7f12345678ab"); ++length)
    CHECK_FALSE(process::parse_system_call(text.substr(0, length)));

  const auto outside = process::parse_system_call("-1 0x7ffd0ff8 0x401000\n");
  REQUIRE(outside);
  CHECK(outside->state == State::blocked_outside_call);
  CHECK(outside->number == -1);
  CHECK(outside->stack_pointer == Address{0x7ffd0ff8});
  CHECK(outside->program_counter == Address{0x401000});
}

TEST_CASE("the state of a thread is found behind any name", "[process]") {
  CHECK(process::detail::parse_state("7 (a) R (b) S 1 2").value_or('?') == 'S');
  for (const char* text : {"", "7 (a", "7 (a)", "7 (a) "}) CHECK_FALSE(process::detail::parse_state(text));
}

TEST_CASE("a thread that runs is seen to run", "[process]") {
  ChildProcess child{[](Counters& counters) { count_forever(counters[0]); }};
  const TaskFiles files = open(child.pid(), child.pid());
  CHECK(files.tid() == child.pid());
  CHECK(comes_true([&] { return files.read_system_call()->state == State::running; }));
  CHECK(files.read_state().value_or('?') == 'R');
  const auto before = files.read_schedule();
  REQUIRE(before);
  CHECK(comes_true([&] { return files.read_schedule()->ran_ns > before->ran_ns; }));
}

TEST_CASE("a blocked thread has the same schedule until it has run", "[process]") {
  ChildProcess child{[](Counters& counters) {
    ::signal(SIGUSR1, [](int) {});
    for (;;) {
      ::syscall(SYS_rt_sigsuspend, "\0\0\0\0\0\0\0", 8);
      counters[0]++;
    }
  }};
  const TaskFiles files = open(child.pid(), child.pid());
  const auto is_waiting = [&] {
    const auto call = files.read_system_call();
    return call && call->state == State::blocked && call->number == SYS_rt_sigsuspend;
  };
  REQUIRE(comes_true(is_waiting));
  CHECK(files.read_state().value_or('?') == 'S');
  const auto call = files.read_system_call();
  CHECK(call->is_blocked());
  CHECK(call->arguments[1] == 8);
  CHECK(call->stack_pointer);
  CHECK(call->program_counter);
  const auto before = files.read_schedule();
  REQUIRE(before);
  CHECK(before->timeslices > 0);
  sleep_for(5ms);
  CHECK(*files.read_schedule() == *before);
  ::kill(child.pid(), SIGUSR1);
  REQUIRE(comes_true([&] { return child[0] == 1; }));
  CHECK(files.read_schedule()->timeslices > before->timeslices);
}

TEST_CASE("a thread that ended is no longer read", "[process]") {
  ChildProcess child{[](Counters& counters) {
    std::thread{[&] {
      counters[0] = ::gettid();
      while (counters[1] == 0) sleep_for(100us);
    }}.join();
    sleep_forever();
  }};
  REQUIRE(comes_true([&] { return child[0] != 0; }));
  const auto tid = static_cast<pid_t>(child[0]);
  const TaskFiles files = open(child.pid(), tid), main = open(child.pid(), child.pid());
  child[1] = 1;
  CHECK(comes_true([&] { return files.read_schedule().error().code == Errc::no_process; }));
  CHECK(files.read_system_call().error().code == Errc::no_process);
  CHECK(files.read_state().error().code == Errc::no_process);
  CHECK(TaskFiles::open(child.pid(), tid).error().code == Errc::no_process);
  CHECK(main.read_schedule());
  ::kill(child.pid(), SIGKILL);
  CHECK(comes_true([&] { return main.read_system_call().error().code == Errc::no_process; }));
  CHECK(main.read_state().value_or('?') == 'Z');
}

TEST_CASE("threads are read when descriptors are short, and some are left to others", "[process]") {
  ChildProcess target{[](Counters&) { sleep_forever(); }};
  const rlim_t hard = GENERATE(rlim_t{1000}, rlim_t{100});
  ChildProcess observer{[&](Counters& counters) {
    const rlimit limit{90, hard};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    std::vector<TaskFiles> all;
    for (int i = 0; i < 100; ++i) {
      auto files = TaskFiles::open(target.pid(), target.pid());
      if (files && files->read_schedule() && files->read_system_call() && files->read_state()) counters[0]++;
      if (files) all.push_back(std::move(*files));
    }
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    counters[1] = static_cast<long>(now.rlim_cur);
    counters[2] = static_cast<long>(open_descriptors());
  }};
  observer.wait();
  CHECK(observer[0] == 100);
  CHECK(observer[1] == static_cast<long>(hard));
  CHECK(observer[2] <= static_cast<long>(hard) - 60);
  if (hard == 1000) CHECK(observer[2] >= 200);
}

TEST_CASE("where the kernel hides system calls, the state of the thread is told", "[process]") {
  if (::geteuid() != 0) {
    WARN("skipped: only root can become another user");
    return;
  }
  ChildProcess target{[](Counters&) { sleep_forever(); }}, busy{[](Counters&counters) { count_forever(counters[0]); }};
  ChildProcess observer{[&](Counters& counters) {
    if (::setuid(65534) != 0) return;
    const auto files = TaskFiles::open(target.pid(), target.pid());
    const auto others = TaskFiles::open(busy.pid(), busy.pid());
    if (!files || !others) return;
    const auto is_hidden = [](const TaskFiles& task, State state) {
      const auto call = task.read_system_call();
      return call && call->state == state && call->number == -1 && !call->stack_pointer;
    };
    counters[0] = comes_true([&] { return is_hidden(*files, State::blocked); });
    counters[1] = comes_true([&] { return is_hidden(*others, State::running); });
    counters[2] = static_cast<bool>(files->read_schedule());
  }};
  observer.wait();
  CHECK(observer[0] == 1);
  CHECK(observer[1] == 1);
  CHECK(observer[2] == 1);
}

TEST_CASE("where a container hides a thread's files, its status tells as much", "[process]") {
  ChildProcess target{[](Counters& counters) {
    ::signal(SIGUSR1, [](int) {});
    while (counters[1] == 0) {
      ::syscall(SYS_rt_sigsuspend, "\0\0\0\0\0\0\0", 8);
      counters[0]++;
    }
    count_forever(counters[2]);
  }};
  const auto is_waiting = [&] {
    return open(target.pid(), target.pid()).read_system_call()->number == SYS_rt_sigsuspend;
  };
  REQUIRE(comes_true(is_waiting));
  ChildProcess observer{[&](Counters& counters) {
    bool is_hidden = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    for (const char* name : {"schedstat", "syscall"}) {
      const process::ProcPath path{target.pid(), target.pid(), name};
      is_hidden = is_hidden && ::mount("/dev/null", path.c_str(), nullptr, MS_BIND, nullptr) == 0;
    }
    counters[0] = is_hidden ? 1 : -1;
    const auto files = TaskFiles::open(target.pid(), target.pid());
    if (!is_hidden || !files) return;
    const auto first = files->read_schedule(), second = files->read_schedule();
    counters[1] = first && second && *first == *second && first->timeslices > 0;
    counters[2] = files->read_system_call()->state == State::blocked;
    ::kill(target.pid(), SIGUSR1);
    comes_true([&] { return target[0] == 1 && files->read_system_call()->state == State::blocked; });
    counters[3] = files->read_schedule()->timeslices > first->timeslices;
    target[1] = 1;
    ::kill(target.pid(), SIGUSR1);
    counters[4] = comes_true([&] { return files->read_system_call()->state == State::running; });
    counters[5] = comes_true([&] { return files->read_schedule()->ran_ns >= first->ran_ns + 10'000'000; });
  }};
  observer.wait();
  if (observer[0] < 0) {
    WARN("skipped: nothing can be mounted here");
    return;
  }
  for (std::size_t i = 1; i <= 5; ++i) {
    INFO(i);
    CHECK(observer[i] == 1);
  }
}
