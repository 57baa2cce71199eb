// Samples kept in memory.
#include "pyagent/sampler/memory_recording.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using recording::Counter;
using recording::Counters;
using recording::SampleFlag;
using recording::SampleRecord;
using sampler::MemoryRecording;

namespace {

SampleRecord sample(recording::ThreadIndex thread, std::chrono::milliseconds time,
                    std::vector<recording::FrameRecord> frames = {{1, 4, true}}) {
  SampleRecord record;
  record.thread = thread;
  record.time = time;
  record.cpu = 3ms;
  record.wall = 2ms;
  record.frames = std::move(frames);
  return record;
}

std::vector<SampleRecord> samples_of(const MemoryRecording& recording) {
  std::vector<SampleRecord> samples;
  recording.for_each_sample([&](const SampleRecord& one) { samples.push_back(one); });
  return samples;
}

std::uint16_t bit(SampleFlag flag) { return static_cast<std::uint16_t>(flag); }

}  // namespace

TEST_CASE("equal neighbours of a thread are kept once, with the weight of both", "[sampler]") {
  MemoryRecording recording{{}};
  recording.add_sample(sample(0, 10ms));
  recording.add_sample(sample(1, 11ms));  // another thread between them
  recording.add_sample(sample(0, 20ms));
  recording.add_sample(sample(0, 30ms, {{1, 6, true}}));
  recording.add_sample(sample(0, 40ms));
  const auto samples = samples_of(recording);
  REQUIRE(samples.size() == 4);
  CHECK(samples[0].time == 20ms);
  CHECK(samples[0].cpu == 6ms);
  CHECK(samples[0].wall == 4ms);
  CHECK(samples[1].thread == 1);
  CHECK(samples[1].cpu == 3ms);
  CHECK(samples[3].cpu == 3ms);
  CHECK(recording.counters().samples == 5);
}

TEST_CASE("native frames and their modules are kept, and counted once by the worst that is true", "[sampler]") {
  MemoryRecording recording{{}};
  recording.add_module({.id = 3, .path = "/lib/libc.so.6"});
  const auto add = [&](std::uint16_t flags) {
    SampleRecord one = sample(0, 10ms);
    one.native = {{3, 0x1000, 2}, {3, 0x2000, 1}};
    one.flags = flags;
    recording.add_sample(one);
  };
  add(0);
  add(bit(SampleFlag::native_resumed));
  add(bit(SampleFlag::native_resumed) | bit(SampleFlag::native_scanned));
  add(bit(SampleFlag::native_scanned) | bit(SampleFlag::python_tail));
  add(bit(SampleFlag::python_tail) | bit(SampleFlag::native_truncated));
  recording.add_sample(sample(0, 20ms));  // without any
  REQUIRE(recording.modules().size() == 1);
  CHECK(recording.modules()[0].path == "/lib/libc.so.6");
  CHECK(samples_of(recording)[0].native.size() == 2);
  const Counters& counters = recording.counters();
  CHECK(counters.samples == 6);
  CHECK(counters.native_exact == 1);
  CHECK(counters.native_resumed == 1);
  CHECK(counters.native_scanned == 1);
  CHECK(counters.native_python_tail == 1);
  CHECK(counters.native_truncated == 1);
}

TEST_CASE("samples that differ in anything are kept apart", "[sampler]") {
  const auto differs = [](auto change) {
    MemoryRecording recording{{}};
    SampleRecord second = sample(0, 20ms);
    change(second);
    recording.add_sample(sample(0, 10ms));
    recording.add_sample(second);
    return samples_of(recording).size() == 2;
  };
  CHECK(!differs([](SampleRecord&) {}));
  CHECK(differs([](SampleRecord& one) { one.thread = 7; }));
  CHECK(differs([](SampleRecord& one) { one.frames[0].code = 2; }));
  CHECK(differs([](SampleRecord& one) { one.frames[0].instruction = -1; }));
  CHECK(differs([](SampleRecord& one) { one.frames[0].is_entry = false; }));
  CHECK(differs([](SampleRecord& one) { one.frames.push_back({1, 4, true}); }));
  CHECK(differs([](SampleRecord& one) { one.frames.clear(); }));
  CHECK(differs([](SampleRecord& one) { one.flags = bit(SampleFlag::holds_gil); }));
  CHECK(differs([](SampleRecord& one) { one.elided = 3; }));
  CHECK(differs([](SampleRecord& one) { one.native = {{1, 0x1000, 0}}; }));
}

TEST_CASE("what was left out of a stack tells samples apart by its place too", "[sampler]") {
  MemoryRecording recording{{}};
  SampleRecord first = sample(0, 10ms, {{1, 4, true}, {2, 4, true}, {3, 4, true}});
  first.elided = 5;
  first.elided_at = 1;
  SampleRecord second = first;
  second.elided_at = 2;
  recording.add_sample(first);
  recording.add_sample(second);
  CHECK(samples_of(recording).size() == 2);
}

TEST_CASE("threads and codes come back as they were told last", "[sampler]") {
  recording::ProcessRecord process;
  process.pid = 42;
  MemoryRecording recording{process};
  CHECK(recording.process().pid == 42);
  recording::ThreadRecord thread;
  thread.index = 2;
  thread.name = "third";
  recording.add_thread(thread);
  thread.cpu = 5ms;
  recording.add_thread(thread);
  REQUIRE(recording.threads().size() == 3);
  CHECK(recording.threads()[2].name == "third");
  CHECK(recording.threads()[2].cpu == 5ms);
  recording::CodeRecord code;
  code.id = 1;
  code.name = "work";
  recording.add_code(code);
  std::string names;
  recording.for_each_code([&](const recording::CodeRecord& one) { names += one.name; });
  CHECK(names == "work");
}

TEST_CASE("each counter is its own, and samples count what they are flagged with", "[sampler]") {
  MemoryRecording recording{{}};
  const auto each = [](const Counters& counters) {
    return std::vector<std::uint64_t>{counters.samples,
                                      counters.without_python,
                                      counters.repaired,
                                      counters.suspect,
                                      counters.unreadable,
                                      counters.elided,
                                      counters.dropped,
                                      counters.unsampled_threads,
                                      counters.missed_ticks,
                                      counters.stop_timeouts,
                                      counters.dropped_changed,
                                      counters.dropped_invalid,
                                      counters.dropped_unreadable,
                                      counters.unstopped_threads};
  };
  const auto count = static_cast<int>(Counter::unstopped_threads) + 1;
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < count; ++i) {
    recording.count(static_cast<Counter>(i), static_cast<std::uint64_t>(i) + 1);
    expected.push_back(static_cast<std::uint64_t>(i) + 1);
  }
  CHECK(each(recording.counters()) == expected);
  SampleRecord flagged = sample(0, 10ms);
  flagged.elided = 1;
  for (const auto flag : {SampleFlag::repaired, SampleFlag::suspect, SampleFlag::unreadable}) {
    flagged.flags = bit(flag);
    recording.add_sample(flagged);
  }
  expected[0] += 3;
  for (const int i : {2, 3, 4}) ++expected[static_cast<std::size_t>(i)];
  expected[5] += 3;
  CHECK(each(recording.counters()) == expected);
}
