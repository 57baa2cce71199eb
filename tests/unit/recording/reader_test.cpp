// Recordings that are damaged, cut off or made to hurt.
#include "pyagent/recording/reader.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/recording_file.hpp"

using namespace pyagent;
using recording::BlockHeader;
using recording::CodedFrame;
using recording::Encoder;
using recording::FileHeader;
using recording::Reader;
using recording::RecordKind;
using pyagent::test::RecordingFile;

namespace {

using Bytes = std::vector<std::byte>;

// A recording made by hand: records are put into blocks, which are given out one behind the other.
class HandMade {
 public:
  HandMade() : bytes_(recording::block_size) {
    FileHeader header{};
    std::memcpy(header.magic, recording::file_magic, sizeof header.magic);
    header.version = recording::file_version;
    header.block_size = recording::block_size;
    header.blocks = 1;
    put(0, header);
  }
  HandMade& block(std::uint32_t span = 1) {
    block_ = bytes_.size();
    bytes_.resize(bytes_.size() + std::size_t{span} * recording::block_size);
    put(block_, BlockHeader{.magic = recording::block_magic, .span = span, .stream = 0, .unused = 0, .committed = 0});
    return edit_header([&](FileHeader& header) { header.blocks += span; });
  }
  template <class Fill>
  HandMade& record(RecordKind kind, Fill fill) {
    Encoder out{payload_};
    fill(out);
    BlockHeader header = get<BlockHeader>(block_);
    Encoder record{std::span{bytes_}.subspan(block_ + sizeof header + header.committed)};
    record.put_byte(static_cast<std::uint8_t>(kind));
    record.put_uleb(out.size());
    const auto room = record.reserve(out.size());
    REQUIRE(record.ok());
    std::copy_n(payload_.begin(), out.size(), room.begin());
    header.committed += record.size();
    put(block_, header);
    return *this;
  }
  HandMade& thread(std::uint64_t index, std::uint64_t time = 0) {
    return record(RecordKind::thread, [&](Encoder& out) {
      for (const std::uint64_t number : {index, index, index}) out.put_uleb(number);
      out.put_byte(0);
      out.put_uleb(time);
    });
  }
  HandMade& sample(std::uint64_t time, std::uint64_t cpu, std::uint64_t shared, std::uint64_t fresh, std::uint64_t elided_at = 0) {
    return record(RecordKind::sample, [&](Encoder& out) {
      for (const std::uint64_t number : {std::uint64_t{0}, time, cpu, std::uint64_t{0}, std::uint64_t{0}, elided_at, shared, fresh}) out.put_uleb(number);
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(fresh, 100'000); ++i) {
        out.put_uleb(2 * i);
        out.put_sleb(0);
      }
    });
  }
  // A sample without Python frames that states these numbers of native ones, followed by `follow` of them.
  HandMade& native(std::uint64_t shared, std::uint64_t fresh, std::uint64_t follow, std::uint64_t module = 3 * 32) {
    return record(RecordKind::sample, [&](Encoder& out) {
      for (int i = 0; i < 8; ++i) out.put_uleb(0);
      out.put_uleb(shared);
      out.put_uleb(fresh);
      for (std::uint64_t i = 0; i < follow; ++i) {
        out.put_uleb(module);
        out.put_uleb(0x1000 + i);
      }
    });
  }
  HandMade& module(std::uint64_t id, std::uint64_t begin, std::uint64_t end) {
    return record(RecordKind::module, [&](Encoder& out) {
      for (const std::uint64_t number : {id, begin, end, std::uint64_t{0}}) out.put_uleb(number);
      out.put_byte(0);
      out.put_uleb(0);
      out.put_uleb(0);
    });
  }
  template <class Edit>
  HandMade& edit_header(Edit edit) {
    FileHeader header = get<FileHeader>(0);
    edit(header);
    put(0, header);
    return *this;
  }
  template <class Edit>
  HandMade& edit_block(Edit edit) {
    BlockHeader header = get<BlockHeader>(block_);
    edit(header);
    put(block_, header);
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }
  std::size_t block_start() const { return block_; }
  std::size_t end_of_records() const { return block_ + sizeof(BlockHeader) + get<BlockHeader>(block_).committed; }

 private:
  template <class T>
  void put(std::size_t at, const T& value) { std::memcpy(bytes_.data() + at, &value, sizeof value); }
  template <class T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }

  Bytes bytes_;
  Bytes payload_ = Bytes(1 << 20);
  std::size_t block_ = 0;
};

std::size_t sample_count(const Reader& reader) {
  std::size_t count = 0;
  reader.for_each_sample([&](const recording::SampleRecord&) { ++count; });
  return count;
}

// Takes everything out of a recording; what it gives is only there so that nothing is optimised away.
std::uint64_t read_everything(const Reader& reader) {
  std::uint64_t sum = reader.process().command.size() + reader.threads().size();
  reader.for_each_module([&](const recording::ModuleRecord& module) { sum += module.path.size() + module.build_id.size(); });
  reader.for_each_code([&](const recording::CodeRecord& code) { sum += code.name.size() + code.lines.size(); });
  reader.for_each_sample([&](const recording::SampleRecord& sample) {
    for (const auto& frame : sample.frames) sum += frame.code;
    for (const auto& frame : sample.native) sum += frame.address + frame.flags;
    sum += static_cast<std::uint64_t>(sample.time.count());
  });
  return sum;
}

// A small whole recording of two streams, and how far into the file each of its samples reaches.
struct Small {
  Bytes bytes;
  std::vector<std::size_t> sample_ends;
  std::size_t used = 0;
};

Small small_recording() {
  RecordingFile file;
  Small small;
  std::vector<recording::StreamWriter> writers{file.stream(0), file.stream(1)};
  const auto* const base = reinterpret_cast<const std::byte*>(file.spool().header());
  const auto end_of = [&](std::size_t block) {
    BlockHeader header;
    std::memcpy(&header, base + block * recording::block_size, sizeof header);
    return block * recording::block_size + sizeof header + header.committed;
  };
  RecordingFile::write_process(writers[0], 7, std::string_view{"a\0b\0", 4});
  RecordingFile::write_code(writers[0], 1, "f");
  writers[0].write_module({.id = 1, .range = {{0x1000}, {0x3000}}, .bias = 0x1000, .is_interpreter = true},
                          pyagent::test::chars("/a"), Bytes(3, std::byte{9}));
  for (std::uint32_t i = 0; i < 12; ++i) {
    auto& writer = writers[i / 6];
    if (i % 6 == 0) writer.begin_thread({.index = i, .tid = 1, .thread_id = 2, .is_main = i == 0});
    if (i == 2) writer.write_thread_name(0, pyagent::test::chars("name"));
    if (i == 3) writer.write_thread_cpu(0, 3, 2);
    const std::vector<CodedFrame> stack{{.code = i, .instruction = -1}, {.code = 2, .instruction = 300}, {.code = 4, .instruction = 4}};
    const std::vector<recording::NativeFrameRecord> native{{1, 0x2000 + i, 2}, {1, 0x2345, 0}, {0, 0x7f00'0000'0000, 5}};
    writer.write_sample({.time = i * 1'000'000, .cpu = 7}, stack, native);
    small.sample_ends.push_back(end_of(1 + i / 6));
  }
  small.used = end_of(2);
  small.bytes = file.trimmed();
  return small;
}

}  // namespace

TEST_CASE("what is no recording is refused by what it is", "[recording]") {
  CHECK(Reader::open({}).error().code == Errc::truncated);
  const HandMade whole;
  CHECK(Reader::open(std::span{whole.bytes()}.first(sizeof(FileHeader) - 1)).error().code == Errc::truncated);
  CHECK(Reader::open(whole.bytes()));
  CHECK(Reader::open(HandMade{}.edit_header([](FileHeader& header) { header.magic[3] = 'X'; }).bytes()).error().code == Errc::damaged);
  CHECK(Reader::open(HandMade{}.edit_header([](FileHeader& header) { header.version = 3; }).bytes()).error().code == Errc::unsupported_version);
  CHECK(Reader::open(HandMade{}.edit_header([](FileHeader& header) { header.version = 0; }).bytes()).error().code == Errc::unsupported_version);
  CHECK(Reader::open(HandMade{}.edit_header([](FileHeader& header) { header.block_size = 4096; }).bytes()).error().code ==
        Errc::unsupported_version);
}

TEST_CASE("a recording cut off anywhere gives what came before, and where it was cut", "[recording]") {
  const Small small = small_recording();
  const auto first_stream_end = small.sample_ends[5];
  for (std::size_t size = sizeof(FileHeader); size <= small.bytes.size(); ++size) {
    const auto reader = Reader::open(std::span{small.bytes}.first(size));
    REQUIRE(reader);
    std::size_t expected = 0;
    while (expected < small.sample_ends.size() && small.sample_ends[expected] <= size) ++expected;
    if (sample_count(*reader) != expected) {
      INFO(size);
      CHECK(sample_count(*reader) == expected);
    }
    const bool is_whole = size >= small.used;
    if ((reader->damage().code == Errc::ok) != is_whole || reader->damage().where.value > size) {
      INFO(size);
      CHECK((reader->damage().code == Errc::ok) == is_whole);
      CHECK(reader->damage().where.value <= size);
    }
    if (!is_whole && reader->damage().code != Errc::truncated) CHECK(reader->damage().code == Errc::truncated);
    if (size == first_stream_end) CHECK(reader->threads().size() == 1);
  }
}

TEST_CASE("damage says at which record it begins", "[recording]") {
  Small small = small_recording();
  const std::size_t record = small.sample_ends[7];  // the ninth sample begins here
  small.bytes[record + 1] = std::byte{0xff};        // its length
  small.bytes[record + 2] = std::byte{0xff};
  const auto reader = Reader::open(small.bytes);
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::damaged);
  CHECK(reader->damage().where.value == record);
  CHECK(sample_count(*reader) == 8);
}

TEST_CASE("no byte that is wrong makes a reader do wrong", "[recording]") {
  Small small = small_recording();
  volatile std::uint64_t sink = 0;
  std::size_t opened = 0;
  const auto spoil = [&](std::size_t at) {
    const std::byte before = small.bytes[at];
    for (const std::byte value : {before ^ std::byte{1}, before ^ std::byte{0x80}, std::byte{0}, std::byte{0xff}, std::byte{0x7f}}) {
      small.bytes[at] = value;
      if (const auto reader = Reader::open(small.bytes)) {
        sink = read_everything(*reader);
        ++opened;
        if (reader->damage().where.value > small.bytes.size()) FAIL_CHECK(at);
      }
    }
    small.bytes[at] = before;
  };
  for (std::size_t at = 0; at < sizeof(FileHeader); ++at) spoil(at);
  for (std::size_t at = recording::block_size; at < small.sample_ends[5]; ++at) spoil(at);
  for (std::size_t at = 2 * recording::block_size; at < small.used; ++at) spoil(at);
  CHECK(opened > 1000);
}

TEST_CASE("blocks that were reserved and not begun are passed over", "[recording]") {
  HandMade made;
  made.block().thread(1).sample(1, 1, 0, 2);
  made.block(3).edit_block([](BlockHeader& header) { header = {}; });
  made.block().thread(2).sample(1, 1, 0, 2);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  CHECK(sample_count(*reader) == 2);
}

TEST_CASE("records of kinds that are not known yet are passed over", "[recording]") {
  HandMade made;
  made.block().thread(1).record(static_cast<RecordKind>(200), [](Encoder& out) { out.put_uleb(1 << 20); }).sample(1, 1, 0, 2);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("a block that contradicts itself is damage at its start", "[recording]") {
  const auto damage_of = [](auto edit) {
    HandMade made;
    made.block().thread(1).sample(1, 1, 0, 2).block().thread(1).sample(1, 1, 0, 2).edit_block(edit);
    const auto reader = Reader::open(made.bytes());
    REQUIRE(reader);
    CHECK(reader->damage().where.value == made.block_start());
    CHECK(sample_count(*reader) == 1);
    return reader->damage().code;
  };
  CHECK(damage_of([](BlockHeader& header) { header.magic = 5; }) == Errc::damaged);
  CHECK(damage_of([](BlockHeader& header) { header.span = 0; }) == Errc::damaged);
  CHECK(damage_of([](BlockHeader& header) { header.span = 2; }) == Errc::damaged);
  CHECK(damage_of([](BlockHeader& header) { header.committed = recording::block_size; }) == Errc::damaged);
  CHECK(damage_of([](BlockHeader& header) { header.committed = ~std::uint64_t{0}; }) == Errc::damaged);
}

TEST_CASE("a file that promises more blocks than it has is cut off at its end", "[recording]") {
  HandMade made;
  made.block().thread(1).sample(1, 1, 0, 2).edit_header([](FileHeader& header) { header.blocks = ~std::uint64_t{0}; });
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::truncated);
  CHECK(reader->damage().where.value == made.bytes().size());
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("a sample that can't be is damage, and those before it stay", "[recording]") {
  const auto is_damage = [](auto put) {
    HandMade made;
    made.block(40).thread(1).sample(1, 1, 0, 4);
    const auto good = made.end_of_records();
    put(made);
    const auto reader = Reader::open(made.bytes());
    REQUIRE(reader);
    CHECK(sample_count(*reader) >= 1);
    return reader->damage().code == Errc::damaged && reader->damage().where.value == good;
  };
  constexpr std::uint64_t max = ~std::uint64_t{0};
  CHECK(!is_damage([](HandMade& made) { made.sample(1, 1, 4, 0, 4); }));
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, 5, 0); }));               // shares more than there is
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, max, max); }));
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, 4, max - 1); }));         // together few again
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, 0, 1'000'000); }));       // promises more frames than follow
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, 4, 65'533); }));          // deeper than any
  CHECK(is_damage([](HandMade& made) { made.sample(1, 1, 4, 0, 5); }));            // left out beyond its end
  CHECK(is_damage([](HandMade& made) { made.sample(max, 1, 4, 0); }));             // times that no clock shows
  CHECK(is_damage([](HandMade& made) { made.sample(1, max, 4, 0); }));
  CHECK(is_damage([](HandMade& made) { made.sample(std::uint64_t{1} << 62, 1, 4, 0); }));
}

TEST_CASE("native frames that can't be are damage, and samples before them stay", "[recording]") {
  const auto is_damage = [](auto put) {
    HandMade made;
    made.block(40).thread(1).native(0, 4, 4);
    const auto good = made.end_of_records();
    put(made);
    const auto reader = Reader::open(made.bytes());
    REQUIRE(reader);
    CHECK(sample_count(*reader) >= 1);
    return reader->damage().code == Errc::damaged && reader->damage().where.value == good;
  };
  constexpr std::uint64_t max = ~std::uint64_t{0};
  CHECK(!is_damage([](HandMade& made) { made.native(4, 0, 0); }));
  CHECK(!is_damage([](HandMade& made) { made.native(3, 2, 2); }));
  CHECK(is_damage([](HandMade& made) { made.native(5, 0, 0); }));             // shares more than there is
  CHECK(is_damage([](HandMade& made) { made.native(max, max, 0); }));
  CHECK(is_damage([](HandMade& made) { made.native(4, max - 1, 0); }));       // together few again
  CHECK(is_damage([](HandMade& made) { made.native(0, 5, 4); }));             // promises more frames than follow
  CHECK(is_damage([](HandMade& made) { made.native(0, 1'000'000, 4); }));
  CHECK(is_damage([](HandMade& made) { made.native(4, 65'533, 65'533); }));   // deeper than any
  CHECK(is_damage([](HandMade& made) { made.native(0, 1, 1, max); }));        // a module that has no such number
  CHECK(!is_damage([](HandMade& made) { made.native(0, 1, 1, 0xffff'ffff * std::uint64_t{32}); }));
  // of another thread's stack there is nothing to share
  CHECK(!is_damage([](HandMade& made) { made.native(0, 0, 0); }));
  HandMade other;
  other.block().thread(1).native(0, 4, 4).thread(2).native(4, 0, 0);
  CHECK(Reader::open(other.bytes())->damage().code == Errc::damaged);
}

TEST_CASE("a module that can't be is damage", "[recording]") {
  const auto damage_of = [](std::uint64_t id, std::uint64_t begin, std::uint64_t end) {
    HandMade made;
    made.block().module(1, 2, 3).module(id, begin, end);
    const auto reader = Reader::open(made.bytes());
    REQUIRE(reader);
    CHECK(reader->modules().at(0).id == 1);
    return reader->damage().code;
  };
  CHECK(damage_of(2, 5, 9) == Errc::ok);
  CHECK(damage_of(1, 5, 5) == Errc::ok);
  CHECK(damage_of(0, 5, 9) == Errc::damaged);
  CHECK(damage_of(std::uint64_t{1} << 32, 5, 9) == Errc::damaged);
  CHECK(damage_of(2, 9, 5) == Errc::damaged);
}

TEST_CASE("a sample without native frames is one without, whatever came before, and leaves them to be shared",
          "[recording]") {
  HandMade made;
  made.block().thread(1).native(0, 3, 3).sample(1, 1, 0, 2).native(2, 1, 1);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  std::vector<std::vector<std::uint64_t>> addresses;
  reader->for_each_sample([&](const recording::SampleRecord& sample) {
    addresses.emplace_back();
    for (const auto& frame : sample.native) addresses.back().push_back(frame.address);
  });
  CHECK(addresses == std::vector<std::vector<std::uint64_t>>{{0x1000, 0x1001, 0x1002}, {}, {0x1000, 0x1001, 0x1002}});
}

TEST_CASE("a recording of version 1 is read, without native frames", "[recording]") {
  HandMade made;
  made.block().thread(1).sample(1, 1, 0, 2).edit_header([](FileHeader& header) {
    header.version = 1;
    header.counters[0] = 1;
  });
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  CHECK(reader->counters().samples == 1);
  CHECK(reader->counters().native_exact == 0);
  CHECK(reader->modules().empty());
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("times never add up beyond what fits", "[recording]") {
  HandMade made;
  constexpr std::uint64_t most = (std::uint64_t{1} << 62) - 1;
  made.block().thread(1, most).sample(0, 0, 0, 1).sample(most, 0, 0, 1);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::damaged);
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("a sample of no thread is damage", "[recording]") {
  HandMade made;
  made.block().thread(1).sample(1, 1, 0, 2).block().sample(1, 1, 0, 2);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::damaged);
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("a thread's first sample shares nothing with another thread's last", "[recording]") {
  HandMade made;
  made.block().thread(1).sample(1, 1, 0, 2).thread(2).sample(1, 1, 2, 0);
  const auto reader = Reader::open(made.bytes());
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::damaged);
  CHECK(sample_count(*reader) == 1);
}

TEST_CASE("a record larger than any that is written is damage", "[recording]") {
  HandMade made;
  made.block(40).thread(1).record(static_cast<RecordKind>(200), [](Encoder& out) { out.reserve(recording::max_record_size); });
  const auto good = made.end_of_records();
  made.record(static_cast<RecordKind>(200), [](Encoder& out) { out.reserve(1); });
  CHECK(Reader::open(made.bytes())->damage().code == Errc::ok);
  HandMade larger;
  larger.block(40).thread(1).record(static_cast<RecordKind>(200), [](Encoder& out) { out.reserve(recording::max_record_size + 1); });
  CHECK(Reader::open(larger.bytes())->damage().code == Errc::damaged);
  CHECK(good > 0);
}

TEST_CASE("100,000 threads are read in no time", "[recording]") {
  HandMade made;
  made.block(200);
  for (std::uint64_t index = 0; index < 100'000; ++index) {
    made.thread(index * 7);
    made.record(RecordKind::thread_cpu, [&](Encoder& out) {
      out.put_uleb(index * 7);
      out.put_uleb(index);
      out.put_uleb(0);
    });
  }
  const auto before = std::chrono::steady_clock::now();
  const auto reader = Reader::open(made.bytes());
  const auto passed = std::chrono::steady_clock::now() - before;
  REQUIRE(reader);
  REQUIRE(reader->threads().size() == 100'000);
  CHECK(reader->threads()[99'999].cpu.count() == 99'999);
  CHECK(passed < std::chrono::seconds{5});  // a search through all of them takes minutes
}
