// Processes as frames.
#include "pyagent/profile/process_frames.hpp"

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace profile = pyagent::profile;
using pyagent::recording::ProcessRecord;

namespace {

ProcessRecord process(int pid, int parent, std::chrono::nanoseconds started, const std::string& command) {
  ProcessRecord record;
  record.pid = pid;
  record.parent = parent;
  record.started = started;
  record.command = {command};
  return record;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("A process stands on its parents, as far as they are known", "[profile]") {
  const std::vector<ProcessRecord> processes{process(12, 11, 3s, "c"), process(10, 1, 1s, "a"),
                                             process(11, 10, 2s, "b")};
  CHECK(profile::process_frame_names(processes, 0) ==
        Names{"process 10:\"a\"", "process 11:\"b\"", "process 12:\"c\""});
  CHECK(profile::process_frame_names(processes, 1) == Names{"process 10:\"a\""});
}

TEST_CASE("A parent is the program that it was when the child began", "[profile]") {
  const std::vector<ProcessRecord> processes{process(10, 1, 1s, "before"), process(10, 1, 5s, "after"),
                                             process(11, 10, 2s, "early"), process(12, 10, 6s, "late")};
  CHECK(profile::process_frame_names(processes, 2) == Names{"process 10:\"before\"", "process 11:\"early\""});
  CHECK(profile::process_frame_names(processes, 3) == Names{"process 10:\"after\"", "process 12:\"late\""});
}

TEST_CASE("Processes that are each other's parents end somewhere", "[profile]") {
  const std::vector<ProcessRecord> processes{process(10, 11, 1s, "a"), process(11, 10, 2s, "b")};
  CHECK(profile::process_frame_names(processes, 0).size() == 2);
}
