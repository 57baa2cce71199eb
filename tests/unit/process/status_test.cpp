// Status: who a process is, whatever its name.
#include "pyagent/process/status.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <unistd.h>

#include "support/catch.hpp"

using namespace pyagent;

TEST_CASE("a status is read right when the name holds brackets and line breaks", "[process]") {
  const auto status = process::parse_status(
      "42 (a) R 1 (\nb) S 7 42 42 34816 -1 4194304 100 0 0 0 11 12 0 0 20 -5 3 0 987654 1000 200 18446744073709551615\n");
  REQUIRE(status);
  CHECK(status->name == "a) R 1 (\nb");
  CHECK(status->state == 'S');
  CHECK(status->parent == 7);
  CHECK(status->user_ticks == 11);
  CHECK(status->system_ticks == 12);
  CHECK(status->threads == 3);
  CHECK(status->start_ticks == 987654);
}

TEST_CASE("a cut status is refused", "[process]") {
  const std::string text = "42 (a) S 7 42 42 34816 -1 4194304 100 0 0 0 11 12 0 0 20 0 3 0 987654 1000";
  for (std::size_t length = 0; length + 5 < text.size(); ++length) CHECK_FALSE(process::parse_status(text.substr(0, length)));
  CHECK(process::parse_status(text));
}

TEST_CASE("a process can be asked about itself", "[process]") {
  const auto status = process::read_status(::getpid());
  REQUIRE(status);
  CHECK(status->parent == ::getppid());
  CHECK(status->start_ticks > 0);
  const auto arguments = process::read_command_line(::getpid());
  REQUIRE(arguments);
  REQUIRE_FALSE(arguments->empty());
  CHECK(process::read_executable(::getpid()).value_or({}).find('/') == 0);
  CHECK(process::clock_ticks_per_second() > 0);
}

TEST_CASE("every thread is among the tasks", "[process]") {
  pid_t inner = 0;
  std::vector<pid_t> tasks;
  std::thread{[&] {
    inner = ::gettid();
    tasks = process::read_tasks(::getpid()).value_or({});
  }}.join();
  CHECK(std::count(tasks.begin(), tasks.end(), inner) == 1);
  CHECK(std::count(tasks.begin(), tasks.end(), ::getpid()) == 1);
}

TEST_CASE("a process that does not exist gives errors", "[process]") {
  const pid_t nobody = -1;
  CHECK(process::read_status(nobody).error().code == Errc::io_error);
  CHECK(process::read_maps(nobody).error().code == Errc::io_error);
  CHECK(process::read_tasks(nobody).error().code == Errc::io_error);
  CHECK(process::read_command_line(nobody).error().code == Errc::io_error);
}
