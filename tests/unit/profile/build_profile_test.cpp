// A hand-made recording becomes a profile.
#include "pyagent/profile/build_profile.hpp"

#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace profile = pyagent::profile;
namespace recording = pyagent::recording;
using recording::SampleFlag;

namespace {

struct FakeRecording {
  std::vector<recording::CodeRecord> codes;
  std::vector<recording::ModuleRecord> modules;
  std::vector<recording::SampleRecord> samples;
  std::vector<recording::ThreadRecord> thread_records;
  recording::ProcessRecord process_record;
  recording::Counters counted;

  template <class F>
  void for_each_code(F f) const {
    for (const auto& code : codes) f(code);
  }
  template <class F>
  void for_each_module(F f) const {
    for (const auto& module : modules) f(module);
  }
  template <class F>
  void for_each_sample(F f) const {
    for (const auto& sample : samples) f(sample);
  }
  const std::vector<recording::ThreadRecord>& threads() const { return thread_records; }
  const recording::ProcessRecord& process() const { return process_record; }
  const recording::Counters& counters() const { return counted; }

  // Codes `root` (1) and `leaf` (2) of /src/app.py, a main thread.
  FakeRecording() {
    add_code(1, "root", 10);
    add_code(2, "leaf", 20);
    thread_records.push_back({.index = 0, .tid = 4711, .thread_id = 99, .is_main = true, .name = "MainThread"});
    process_record.pid = 4711;
    process_record.command = {"/usr/bin/python3", "app.py"};
    process_record.interval = 10ms;
  }

  void add_code(recording::CodeId id, const std::string& name, std::int32_t first_line) {
    auto& code = codes.emplace_back();
    code.id = id;
    code.name = name;
    code.filename = "/src/app.py";
    code.first_line = first_line;
  }

  recording::SampleRecord& add_sample(std::chrono::nanoseconds cpu, std::uint16_t flags = 0) {
    samples.push_back({.thread = 0,
                       .time = 10ms * static_cast<int>(samples.size()),
                       .cpu = cpu,
                       .flags = flags,
                       .frames = {{.code = 2, .instruction = 4}, {.code = 1, .instruction = 6}}});
    return samples.back();
  }
};

constexpr std::uint16_t bits(SampleFlag flag) { return static_cast<std::uint16_t>(flag); }

// Lines are the function's first plus the instruction's offset, columns the offset alone.
struct FakeSymbolizer {
  std::string name(const recording::CodeRecord& code) { return code.name; }
  std::string short_filename(const recording::CodeRecord& code) {
    return code.filename.substr(code.filename.rfind('/') + 1);
  }
  profile::Position position(const recording::CodeRecord& code, std::int32_t instruction) {
    return {code.first_line + instruction, instruction};
  }
};

profile::Profile built(const FakeRecording& recording, const profile::ProfileOptions& options = {}) {
  FakeSymbolizer symbolizer;
  return profile::build_profile(recording, options, symbolizer);
}

// `root app.py:16:6;leaf app.py:24:4`
std::string shown(const profile::Profile& p, profile::StackId stack) {
  std::string text;
  for (const auto id : p.frames_of(stack)) {
    const auto& frame = p.frame(id);
    if (!text.empty()) text += ';';
    text += p.string(frame.name);
    if (frame.file != 0) text += ' ' + p.string(frame.file);
    if (frame.line != 0) text += ':' + std::to_string(frame.line);
    if (frame.column != 0) text += ':' + std::to_string(frame.column);
  }
  return text;
}

std::string first_stack(const profile::Profile& p) { return shown(p, p.threads.at(0).samples.at(0).stack); }

std::string fact(const profile::Profile& p, const std::string& name) {
  for (const auto& [key, value] : p.facts)
    if (key == name) return value;
  return "(none)";
}

}  // namespace

TEST_CASE("A sample's frames are turned root first and get names, files, lines and columns", "[profile]") {
  FakeRecording recording;
  recording.add_sample(10ms);
  const auto p = built(recording);
  CHECK(first_stack(p) == "root app.py:16:6;leaf app.py:24:4");
  CHECK(p.threads[0].samples[0].weight == 10ms);
  CHECK(p.threads[0].name == "MainThread");
  CHECK(p.threads[0].tid == 4711);
  CHECK(p.threads[0].id == 99);
  CHECK(p.name == "python3 app.py (pid 4711)");
  CHECK(p.interval == 10ms);
}

TEST_CASE("Options choose lines and file names", "[profile]") {
  FakeRecording recording;
  recording.add_sample(10ms);
  CHECK(first_stack(built(recording, {.function = true})) == "root app.py:10;leaf app.py:20");
  CHECK(first_stack(built(recording, {.show_lines = false})) == "root app.py;leaf app.py");
  CHECK(first_stack(built(recording, {.function = true, .show_lines = false})) == "root app.py;leaf app.py");
  CHECK(first_stack(built(recording, {.full_filenames = true})) == "root /src/app.py:16:6;leaf /src/app.py:24:4");
}

TEST_CASE("With threads, a frame per thread stands below its stacks", "[profile]") {
  FakeRecording recording;
  recording.add_sample(10ms, bits(SampleFlag::unreadable));
  CHECK(first_stack(built(recording, {.show_lines = false, .threads = true})) ==
        "thread (4711): MainThread;[truncated];root app.py;leaf app.py");
  recording.thread_records[0].name = "";
  recording.thread_records[0].tid = 0;
  CHECK(first_stack(built(recording, {.show_lines = false, .threads = true})) ==
        "thread (99);[truncated];root app.py;leaf app.py");
}

TEST_CASE("With gil, only samples that hold the GIL remain", "[profile]") {
  FakeRecording recording;
  recording.add_sample(1ms);
  recording.add_sample(2ms, bits(SampleFlag::holds_gil));
  const auto p = built(recording, {.gil = true});
  REQUIRE(p.threads[0].samples.size() == 1);
  CHECK(p.threads[0].samples[0].weight == 2ms);
}

TEST_CASE("With idle, time off the CPU counts; without it such samples are left out", "[profile]") {
  FakeRecording recording;
  recording.add_sample(3ms);
  recording.add_sample(0ms, bits(SampleFlag::off_cpu)).wall = 5s;
  recording.add_sample(1ms, bits(SampleFlag::off_cpu)).wall = 2s;
  const auto cpu = built(recording);
  REQUIRE(cpu.threads[0].samples.size() == 2);
  CHECK(cpu.threads[0].samples[1].weight == 1ms);
  const auto wall = built(recording, {.idle = true});
  REQUIRE(wall.threads[0].samples.size() == 3);
  CHECK(wall.threads[0].samples[0].weight == 3ms);
  CHECK(wall.threads[0].samples[1].weight == 5s);
  CHECK(wall.threads[0].samples[2].weight == 2001ms);
}

TEST_CASE("Frames left out are one frame at their place", "[profile]") {
  FakeRecording recording;
  auto& sample = recording.add_sample(10ms, bits(SampleFlag::elided));
  sample.elided = 1234;
  sample.elided_at = 1;
  CHECK(first_stack(built(recording, {.show_lines = false})) == "root app.py;[1234 frames left out];leaf app.py");
  recording.samples[0].elided_at = 2;
  CHECK(first_stack(built(recording, {.show_lines = false})) == "[1234 frames left out];root app.py;leaf app.py");
}

TEST_CASE("The interpreter's own code around __init__ is not shown, and code of a program that is called so is", "[profile]") {
  FakeRecording recording;
  recording.codes[0].name = recording.codes[0].filename = "__init__";
  recording.add_sample(10ms);
  CHECK(first_stack(built(recording, {.show_lines = false})) == "__init__ __init__;leaf app.py");
  recording.codes[0].first_line = 0;
  CHECK(first_stack(built(recording, {.show_lines = false})) == "leaf app.py");
}

TEST_CASE("Suspect samples are kept and say so", "[profile]") {
  FakeRecording recording;
  recording.add_sample(10ms, bits(SampleFlag::suspect));
  CHECK(first_stack(built(recording, {.show_lines = false})) == "[incomplete];root app.py;leaf app.py");
}

TEST_CASE("Samples without frames are counted and left out, and so are threads without samples", "[profile]") {
  FakeRecording recording;
  recording.thread_records.push_back({.index = 1, .tid = 5, .name = "worker"});
  recording.thread_records.push_back({.index = 2, .tid = 6, .name = "empty"});
  recording.add_sample(10ms);
  recording.add_sample(10ms).thread = 1;
  auto& empty = recording.add_sample(10ms);
  empty.thread = 2;
  empty.frames.clear();
  const auto p = built(recording);
  REQUIRE(p.threads.size() == 2);
  CHECK(p.threads[1].name == "worker");
  CHECK(fact(p, "samples without frames") == "1");
}

TEST_CASE("Samples are in order of time", "[profile]") {
  FakeRecording recording;
  recording.add_sample(1ms).time = 30ms;
  recording.add_sample(2ms).time = 20ms;
  const auto p = built(recording);
  CHECK(p.threads[0].samples[0].weight == 2ms);
  CHECK(p.threads[0].samples[1].weight == 1ms);
}

TEST_CASE("What a damaged recording lacks is shown as unknown", "[profile]") {
  FakeRecording recording;
  auto& sample = recording.add_sample(-5ms);
  sample.thread = 77;
  sample.frames.push_back({.code = 0xFFFFFFFF, .instruction = -1});
  const auto p = built(recording, {.show_lines = false});
  CHECK(first_stack(p) == "[unknown code];root app.py;leaf app.py");
  CHECK(p.threads[0].tid == 0);
  CHECK(p.threads[0].samples[0].weight == 0ns);
}

TEST_CASE("A recording without samples gives a profile without threads", "[profile]") {
  const auto p = built(FakeRecording{});
  CHECK(p.threads.empty());
  CHECK(p.frame_count() == 0);
}

TEST_CASE("A profile says how it was taken and what was lost", "[profile]") {
  FakeRecording recording;
  recording.process_record.python_version = "3.13.0t";
  recording.process_record.engine = "cpu";
  recording.process_record.started_wall_clock = 1'709'208'000s + 123'456'789ns;  // date -u -d @1709208000
  recording.counted.samples = 12;
  recording.counted.suspect = 2;
  recording.counted.dropped = 3;
  recording.thread_records[0].cpu = 1500ms;
  recording.thread_records[0].sampled = 1490ms;
  const auto p = built(recording);
  CHECK(fact(p, "pid") == "4711");
  CHECK(fact(p, "command") == "/usr/bin/python3 app.py");
  CHECK(fact(p, "python") == "3.13.0t");
  CHECK(fact(p, "engine") == "cpu");
  CHECK(fact(p, "interval") == "0.01");
  CHECK(fact(p, "started") == "2024-02-29T12:00:00.123456Z");
  CHECK(fact(p, "samples") == "12");
  CHECK(fact(p, "samples suspect") == "2");
  CHECK(fact(p, "samples dropped") == "3");
  CHECK(fact(p, "thread 4711") == "MainThread");
  CHECK(fact(p, "thread 4711 cpu") == "1.5");
  CHECK(fact(p, "thread 4711 sampled") == "1.49");
}

TEST_CASE("A profile's title is the command, or what is known instead", "[profile]") {
  recording::ProcessRecord process;
  process.pid = 3;
  process.command = {"/opt/bin/python3.12", "-m", "http.server"};
  CHECK(profile::profile_name(process) == "python3.12 -m http.server (pid 3)");
  process.command = {};
  process.executable = "/usr/bin/uwsgi";
  CHECK(profile::profile_name(process) == "uwsgi (pid 3)");
  process.executable = "";
  CHECK(profile::profile_name(process) == "pid 3");
  process.command = {"python", std::string(1000, 'x')};
  CHECK(profile::profile_name(process) == "python " + std::string(113, 'x') + "... (pid 3)");
}

TEST_CASE("Several recordings are one profile, with the threads of each", "[profile]") {
  std::vector<FakeRecording> recordings(2);
  recordings[1].process_record.pid = recordings[1].thread_records[0].tid = 4712;
  recordings[1].codes[0].name = "other";
  for (auto& recording : recordings) recording.add_sample(10ms);
  FakeSymbolizer symbolizer;
  const auto p = profile::build_profile(std::span<const FakeRecording>{recordings}, {.show_lines = false}, symbolizer);
  REQUIRE(p.threads.size() == 2);
  CHECK(p.name == "python3 app.py (pid 4711)");
  CHECK(p.threads[0].pid == 4711);
  CHECK(p.threads[1].pid == 4712);
  CHECK(shown(p, p.threads[0].samples.at(0).stack) == "root app.py;leaf app.py");
  CHECK(shown(p, p.threads[1].samples.at(0).stack) == "other app.py;leaf app.py");
  CHECK(profile::build_profile(std::span<const FakeRecording>{}, {}, symbolizer).threads.empty());
}

TEST_CASE("With processes, a frame per process stands below its threads' and on top of its parent's", "[profile]") {
  std::vector<FakeRecording> recordings(2);
  recordings[1].process_record.pid = 4712;
  recordings[1].process_record.parent = 4711;
  recordings[1].process_record.command = {"worker"};
  for (auto& recording : recordings) recording.add_sample(10ms);
  FakeSymbolizer symbolizer;
  const profile::ProfileOptions options{.show_lines = false, .threads = true, .processes = true};
  const auto p = profile::build_profile(std::span<const FakeRecording>{recordings}, options, symbolizer);
  CHECK(shown(p, p.threads.at(0).samples.at(0).stack) ==
        "process 4711:\"/usr/bin/python3 app.py\";thread (4711): MainThread;root app.py;leaf app.py");
  CHECK(shown(p, p.threads.at(1).samples.at(0).stack) ==
        "process 4711:\"/usr/bin/python3 app.py\";process 4712:\"worker\";thread (4711): MainThread;root app.py;leaf app.py");
}
