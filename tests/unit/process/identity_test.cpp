// Identity: the same process, or not any more.
#include "pyagent/process/identity.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>

#include <cstddef>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using process::Identity;
using test::ChildProcess;
using test::comes_true;
using test::Counters;
using test::sleep_for;

namespace {

[[noreturn]] void sleep_forever() {
  for (;;) ::pause();
}

void wait_for(std::atomic<long>& counter) {
  while (counter == 0) sleep_for(100us);
}

Identity open(pid_t pid) {
  auto identity = Identity::open(pid);
  REQUIRE(identity);
  return std::move(*identity);
}

/// From now on pidfd_open is unknown, as before Linux 5.3.
void forbid_pidfd_open() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, code};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

}  // namespace

TEST_CASE("the place of a program is read from its stat file", "[process]") {
  const std::string text =
      "42 (a) S (b) S 1 42 42 0 -1 4194304 100 0 0 0 11 12 0 0 20 -5 3 0 987654 1000 200 18446744073709551615 "
      "4096 8192 140000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 5000 6000 7000 8000 8001 8002 8003 0\n";
  const auto place = process::parse_program_place(text);
  REQUIRE(place);
  CHECK(place->code_begin == Address{4096});
  CHECK(place->code_end == Address{8192});
  CHECK(place->stack_begin == Address{140000});
  CHECK(place->data_begin == Address{5000});
  CHECK(place->break_begin == Address{7000});
  CHECK(place->is_visible());
  for (std::size_t length = 0; length <= text.find(" 7000"); ++length)
    CHECK_FALSE(process::parse_program_place(text.substr(0, length)));
}

TEST_CASE("a process is itself until it ends, also while it is a zombie", "[process]") {
  ChildProcess child{[](Counters&) { sleep_forever(); }};
  Identity identity = open(child.pid());
  CHECK(identity.pid() == child.pid());
  CHECK(identity.start_ticks() == process::read_status(child.pid())->start_ticks);
  CHECK_FALSE(identity.has_ended());
  CHECK_FALSE(identity.has_executed());
  const Identity moved{std::move(identity)};
  CHECK_FALSE(moved.has_ended());
  ::kill(child.pid(), SIGKILL);
  CHECK(comes_true([&] { return moved.has_ended(); }));
  CHECK(Identity::open(child.pid()).error().code == Errc::no_process);
  const pid_t pid = child.pid();
  child.wait();
  CHECK(moved.has_ended());
  CHECK_FALSE(moved.has_executed());
  CHECK(Identity::open(pid).error().code == Errc::no_process);
  CHECK(Identity::open(0).error().code == Errc::no_process);
  CHECK(Identity::open(-1).error().code == Errc::no_process);
}

TEST_CASE("a process without pidfd_open is known by its start time", "[process]") {
  ChildProcess target{[](Counters& counters) {
    std::thread{[&] {
      counters[0] = ::gettid();
      sleep_forever();
    }}.detach();
    wait_for(counters[1]);
    ::syscall(SYS_exit, 0);  // the main thread
  }};
  REQUIRE(comes_true([&] { return target[0] != 0; }));
  ChildProcess observer{[&](Counters& counters) {
    forbid_pidfd_open();
    const auto identity = Identity::open(target.pid());
    const auto thread = Identity::open(static_cast<pid_t>(target[0]));
    counters[0] = ::syscall(SYS_pidfd_open, target.pid(), 0) == -1 && errno == ENOSYS;
    counters[1] = identity && !identity->has_ended() && !identity->has_executed();
    counters[2] = !thread && thread.error().code == Errc::no_process;
    counters[3] = 1;
    wait_for(counters[7]);
    counters[8] = identity && !identity->has_ended();
    counters[3] = 2;
    wait_for(counters[4]);
    counters[5] = identity && identity->has_ended() && !identity->has_executed();
    const auto zombie = Identity::open(target.pid());
    counters[6] = !zombie && zombie.error().code == Errc::no_process;
  }};
  REQUIRE(comes_true([&] { return observer[3] == 1; }));
  CHECK(observer[0] == 1);
  CHECK(observer[1] == 1);
  CHECK(observer[2] == 1);
  target[1] = 1;
  REQUIRE(comes_true([&] { return process::read_status(target.pid())->state == 'Z'; }));
  observer[7] = 1;
  REQUIRE(comes_true([&] { return observer[3] == 2; }));
  CHECK(observer[8] == 1);
  ::kill(target.pid(), SIGKILL);
  REQUIRE(comes_true([&] { return process::read_status(target.pid())->threads <= 1; }));
  observer[4] = 1;
  observer.wait();
  CHECK(observer[5] == 1);
  CHECK(observer[6] == 1);
}

TEST_CASE("a thread is not a process, and its end is not the process's", "[process]") {
  ChildProcess child{[](Counters& counters) {
    std::thread{[&] {
      counters[0] = ::gettid();
      sleep_forever();
    }}.detach();
    wait_for(counters[1]);
    ::syscall(SYS_exit, 0);  // the main thread; the other one goes on
  }};
  REQUIRE(comes_true([&] { return child[0] != 0; }));
  CHECK(Identity::open(static_cast<pid_t>(child[0])).error().code == Errc::no_process);
  const Identity identity = open(child.pid());
  child[1] = 1;
  REQUIRE(comes_true([&] { return process::read_status(child.pid())->state == 'Z'; }));
  CHECK_FALSE(identity.has_ended());
  CHECK_FALSE(identity.has_executed());
  child.end();
  CHECK(identity.has_ended());
}

TEST_CASE("a process that executes the program it runs already has executed", "[process]") {
  const bool is_randomized = GENERATE(true, false);
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  ChildProcess child{[&](Counters&) {
    if (!is_randomized) ::personality(ADDR_NO_RANDOMIZE);
    ::dup2(pipe[0], 0);
    // Same arguments, same file, nothing but another time.
    ::execl("/bin/sh", "sh", "-c", "read line; exec sh -c \"$0\" \"$0\"", "read line; exec sh -c \"$0\" \"$0\"",
            nullptr);
  }};
  REQUIRE(comes_true([&] { return process::read_status(child.pid())->name == "sh"; }));
  REQUIRE(::write(pipe[1], "\n", 1) == 1);
  sleep_for(20ms);
  const Identity identity = open(child.pid());
  CHECK_FALSE(identity.has_executed());
  REQUIRE(::write(pipe[1], "\n", 1) == 1);
  CHECK(comes_true([&] { return identity.has_executed(); }));
  CHECK_FALSE(identity.has_ended());
  CHECK_FALSE(open(child.pid()).has_executed());
  child.end();
  CHECK_FALSE(identity.has_executed());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_CASE("an exec is seen of a child that still shares its parent's memory", "[process]") {
  ChildProcess child{[](Counters& counters) {
    const pid_t inner = ::vfork();
    if (inner == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      counters[0] = ::getpid();
      wait_for(counters[1]);
      ::execlp("sleep", "sleep", "30", nullptr);
      ::_exit(1);
    }
    counters[2] = inner;
    sleep_forever();
  }};
  REQUIRE(comes_true([&] { return child[0] != 0; }));
  const Identity parent = open(child.pid()), inner = open(static_cast<pid_t>(child[0]));
  CHECK_FALSE(inner.has_executed());
  child[1] = 1;
  CHECK(comes_true([&] { return inner.has_executed(); }));
  CHECK_FALSE(parent.has_executed());
  ::kill(inner.pid(), SIGKILL);
}

TEST_CASE("a process that changes its name, title and heap has not executed", "[process]") {
  ChildProcess child{[](Counters& counters) {
    wait_for(counters[0]);
    static char title[] = "another title";
    ::prctl(PR_SET_NAME, "another name");
    ::prctl(PR_SET_MM, PR_SET_MM_ARG_START, title, 0, 0);  // for those who may
    ::prctl(PR_SET_MM, PR_SET_MM_ARG_END, title + sizeof title, 0, 0);
    counters[2] = ::sbrk(1 << 20) != nullptr;
    counters[1] = 1;
    sleep_forever();
  }};
  const Identity identity = open(child.pid());
  child[0] = 1;
  REQUIRE(comes_true([&] { return child[1] == 1; }));
  CHECK_FALSE(identity.has_executed());
  CHECK_FALSE(identity.has_ended());
}
