// What a stream's writer writes, the reader gives back.
#include "pyagent/recording/stream_writer.hpp"

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "pyagent/recording/reader.hpp"
#include "support/catch.hpp"
#include "support/recording_file.hpp"

using namespace pyagent;
using recording::CodedFrame;
using recording::CodeRecord;
using recording::NativeFlag;
using recording::NativeFrameRecord;
using recording::Reader;
using recording::SampleRecord;
using recording::StreamWriter;
using pyagent::test::chars;
using pyagent::test::RecordingFile;

namespace {

std::vector<SampleRecord> samples_of(const Reader& reader) {
  std::vector<SampleRecord> samples;
  reader.for_each_sample([&](const SampleRecord& sample) { samples.push_back(sample); });
  return samples;
}

std::vector<CodedFrame> coded(const SampleRecord& sample) {
  std::vector<CodedFrame> frames;
  for (const auto& frame : sample.frames) frames.push_back({.code = frame.code * 2 + frame.is_entry, .instruction = frame.instruction});
  return frames;
}

// Native frames leaf first: `depth` of them, the `fresh` leaf-most made by `seed`, the others the same for every seed.
std::vector<NativeFrameRecord> native_of(std::uint32_t depth, std::uint32_t fresh, std::uint32_t seed) {
  std::vector<NativeFrameRecord> native;
  for (std::uint32_t i = 0; i < depth; ++i)
    native.push_back(i < fresh ? NativeFrameRecord{.module = seed % 70, .address = seed * 0x1000 + i, .flags = static_cast<std::uint8_t>(i % 32)}
                               : NativeFrameRecord{.module = 2, .address = 0x12345678 + depth - i, .flags = 1});
  return native;
}

// Frames leaf first: `depth` of them, the `fresh` leaf-most made by `seed`, the others the same for every seed.
std::vector<CodedFrame> stack_of(std::uint32_t depth, std::uint32_t fresh, std::uint32_t seed) {
  std::vector<CodedFrame> stack;
  for (std::uint32_t i = 0; i < depth; ++i)
    stack.push_back(i < fresh ? CodedFrame{.code = seed * 1000 + i, .instruction = static_cast<std::int32_t>(seed % 5) - 1}
                              : CodedFrame{.code = depth - i, .instruction = 2});
  return stack;
}

Reader open(const std::vector<std::byte>& bytes) {
  auto reader = Reader::open(bytes);
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  return *reader;
}

}  // namespace

TEST_CASE("one sample reads back as it was written", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(3);
  CHECK(writer.is_bound());
  CHECK(!StreamWriter{}.is_bound());
  writer.begin_thread({.index = 5, .tid = 4711, .thread_id = 0x7f00'1234'5678, .is_main = true});
  const std::vector<CodedFrame> stack{{.code = 7, .instruction = 12}, {.code = 4, .instruction = -1}};
  REQUIRE(writer.write_sample({.time = 1000, .cpu = 20, .wall = 30, .flags = 5, .elided = 9, .elided_at = 1}, stack) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  REQUIRE(reader.threads().size() == 1);
  CHECK(reader.threads()[0].index == 5);
  CHECK(reader.threads()[0].tid == 4711);
  CHECK(reader.threads()[0].thread_id == 0x7f00'1234'5678);
  CHECK(reader.threads()[0].is_main);
  const auto samples = samples_of(reader);
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].thread == 5);
  CHECK(samples[0].time.count() == 1000);
  CHECK(samples[0].cpu.count() == 20);
  CHECK(samples[0].wall.count() == 30);
  CHECK(samples[0].flags == 5);
  CHECK(samples[0].elided == 9);
  CHECK(samples[0].elided_at == 1);
  REQUIRE(samples[0].frames.size() == 2);
  CHECK(samples[0].frames[0].code == 3);
  CHECK(samples[0].frames[0].is_entry);
  CHECK(samples[0].frames[0].instruction == 12);
  CHECK(samples[0].frames[1].code == 2);
  CHECK(!samples[0].frames[1].is_entry);
  CHECK(samples[0].frames[1].instruction == -1);
}

TEST_CASE("code, process, names and CPU times read back as they were written", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  using namespace std::string_view_literals;
  REQUIRE(RecordingFile::write_process(writer, 4711, "python3\0-c\0\0pass\0"sv) == Errc::ok);
  REQUIRE(RecordingFile::write_code(writer, 1, "function") == Errc::ok);
  writer.begin_thread({.index = 0, .tid = 1, .thread_id = 2, .is_main = false});
  REQUIRE(writer.write_sample({.time = 1}, stack_of(2, 0, 0)) == Errc::ok);
  REQUIRE(writer.write_thread_name(0, chars("first name")) == Errc::ok);
  REQUIRE(writer.write_thread_name(0, chars("Ω name")) == Errc::ok);
  REQUIRE(writer.write_thread_cpu(0, 300, 200) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  CHECK(reader.process().pid == 4711);
  CHECK(reader.process().parent == 4710);
  CHECK(reader.process().interval.count() == 10'000'000);
  CHECK(reader.process().started.count() == 5'000);
  CHECK(reader.process().started_wall_clock.count() == 1'700'000'000'000'000'000);
  CHECK(reader.process().engine == "cpu");
  CHECK(reader.process().python_version == "3.13.0");
  CHECK(reader.process().executable == "/usr/bin/python3");
  CHECK(reader.process().command == std::vector<std::string>{"python3", "-c", "", "pass"});
  std::vector<CodeRecord> codes;
  reader.for_each_code([&](const CodeRecord& code) { codes.push_back(code); });
  REQUIRE(codes.size() == 1);
  CHECK(codes[0].id == 1);
  CHECK(codes[0].first_line == 10);
  CHECK(codes[0].name == "function");
  CHECK(codes[0].qualified_name == "Class.function");
  CHECK(codes[0].filename == "/home/user/file.py");
  CHECK(codes[0].line_format == cpython::LineTable::locations);
  CHECK(codes[0].lines == std::vector<std::byte>{std::byte{0}, std::byte{1}, std::byte{2}, std::byte{3}});
  REQUIRE(reader.threads().size() == 1);
  CHECK(reader.threads()[0].name == "Ω name");
  CHECK(reader.threads()[0].cpu.count() == 300);
  CHECK(reader.threads()[0].sampled.count() == 200);
}

TEST_CASE("what is said of a thread before its first sample is kept, of one without samples it is not", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({.index = 2, .tid = 11, .thread_id = 22, .is_main = true});
  REQUIRE(writer.write_thread_name(2, chars("early")) == Errc::ok);
  REQUIRE(writer.write_thread_name(1, chars("never sampled")) == Errc::ok);
  REQUIRE(writer.write_thread_cpu(2, 3, 2) == Errc::ok);
  REQUIRE(writer.write_sample({.time = 1}, {}) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  REQUIRE(reader.threads().size() == 1);
  CHECK(reader.threads()[0].name == "early");
  CHECK(reader.threads()[0].tid == 11);
  CHECK(reader.threads()[0].is_main);
  CHECK(reader.threads()[0].cpu.count() == 3);
}

TEST_CASE("stacks that share their roots cost little and read back whole", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  std::vector<std::vector<CodedFrame>> written;
  for (std::uint32_t i = 0; i < 3000; ++i) written.push_back(stack_of(50, 1 + i % 3, i));
  for (std::size_t i = 0; i < written.size(); ++i) REQUIRE(writer.write_sample({.time = 10 * i, .cpu = 10}, written[i]) == Errc::ok);
  const auto bytes = file.trimmed();
  CHECK(bytes.size() < 3000 * 40);
  const auto samples = samples_of(open(bytes));
  REQUIRE(samples.size() == written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    CHECK(coded(samples[i]) == written[i]);
    CHECK(samples[i].time.count() == static_cast<std::int64_t>(10 * i));
  }
}

TEST_CASE("stacks of every relation to the one before read back whole", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  std::vector<std::vector<CodedFrame>> written;
  for (const std::uint32_t depth : {0u, 5u, 5u, 3u, 9u, 0u, 1u, 4096u, 4096u, 2u})
    for (const std::uint32_t fresh : {0u, 1u, depth}) written.push_back(stack_of(depth, fresh, depth + fresh));
  for (const auto& stack : written) REQUIRE(writer.write_sample({}, stack) == Errc::ok);
  const auto bytes = file.trimmed();
  const auto samples = samples_of(open(bytes));
  REQUIRE(samples.size() == written.size());
  for (std::size_t i = 0; i < written.size(); ++i) CHECK(coded(samples[i]) == written[i]);
}

TEST_CASE("native stacks of every relation to the one before read back whole", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  std::vector<std::vector<NativeFrameRecord>> written;
  for (const std::uint32_t depth : {0u, 5u, 5u, 3u, 9u, 0u, 1u, 4096u, 4096u, 2u})
    for (const std::uint32_t fresh : {0u, 1u, depth}) written.push_back(native_of(depth, fresh, depth + fresh));
  for (const auto& native : written) REQUIRE(writer.write_sample({}, stack_of(3, 1, 1), native) == Errc::ok);
  const auto bytes = file.trimmed();
  const auto samples = samples_of(open(bytes));
  REQUIRE(samples.size() == written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    CHECK(samples[i].native == written[i]);
    CHECK(coded(samples[i]) == stack_of(3, 1, 1));
  }
}

TEST_CASE("the widest numbers fit, and two of the deepest stacks fill blocks of their own", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  constexpr std::uint64_t most = (std::uint64_t{1} << 60);
  writer.begin_thread({.index = ~0u, .tid = -1, .thread_id = ~std::uint64_t{0}, .is_main = true});
  const std::vector<CodedFrame> stack(4096, {.code = ~0u, .instruction = std::numeric_limits<std::int32_t>::min()});
  std::vector<NativeFrameRecord> native(4096, {.module = ~0u, .address = ~std::uint64_t{0}, .flags = 31});
  for (int i = 0; i < 2; ++i) {
    native[4095].address -= 1;  // nothing is shared
    REQUIRE(writer.write_sample({.time = most, .cpu = most, .wall = most, .flags = ~0u, .elided = ~0u, .elided_at = 4096}, stack, native) == Errc::ok);
  }
  const auto bytes = file.trimmed();
  CHECK(bytes.size() > 100'000);
  const auto samples = samples_of(open(bytes));
  REQUIRE(samples.size() == 2);
  CHECK(coded(samples[1]) == stack);
  CHECK(samples[1].native == native);
}

TEST_CASE("native stacks need storage, which may come later", "[recording]") {
  RecordingFile file;
  std::vector<CodedFrame> previous(16);
  StreamWriter writer{file.spool(), 0, previous};
  writer.begin_thread({});
  CHECK(writer.write_sample({.time = 1}, stack_of(3, 1, 1), native_of(3, 1, 1)) == Errc::too_large);
  std::vector<NativeFrameRecord> previous_native(3);
  writer.keep_native(previous_native);
  CHECK(writer.write_sample({.time = 2}, stack_of(3, 1, 1), native_of(3, 1, 1)) == Errc::ok);
  CHECK(writer.write_sample({.time = 3}, stack_of(3, 1, 1), native_of(4, 1, 1)) == Errc::too_large);
  writer.keep_native(previous_native);
  CHECK(writer.write_sample({.time = 4}, stack_of(3, 1, 1), native_of(3, 0, 1)) == Errc::ok);
  const auto bytes = file.trimmed();
  const auto samples = samples_of(open(bytes));
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].native == native_of(3, 1, 1));
  CHECK(samples[1].native == native_of(3, 0, 1));
}

TEST_CASE("modules read back as they were written", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  const std::string build_id{"\x01\x00\xff", 3};
  REQUIRE(writer.write_module({.id = 7, .range = {{0x7f00'0000'1000}, {0x7f00'0000'9000}}, .bias = ~std::uint64_t{0} - 5, .is_interpreter = true},
                              chars("/usr/lib/libpythön3.so"), std::as_bytes(chars(build_id))) == Errc::ok);
  REQUIRE(writer.write_module({.id = ~0u}, chars(std::string(10'000, 'p')), std::vector<std::byte>(257)) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  REQUIRE(reader.modules().size() == 2);
  const auto& module = reader.modules()[0];
  CHECK(module.id == 7);
  CHECK(module.path == "/usr/lib/libpythön3.so");
  CHECK(module.build_id == build_id);
  CHECK(module.range.begin.value == 0x7f00'0000'1000);
  CHECK(module.range.end.value == 0x7f00'0000'9000);
  CHECK(module.bias == ~std::uint64_t{0} - 5);
  CHECK(module.is_interpreter);
  CHECK(reader.modules()[1].path == std::string(4096, 'p'));
  CHECK(reader.modules()[1].build_id.empty());
  CHECK(!reader.modules()[1].is_interpreter);
}

TEST_CASE("a native frame says what it is", "[recording]") {
  const NativeFrameRecord leaf{.module = 1, .address = 0x1000, .flags = recording::native_flags(false, true, 0)};
  CHECK(leaf.has(NativeFlag::exact));
  CHECK(!leaf.has(NativeFlag::eval));
  CHECK(leaf.lookup_address() == 0x1000);
  const NativeFrameRecord caller{.module = 1, .address = 0x1000, .flags = recording::native_flags(true, false, 4)};
  CHECK(caller.has(NativeFlag::eval));
  CHECK(caller.lookup_address() == 0xfff);
  CHECK(caller.found_by() == 4);
  for (int found_by = 0; found_by < 8; ++found_by)
    CHECK(recording::native_flags(true, true, static_cast<std::uint8_t>(found_by)) >> recording::native_flag_bits == 0);
}

TEST_CASE("threads that take turns in one stream keep their stacks apart", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  std::map<std::uint32_t, std::vector<std::vector<CodedFrame>>> written;
  for (std::uint32_t i = 0; i < 500; ++i) {
    const std::uint32_t index = i / 3 % 4;
    writer.begin_thread({.index = index, .tid = static_cast<std::int32_t>(100 + index)});
    written[index].push_back(stack_of(20, 2, i));
    REQUIRE(writer.write_sample({.time = 1000 + i}, written[index].back()) == Errc::ok);
  }
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  CHECK(reader.threads().size() == 4);
  std::map<std::uint32_t, std::size_t> seen;
  for (const SampleRecord& sample : samples_of(reader)) {
    REQUIRE(seen[sample.thread] < written[sample.thread].size());
    CHECK(coded(sample) == written[sample.thread][seen[sample.thread]++]);
  }
  for (const auto& [index, stacks] : written) CHECK(seen[index] == stacks.size());
}

TEST_CASE("several streams write into one file, each into blocks of its own", "[recording]") {
  RecordingFile file;
  std::vector<StreamWriter> writers;
  for (std::uint32_t number = 0; number < 3; ++number) {
    writers.push_back(file.stream(number));
    writers.back().begin_thread({.index = number});
  }
  for (std::uint32_t i = 0; i < 2000; ++i) {
    if (i % 10 == 0) REQUIRE(RecordingFile::write_code(writers[i % 3], i + 1, "f" + std::to_string(i)) == Errc::ok);
    REQUIRE(writers[i % 3].write_sample({.time = i}, stack_of(30, 30, i)) == Errc::ok);
  }
  const auto bytes = file.trimmed();
  CHECK(bytes.size() > 8 * recording::block_size);
  const Reader reader = open(bytes);
  std::vector<std::vector<SampleRecord>> of(3);
  for (const SampleRecord& sample : samples_of(reader)) of.at(sample.thread).push_back(sample);
  std::size_t codes = 0;
  reader.for_each_code([&](const CodeRecord& code) {
    CHECK(code.name == "f" + std::to_string(code.id - 1));
    ++codes;
  });
  CHECK(codes == 200);
  for (std::uint32_t i = 0; i < 2000; ++i) {
    REQUIRE(of[i % 3].size() > i / 3);
    CHECK(of[i % 3][i / 3].time.count() == i);
    CHECK(coded(of[i % 3][i / 3]) == stack_of(30, 30, i));
  }
}

TEST_CASE("a code record larger than a block gets several, and the stream goes on", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  REQUIRE(writer.write_sample({.time = 1}, stack_of(5, 5, 1)) == Errc::ok);
  REQUIRE(RecordingFile::write_code(writer, 1, "large", 100'000) == Errc::ok);
  REQUIRE(writer.write_sample({.time = 2}, stack_of(5, 2, 2)) == Errc::ok);
  REQUIRE(RecordingFile::write_code(writer, 2, "too large for its line table", 600'000) == Errc::ok);
  REQUIRE(writer.write_sample({.time = 3}, stack_of(5, 2, 3)) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  const auto samples = samples_of(reader);
  REQUIRE(samples.size() == 3);
  CHECK(coded(samples[1]) == stack_of(5, 2, 2));
  CHECK(coded(samples[2]) == stack_of(5, 2, 3));
  std::vector<std::size_t> lines;
  reader.for_each_code([&](const CodeRecord& code) { lines.push_back(code.lines.size()); });
  CHECK(lines == std::vector<std::size_t>{100'000, 0});
}

TEST_CASE("a line table that can't be read leaves the rest of its record whole", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  REQUIRE(writer.write_code({.id = 1, .first_line = -3, .line_format = 0}, chars("f"), {}, chars("g"), 300,
                            [](std::span<std::byte>) { return false; }) == Errc::ok);
  const auto bytes = file.trimmed();
  open(bytes).for_each_code([](const CodeRecord& code) {
    CHECK(code.lines.empty());
    CHECK(code.first_line == -3);
    CHECK(code.filename == "g");
  });
}

TEST_CASE("what is too large for a record is refused and leaves no trace", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  REQUIRE(writer.write_sample({.time = 1}, stack_of(5, 5, 1)) == Errc::ok);
  CHECK(writer.write_sample({.time = 2}, stack_of(4097, 5, 1)) == Errc::too_large);
  CHECK(writer.write_payload(recording::RecordKind::process, std::vector<std::byte>(recording::max_record_size + 1)) == Errc::too_large);
  const std::string name(recording::max_record_size, 'x');
  CHECK(writer.write_code({.id = 1}, chars(name), {}, {}, 0, [](std::span<std::byte>) { return true; }) == Errc::too_large);
  CHECK(writer.write_thread_name(0, chars(name)) == Errc::ok);  // cut
  REQUIRE(writer.write_sample({.time = 3}, stack_of(5, 5, 1)) == Errc::ok);
  const auto bytes = file.trimmed();
  const Reader reader = open(bytes);
  CHECK(samples_of(reader).size() == 2);
  CHECK(reader.threads().at(0).name.size() == 4096);
}

TEST_CASE("a time before the one before counts as the same", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  for (const std::uint64_t time : {100u, 90u, 120u}) REQUIRE(writer.write_sample({.time = time}, stack_of(2, 1, 1)) == Errc::ok);
  const auto bytes = file.trimmed();
  std::vector<std::int64_t> times;
  for (const auto& sample : samples_of(open(bytes))) times.push_back(sample.time.count());
  CHECK(times == std::vector<std::int64_t>{100, 100, 120});
}

TEST_CASE("what was committed is read without any closing of the file", "[recording]") {
  RecordingFile file;
  auto writer = file.stream(0);
  writer.begin_thread({});
  for (std::uint32_t i = 0; i < 100; ++i) {
    REQUIRE(writer.write_sample({.time = i}, stack_of(3, 1, i)) == Errc::ok);
    if (i % 10 != 0) continue;
    const auto bytes = file.bytes();
    CHECK(samples_of(open(bytes)).size() == i + 1);
  }
}
