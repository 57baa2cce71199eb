// ThreadIds: threads of a process in another pid namespace.
#include "pyagent/process/namespaces.hpp"

#include <sched.h>
#include <sys/prctl.h>

#include <thread>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using process::ThreadIds;
using test::ChildProcess;
using test::comes_true;
using test::Counters;
using test::sleep_for;

namespace {

/// A thread with a name that tells its id as it knows it.
void start_thread(Counters& counters, std::size_t i) {
  std::thread{[&counters, i] {
    ::prctl(PR_SET_NAME, ("native " + std::to_string(::gettid())).c_str());
    counters[i] = ::gettid();
    for (;;) ::pause();
  }}.detach();
}

std::string name_of(pid_t pid, pid_t tid) {
  const auto text = process::read_text(process::proc_path(pid, "task/" + std::to_string(tid) + "/comm"));
  return text ? text->substr(0, text->find('\n')) : "";
}

}  // namespace

TEST_CASE("the innermost of several numbers is the target's", "[process]") {
  CHECK(process::detail::parse_native_id("Name:\tx\nNSpid:\t4711\t12\t3\nNSpgid:\t1\t2\t4\n") == 3);
  CHECK(process::detail::parse_native_id("Name:\tx\nNSpid:\t4711\nNSpgid:\t1\n") == 0);
  CHECK(process::detail::parse_native_id("Name:\tx\nPid:\t1\n") == 0);
}

TEST_CASE("threads in our own namespace keep their numbers", "[process]") {
  const auto ids = ThreadIds::read(::getpid());
  CHECK(ids.is_same_namespace());
  CHECK(ids.find(12345) == 12345);
}

TEST_CASE("nothing is found in a process that does not exist", "[process]") {
  auto ids = ThreadIds::read(-1);
  CHECK(ids.find(1) == 0);
  ids.refresh();
  CHECK(ids.find(1) == 0);
}

TEST_CASE("threads in another namespace are found by the numbers they know", "[process]") {
  ChildProcess outer{[](Counters& counters) {
    if (::unshare(CLONE_NEWPID) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
      counters[0] = -1;
      return;
    }
    const pid_t inner = ::fork();
    if (inner == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      start_thread(counters, 1);
      while (counters[3] == 0) sleep_for(100us);
      start_thread(counters, 2);
      for (;;) ::pause();
    }
    counters[0] = inner;
    for (;;) ::pause();
  }};
  REQUIRE(comes_true([&] { return outer[0] < 0 || (outer[0] != 0 && outer[1] != 0); }));
  if (outer[0] < 0) {
    WARN("skipped: no pid namespace can be made here");
    return;
  }
  const auto pid = static_cast<pid_t>(outer[0]);
  auto ids = ThreadIds::read(pid);
  CHECK_FALSE(ids.is_same_namespace());
  CHECK(ids.find(1) == pid);
  const auto first = static_cast<pid_t>(outer[1]);
  CHECK(name_of(pid, ids.find(first)) == "native " + std::to_string(first));
  outer[3] = 1;
  REQUIRE(comes_true([&] { return outer[2] != 0; }));
  const auto second = static_cast<pid_t>(outer[2]);
  CHECK(ids.find(second) == 0);
  ids.refresh();
  CHECK(name_of(pid, ids.find(second)) == "native " + std::to_string(second));
  CHECK(ids.find(pid) == 0);
  ::kill(pid, SIGKILL);
}
