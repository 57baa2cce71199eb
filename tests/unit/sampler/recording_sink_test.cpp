// Samples on their way to the disk and back.
#include "pyagent/sampler/recording_sink.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "pyagent/recording/reader.hpp"
#include "support/catch.hpp"
#include "support/fake_process.hpp"
#include "support/recording_file.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using recording::Counter;
using recording::Reader;
using recording::SampleFlag;
using recording::SampleRecord;
using sampler::RecordingSink;
using test::FakeProcess;

namespace {

/// A sink for the recording of our own process.
struct Recorded {
  explicit Recorded(sampler::Options options = {}) {
    auto made = RecordingSink::create(path, target, options);
    REQUIRE(made);
    sink = std::move(*made);
  }

  void add_thread(recording::ThreadIndex index, const std::string& name, std::chrono::nanoseconds cpu = {}) {
    recording::ThreadRecord thread;
    thread.index = index;
    thread.tid = static_cast<std::int32_t>(1000 + index);
    thread.thread_id = 0x7f0000000000 + index;
    thread.is_main = index == 0;
    thread.name = name;
    thread.cpu = cpu;
    thread.sampled = cpu / 2;
    sink->add_thread(thread);
  }
  void add_sample(recording::ThreadIndex thread, std::chrono::nanoseconds time,
                  std::vector<recording::FrameRecord> frames, std::uint16_t flags = 0) {
    SampleRecord sample;
    sample.thread = thread;
    sample.time = time;
    sample.cpu = 3ms;
    sample.wall = 2ms;
    sample.flags = flags;
    sample.frames = std::move(frames);
    sink->add_sample(sample);
  }
  /// The finished recording.
  Reader finish() {
    REQUIRE(sink->finish() == Errc::ok);
    bytes = test::read_file(path);
    auto reader = Reader::open(bytes);
    REQUIRE(reader);
    REQUIRE(reader->damage().code == Errc::ok);
    return *reader;
  }

  test::TemporaryDirectory directory;
  std::string path = directory / "recording";
  FakeProcess fake{cpython::layout_v3_14t};
  sampler::Target target = fake.target(::getpid());
  std::unique_ptr<RecordingSink> sink;
  std::vector<std::byte> bytes;
};

std::vector<SampleRecord> samples_of(const Reader& reader) {
  std::vector<SampleRecord> samples;
  reader.for_each_sample([&](const SampleRecord& one) { samples.push_back(one); });
  return samples;
}

}  // namespace

TEST_CASE("native frames and modules reach the file, from the first on that has any", "[sampler]") {
  Recorded recorded;
  recorded.sink->add_module({.id = 2,
                             .path = "/usr/lib/libc.so.6",
                             .build_id = "\x12\x34",
                             .range = {{0x7000}, {0x9000}},
                             .bias = 0x7000,
                             .is_interpreter = false});
  recorded.add_thread(0, "MainThread");
  recorded.add_sample(0, 10ms, {{1, 4, true}});
  SampleRecord sample;
  sample.time = 20ms;
  sample.flags = static_cast<std::uint16_t>(SampleFlag::native_resumed);
  sample.frames = {{1, 4, true}};
  sample.native = {{2, 0x1234, 2}, {0, 0x7f12'3456'7890, 4 << 2}, {2, 0x2345, 1}};
  recorded.sink->add_sample(sample);
  const Reader reader = recorded.finish();
  REQUIRE(reader.modules().size() == 1);
  CHECK(reader.modules()[0].path == "/usr/lib/libc.so.6");
  CHECK(reader.modules()[0].build_id == "\x12\x34");
  CHECK(reader.modules()[0].range.end == Address{0x9000});
  const auto samples = samples_of(reader);
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].native.empty());
  CHECK(samples[1].native == sample.native);
  CHECK(samples[1].has(SampleFlag::native_resumed));
  CHECK(recorded.sink->counted(Counter::native_resumed) == 1);
  CHECK(recorded.sink->counted(Counter::native_exact) == 0);
}

TEST_CASE("a recording says which process it is of and how it was sampled", "[sampler]") {
  sampler::Options options;
  options.interval = 7ms;
  options.stop_threads = GENERATE(true, false);
  Recorded recorded{options};
  CHECK(recorded.sink->path() == recorded.path);
  const Reader reader = recorded.finish();
  const auto& process = reader.process();
  CHECK(process.pid == ::getpid());
  CHECK(process.parent == ::getppid());
  CHECK(process.interval == 7ms);
  CHECK(process.engine == (options.stop_threads ? "attach" : "attach, nonblocking"));
  CHECK(process.python_version == interpreter::build_text(cpython::layout_v3_14t));
  CHECK(process.executable == *process::read_executable(::getpid()));
  CHECK(process.command == *process::read_command_line(::getpid()));
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  CHECK(process.started <= now);
  CHECK(process.started > now - 60s);
  struct stat status {};
  REQUIRE(::stat(recorded.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(status.st_size % recording::block_size == 0);
  CHECK(status.st_size < 10 * recording::block_size);
}

TEST_CASE("codes, threads and their names come back", "[sampler]") {
  Recorded recorded;
  recording::CodeRecord code;
  code.id = 9;
  code.name = "work";
  code.qualified_name = "Worker.work";
  code.filename = "file.py";
  code.first_line = -3;
  code.line_format = cpython::LineTable::locations;
  code.lines = {std::byte{1}, std::byte{2}};
  recorded.sink->add_code(code);
  recorded.add_thread(0, "MainThread");
  recorded.add_thread(1, "before");
  recorded.add_sample(1, 10ms, {{9, 4, true}});
  recorded.add_sample(0, 11ms, {{9, 4, true}});
  recorded.add_thread(1, "after", 40ms);
  recorded.add_thread(2, "was never sampled", 1ms);
  const Reader reader = recorded.finish();
  int codes = 0;
  reader.for_each_code([&](const recording::CodeRecord& one) {
    ++codes;
    CHECK(one.id == 9);
    CHECK(one.name == "work");
    CHECK(one.qualified_name == "Worker.work");
    CHECK(one.filename == "file.py");
    CHECK(one.first_line == -3);
    CHECK(one.line_format == cpython::LineTable::locations);
    CHECK(one.lines == code.lines);
  });
  CHECK(codes == 1);
  auto threads = reader.threads();
  std::sort(threads.begin(), threads.end(), [](auto& one, auto& other) { return one.index < other.index; });
  REQUIRE(threads.size() == 2);
  CHECK(threads[0].is_main);
  CHECK(threads[0].name == "MainThread");
  CHECK(threads[0].tid == 1000);
  CHECK(threads[0].cpu == 0ns);
  CHECK(!threads[1].is_main);
  CHECK(threads[1].name == "after");
  CHECK(threads[1].thread_id == 0x7f0000000001);
  CHECK(threads[1].cpu == 40ms);
  CHECK(threads[1].sampled == 20ms);
}

TEST_CASE("a name that did not change is written once", "[sampler]") {
  Recorded one, other;
  one.add_thread(0, std::string(4000, 'n'));
  for (int i = 0; i < 100; ++i) other.add_thread(0, std::string(4000, 'n'));
  one.finish();
  other.finish();
  CHECK(one.bytes.size() == other.bytes.size());
}

TEST_CASE("a sample comes back as it was", "[sampler]") {
  Recorded recorded;
  recorded.add_thread(0, "MainThread");
  SampleRecord sample;
  sample.time = 123456789ns;
  sample.cpu = 5ms;
  sample.wall = 6ms;
  sample.flags = static_cast<std::uint16_t>(SampleFlag::off_cpu) | static_cast<std::uint16_t>(SampleFlag::collects);
  sample.elided = 1000;
  sample.elided_at = 1;
  sample.frames = {{3, -1, false}, {4'000'000, 123456, true}};
  recorded.sink->add_sample(sample);
  const auto samples = samples_of(recorded.finish());
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].time == sample.time);
  CHECK(samples[0].cpu == 5ms);
  CHECK(samples[0].wall == 6ms);
  CHECK(samples[0].flags == sample.flags);
  CHECK(samples[0].elided == 1000);
  CHECK(samples[0].elided_at == 1);
  REQUIRE(samples[0].frames.size() == 2);
  CHECK(samples[0].frames[0].code == 3);
  CHECK(samples[0].frames[0].instruction == -1);
  CHECK(!samples[0].frames[0].is_entry);
  CHECK(samples[0].frames[1].code == 4'000'000);
  CHECK(samples[0].frames[1].instruction == 123456);
  CHECK(samples[0].frames[1].is_entry);
}

TEST_CASE("more threads than streams share them, and each keeps its samples", "[sampler]") {
  constexpr recording::ThreadIndex threads = 150;
  Recorded recorded;
  const auto frames = [](recording::ThreadIndex thread, int round) {
    std::vector<recording::FrameRecord> made(20, recording::FrameRecord{thread + 1, 2, true});
    made[0].instruction = round;
    return made;
  };
  for (recording::ThreadIndex i = 0; i < threads; ++i) recorded.add_thread(i, "thread " + std::to_string(i));
  for (int round = 0; round < 30; ++round)
    for (recording::ThreadIndex i = 0; i < threads; ++i)
      recorded.add_sample(i, round * 10ms + 1ns * i, frames(i, round));
  const Reader reader = recorded.finish();
  CHECK(reader.threads().size() == threads);
  for (const auto& thread : reader.threads()) CHECK(thread.name == "thread " + std::to_string(thread.index));
  std::map<recording::ThreadIndex, int> rounds;
  int wrong = 0;
  for (const SampleRecord& sample : samples_of(reader)) {
    const int round = rounds[sample.thread]++;
    wrong += sample.frames.size() != 20 || sample.frames[0].instruction != round ||
             sample.frames[7].code != sample.thread + 1 || sample.time != round * 10ms + 1ns * sample.thread;
  }
  CHECK(wrong == 0);
  CHECK(rounds.size() == threads);
  for (const auto& [thread, count] : rounds) CHECK(count == 30);
  CHECK(reader.counters().samples == 30 * threads);
}

TEST_CASE("what was counted is in the recording", "[sampler]") {
  Recorded recorded;
  recorded.add_thread(0, "MainThread");
  recorded.sink->count(Counter::missed_ticks, 17);
  recorded.sink->count(Counter::dropped_unreadable, 3);
  for (const auto flag :
       {SampleFlag::repaired, SampleFlag::suspect, SampleFlag::suspect, SampleFlag::unreadable, SampleFlag::holds_gil})
    recorded.add_sample(0, 1ms, {{1, 0, true}}, static_cast<std::uint16_t>(flag));
  CHECK(recorded.sink->counted(Counter::samples) == 5);
  CHECK(recorded.sink->counted(Counter::suspect) == 2);
  recorded.add_sample(
      0, 2ms,
      std::vector<recording::FrameRecord>(5000, recording::FrameRecord{1, 0, true}));  // deeper than a record may be
  CHECK(recorded.sink->status() == Errc::ok);
  const auto counters = recorded.finish().counters();
  CHECK(counters.samples == 5);
  CHECK(counters.repaired == 1);
  CHECK(counters.suspect == 2);
  CHECK(counters.unreadable == 1);
  CHECK(counters.elided == 0);
  CHECK(counters.missed_ticks == 17);
  CHECK(counters.dropped == 1);
  CHECK(counters.dropped_unreadable == 3);
}

TEST_CASE("a file that exists is never written to", "[sampler]") {
  const test::TemporaryDirectory directory;
  FakeProcess fake{cpython::layout_v3_14};
  const sampler::Target target = fake.target(::getpid());
  const std::string file = directory / "file", link = directory / "link", nowhere = directory / "none/file";
  std::ofstream{file} << "mine";
  REQUIRE(::symlink((directory / "new").c_str(), link.c_str()) == 0);
  for (const std::string& path : {file, link, nowhere}) {
    const auto sink = RecordingSink::create(path, target, {});
    CHECK(!sink);
    CHECK(sink.error().code == Errc::io_error);
  }
  CHECK(test::read_file(file).size() == 4);
  CHECK(::access((directory / "new").c_str(), F_OK) != 0);
}

TEST_CASE("without space the samples so far are kept and the sink says why there are no more", "[sampler]") {
  Recorded recorded;
  recorded.add_thread(0, "MainThread");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit tight = before;
  tight.rlim_cur = recording::Spool::extent_size;
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const auto other = RecordingSink::create(recorded.directory / "fits", recorded.target, {});
  tight.rlim_cur = recording::Spool::extent_size - 1;
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const auto none = RecordingSink::create(recorded.directory / "none", recorded.target, {});
  std::uint64_t given = 0;
  for (int i = 0; recorded.sink->status() == Errc::ok && i < 10'000; ++i, ++given) {
    std::vector<recording::FrameRecord> frames;
    for (std::uint32_t frame = 0; frame < 200; ++frame)
      frames.push_back({static_cast<recording::CodeId>(i * 200) + frame, 0, true});
    recorded.add_sample(0, i * 1ms, std::move(frames));
  }
  const Errc status = recorded.sink->status();
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK(other);
  CHECK(none.error().code == Errc::no_space);
  CHECK(::access((recorded.directory / "none").c_str(), F_OK) != 0);
  CHECK(status == Errc::no_space);
  const Reader reader = recorded.finish();
  CHECK(given > 100);
  CHECK(samples_of(reader).size() == given - 1);
  CHECK(reader.counters().samples == given - 1);
  CHECK(reader.counters().dropped == 1);
}
