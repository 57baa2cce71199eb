// What a recording says of its process, there and back.
#include "pyagent/recording/encode_process.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "pyagent/recording/reader.hpp"
#include "support/catch.hpp"
#include "support/recording_file.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using recording::Encoder;
using recording::ProcessRecord;
using recording::Reader;

namespace {

ProcessRecord through_a_recording(const ProcessRecord& process) {
  test::RecordingFile file;
  auto writer = file.stream(0);
  std::vector<std::byte> payload(recording::process_record_size);
  Encoder out{payload};
  recording::encode_process(process, out);
  REQUIRE(out.ok());
  REQUIRE(writer.write_payload(recording::RecordKind::process, std::span{payload}.first(out.size())) == Errc::ok);
  const auto bytes = file.trimmed();
  const auto reader = Reader::open(bytes);
  REQUIRE(reader);
  REQUIRE(reader->damage().code == Errc::ok);
  return reader->process();
}

}  // namespace

TEST_CASE("a process record comes back as it was", "[recording]") {
  const ProcessRecord process{.pid = std::numeric_limits<std::int32_t>::max(),
                              .parent = 1,
                              .command = {"python3", "", "-c", "print('\n')", "ж"},
                              .executable = "/usr/bin/python3.14",
                              .python_version = "3.14.0t",
                              .engine = "attach, nonblocking",
                              .interval = 10ms,
                              .started = 123456789012345ns,
                              .started_wall_clock = 1'700'000'000'123'456'789ns};
  const ProcessRecord back = through_a_recording(process);
  CHECK(back.pid == process.pid);
  CHECK(back.parent == 1);
  CHECK(back.command == process.command);
  CHECK(back.executable == process.executable);
  CHECK(back.python_version == "3.14.0t");
  CHECK(back.engine == process.engine);
  CHECK(back.interval == 10ms);
  CHECK(back.started == process.started);
  CHECK(back.started_wall_clock == process.started_wall_clock);
}

TEST_CASE("a process of which nothing is known is a record too", "[recording]") {
  const ProcessRecord back = through_a_recording({});
  CHECK(back.pid == 0);
  CHECK(back.command.empty());
  CHECK(back.executable.empty());
  CHECK(back.engine.empty());
}

TEST_CASE("long paths and commands are cut, and what comes after them is kept", "[recording]") {
  ProcessRecord process;
  process.pid = 7;
  process.executable = std::string(10'000, 'x');
  process.python_version = "3.13.0";
  process.command = {std::string(5'000, 'a'), std::string(100'000, 'b'), "never seen"};
  const ProcessRecord back = through_a_recording(process);
  CHECK(back.pid == 7);
  CHECK(back.executable == std::string(4096, 'x'));
  REQUIRE(back.command.size() == 2);
  CHECK(back.command[0] == process.command[0]);
  CHECK(back.command[1] == std::string(8192 - 5'001, 'b'));
  CHECK(back.python_version == "3.13.0");
}
