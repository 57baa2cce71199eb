// SignalSets: what a thread does with its signals, and which wait for it.
#include "pyagent/process/signal_sets.hpp"

#include "support/catch.hpp"
#include "support/child_process.hpp"

using namespace pyagent;
using test::ChildProcess;
using test::comes_true;
using test::Counters;

TEST_CASE("signal sets are read from a status file", "[process]") {
  const auto sets = process::parse_signal_sets(
      "Name:\tx\nSigQ:\t0/100\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000000200\nSigBlk:\t0000000000000001\n"
      "SigIgn:\t0000000000001000\nSigCgt:\t8000000000000002\n");
  REQUIRE(sets);
  CHECK(sets->pending == 0x201);
  CHECK(sets->blocked == 1);
  CHECK(sets->ignored == 0x1000);
  CHECK(sets->caught == 0x8000000000000002);
  CHECK(sets->has_deliverable());
  CHECK(sets->is_ignored(13));
  CHECK_FALSE(sets->is_ignored(2));
  CHECK_FALSE(sets->is_ignored(64));
  CHECK_FALSE(process::parse_signal_sets("SigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\n"));
}

TEST_CASE("a process is asked for its signals", "[process]") {
  ChildProcess child{[](Counters& counters) {
    ::signal(SIGUSR1, SIG_IGN);
    ::signal(SIGURG, [](int) {});
    sigset_t blocked;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGUSR2);
    ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
    ::raise(SIGUSR2);
    counters[0] = 1;
    for (;;) ::pause();
  }};
  REQUIRE(comes_true([&] { return child[0] == 1; }));
  const auto sets = process::read_signal_sets(child.pid());
  REQUIRE(sets);
  CHECK(sets->pending == 1U << (SIGUSR2 - 1));
  CHECK_FALSE(sets->has_deliverable());
  CHECK(sets->is_ignored(SIGUSR1));
  CHECK(sets->is_ignored(SIGCHLD));
  CHECK_FALSE(sets->is_ignored(SIGURG));
  CHECK_FALSE(sets->is_ignored(SIGTERM));
  const pid_t pid = child.pid();
  child.end();
  CHECK(process::read_signal_sets(pid).error().code == Errc::no_process);
}
