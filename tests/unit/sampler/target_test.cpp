// What can't be attached to, and what is said of it.
#include "pyagent/sampler/target.hpp"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using sampler::attach;

namespace {

Errc code_of(pid_t pid) { return attach(pid).error().code; }

/// A process that waits for its end.
void sleep_on(::test::Counters& counters) {
  counters[0] = 1;
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("attach refuses what is no process", "[sampler]") {
  for (const pid_t pid : {0, -1, -4711, 0x7fffffff}) CHECK(code_of(pid) == Errc::no_process);
  ::test::ChildProcess child{[](auto&) {}};
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
  CHECK(code_of(child.pid()) == Errc::no_process);  // a zombie
  const pid_t pid = child.pid();
  child.wait();
  CHECK(code_of(pid) == Errc::no_process);
}

TEST_CASE("attach refuses a thread that is not its process's first", "[sampler]") {
  ::test::ChildProcess child{[](::test::Counters& counters) {
    std::thread other{[&] {
      counters[1] = ::syscall(SYS_gettid);
      for (;;) ::pause();
    }};
    sleep_on(counters);
  }};
  REQUIRE(::test::comes_true([&] { return child[1] != 0; }));
  CHECK(code_of(static_cast<pid_t>(child[1])) == Errc::no_process);
}

TEST_CASE("attach says of a program without Python that there is none", "[sampler]") {
  ::test::ChildProcess child{sleep_on};
  interpreter::FindFailure why;
  const auto target = attach(child.pid(), &why);
  CHECK(target.error().code == Errc::not_found);
  CHECK(why.code == Errc::not_found);
  CHECK(!why.explanation.empty());
  CHECK(attach(::getpid(), &why).error().code == Errc::not_found);
}

TEST_CASE("a kernel thread is no Python program", "[sampler]") {
  // Process 2 makes all others of the kernel; in a namespace of our own it is somebody else.
  const auto status = process::read_status(2);
  if (!status || status->name != "kthreadd") {
    WARN("skipped: there are no kernel threads here");
    return;
  }
  const Errc code = code_of(2);
  CHECK((code == Errc::not_found || code == Errc::no_process || code == Errc::not_permitted));
}

TEST_CASE("attach says that another user's process may not be read", "[sampler]") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root, to have two users");
    return;
  }
  ::test::ChildProcess target{sleep_on};
  REQUIRE(::test::comes_true([&] { return target[0] == 1; }));
  ::test::ChildProcess other{[&](::test::Counters& counters) {
    constexpr unsigned nobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(1);
    counters[0] = static_cast<long>(code_of(target.pid()));
    counters[1] = static_cast<long>(code_of(1));
    counters[2] = static_cast<long>(code_of(0x7ffffffe));
  }};
  REQUIRE(other.wait() == 0);
  CHECK(static_cast<Errc>(other[0].load()) == Errc::not_permitted);
  CHECK(static_cast<Errc>(other[1].load()) == Errc::not_permitted);
  CHECK(static_cast<Errc>(other[2].load()) == Errc::no_process);
}

TEST_CASE("a process that keeps its memory from its own user is not permitted", "[sampler]") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root, to become another user");
    return;
  }
  ::test::ChildProcess user{[](::test::Counters& counters) {
    constexpr unsigned nobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(1);
    const pid_t hidden = ::fork();
    if (hidden == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::prctl(PR_SET_DUMPABLE, 0);
      sleep_on(counters);
    }
    ::test::comes_true([&] { return counters[0] == 1; });
    counters[1] = static_cast<long>(code_of(hidden));
    ::kill(hidden, SIGKILL);
  }};
  REQUIRE(user.wait() == 0);
  CHECK(static_cast<Errc>(user[1].load()) == Errc::not_permitted);
}
