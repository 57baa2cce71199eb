// Children of our own process, and theirs.
#include "pyagent/process/children.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using process::read_children;

namespace {

bool contains(const std::vector<pid_t>& numbers, pid_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

void wait_for_signals() {
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("read_children gives the children that are there, zombies included", "[process]") {
  const auto before = read_children(::getpid());
  ::test::ChildProcess first{[](auto&) { wait_for_signals(); }};
  ::test::ChildProcess second{[](auto&) {}};
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(second.pid()), &info, WEXITED | WNOWAIT) == 0);
  const auto children = read_children(::getpid());
  CHECK(contains(children, first.pid()));
  CHECK(contains(children, second.pid()));
  CHECK(children.size() == before.size() + 2);
  first.end();
  second.wait();
  CHECK(read_children(::getpid()).size() == before.size());
}

TEST_CASE("read_children gives no grandchildren, but the child gives them", "[process]") {
  ::test::ChildProcess child{[](::test::Counters& counters) {
    const pid_t grandchild = ::fork();
    if (grandchild != 0) counters[0] = grandchild;
    wait_for_signals();
  }};
  REQUIRE(::test::comes_true([&] { return child[0] != 0; }));
  const auto grandchild = static_cast<pid_t>(child[0].load());
  CHECK(!contains(read_children(::getpid()), grandchild));
  CHECK(read_children(child.pid()) == std::vector{grandchild});
  CHECK(read_children(grandchild).empty());
  ::kill(grandchild, SIGKILL);  // or it would live on, with the output that who runs the tests waits for
}

TEST_CASE("children that another thread than the main one started are found", "[process]") {
  pid_t started = 0;
  ::test::ChildProcess child{[](::test::Counters& counters) {
    std::thread starter{[&] {
      const pid_t grandchild = ::fork();
      if (grandchild != 0) counters[0] = grandchild;
      wait_for_signals();
    }};
    starter.join();
  }};
  REQUIRE(::test::comes_true([&] { return child[0] != 0; }));
  started = static_cast<pid_t>(child[0].load());
  CHECK(read_children(child.pid()) == std::vector{started});
  ::kill(started, SIGKILL);
}

TEST_CASE("a process that has ended has no children", "[process]") {
  ::test::ChildProcess child{[](auto&) {}};
  const pid_t pid = child.pid();
  child.wait();
  CHECK(read_children(pid).empty());
  CHECK(read_children(-1).empty());
  CHECK(read_children(0).empty());
}
