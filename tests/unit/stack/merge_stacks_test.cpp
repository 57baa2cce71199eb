// Python and native frames of made-up samples, merged. Stacks are written root first, as they are shown.
#include "pyagent/stack/merge_stacks.hpp"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent;
using recording::NativeFlag;
using recording::SampleFlag;
using recording::SampleRecord;
using stack::MergedFrame;

namespace {

// Frames leaf first, one letter each. Python: `e` an entry frame, `.` one that another Python frame called. Native: `E` an
// eval loop, `c` any other, `h` one that shall not be shown.
struct Stacks {
  std::string python;
  std::string native;
  std::uint16_t flags = 0;
  std::uint32_t elided = 0;
  std::uint32_t elided_at = 0;
};

SampleRecord sample_of(const Stacks& stacks) {
  SampleRecord sample;
  sample.flags = stacks.flags;
  sample.elided = stacks.elided;
  sample.elided_at = stacks.elided_at;
  for (const char each : stacks.python) sample.frames.push_back({.code = 1, .instruction = 0, .is_entry = each == 'e'});
  for (const char each : stacks.native)
    sample.native.push_back({.module = 1, .address = 1, .flags = recording::native_flags(each == 'E', false, 1)});
  return sample;
}

std::vector<MergedFrame> merge(const Stacks& stacks) {
  const SampleRecord sample = sample_of(stacks);
  std::vector<MergedFrame> merged{{}};  // what is in it before is gone
  stack::merge_stacks(
      sample, sample.native, [&](std::size_t i) { return stacks.native[i] != 'h'; }, merged);
  return merged;
}

// `p1 n2 p0`: Python frame 1 called native frame 2, which called Python frame 0; `...` what was left out, `?` truncated.
std::string merged(const Stacks& stacks) {
  std::string text;
  for (const MergedFrame& frame : merge(stacks)) {
    if (!text.empty()) text += ' ';
    switch (frame.kind) {
      case MergedFrame::Kind::python: text += 'p' + std::to_string(frame.index); break;
      case MergedFrame::Kind::native: text += 'n' + std::to_string(frame.index); break;
      case MergedFrame::Kind::elided: text += "..."; break;
      case MergedFrame::Kind::truncated: text += '?'; break;
    }
  }
  return text;
}

constexpr std::uint16_t bits(SampleFlag flag) { return static_cast<std::uint16_t>(flag); }

}  // namespace

TEST_CASE("eval loops give way to the Python frames that they run", "[stack]") {
  // sort called a key function from C: its comparison is the leaf
  CHECK(merged({"e..e", "cEcEcc"}) == "n5 n4 p3 p2 p1 n2 p0 n0");
  CHECK(merged({"e", "E"}) == "p0");
  CHECK(merged({"eee", "EEE"}) == "p2 p1 p0");
  CHECK(merged({"..e", "E"}) == "p2 p1 p0");
}

TEST_CASE("native frames that shall not be shown are left out", "[stack]") {
  CHECK(merged({"e.e", "hcEhhcEh"}) == "p2 p1 n5 p0 n1");
}

TEST_CASE("one kind of frames alone is the whole stack", "[stack]") {
  CHECK(merged({"", "ccc"}) == "n2 n1 n0");
  CHECK(merged({"e.e", ""}) == "p2 p1 p0");
  CHECK(merged({"", ""}).empty());
  CHECK(merged({"", "EcE"}) == "n1");
}

TEST_CASE("an evaluation that is being entered has no Python frames yet", "[stack]") {
  CHECK(merged({"ee", "EcEcE"}) == "p1 n3 p0 n1");
  CHECK(merged({".e", "EcEc"}) == "n3 p1 p0 n1");
}

TEST_CASE("a Python frame whose evaluation is being left stays on top", "[stack]") {
  CHECK(merged({"eee", "cEcEc"}) == "n4 p2 n2 p1 p0 n0");
}

TEST_CASE("Python frames that no eval loop stands for come below all native ones", "[stack]") {
  CHECK(merged({"e.e", "ccc"}) == "p2 p1 p0 n2 n1 n0");
}

TEST_CASE("where native frames end early, the marker and the rest of Python follow", "[stack]") {
  CHECK(merged({"e.ee", "cEc", bits(SampleFlag::native_truncated)}) == "p3 p2 p1 ? n2 p0 n0");
  CHECK(merged({"e.ee", "cEc", bits(SampleFlag::python_tail)}) == "p3 p2 p1 n2 p0 n0");  // they end where they shall
  CHECK(merged({"ee", "c", bits(SampleFlag::native_truncated)}) == "p1 p0 ? n0");
  CHECK(merged({"", "cc", bits(SampleFlag::native_truncated)}) == "? n1 n0");
  CHECK(merged({"ee", "cEcEc", bits(SampleFlag::native_truncated)}) == "? n4 p1 n2 p0 n0");
  CHECK(merged({"ee", "", bits(SampleFlag::native_truncated)}) == "p1 p0");  // native frames are not wanted
}

TEST_CASE("a Python stack that ends early is paired from its leaf", "[stack]") {
  for (const SampleFlag flag : {SampleFlag::unreadable, SampleFlag::suspect}) {
    CHECK(merged({"e.", "cEcEcEc", bits(flag)}) == "n6 n4 p1 n2 p0 n0");
    CHECK(merged({"e", "cEcEc", bits(flag)}) == "n4 n2 p0 n0");
  }
}

TEST_CASE("what was left out of a deep Python stack lies between its ends", "[stack]") {
  // Above p0, p1 and below p2, p3, five frames were left out: two loops run them.
  CHECK(merged({"eeee", "cEcEcEcEcEcEc", 0, 5, 2}) == "n12 p3 n10 p2 n8 n6 ... n4 p1 n2 p0 n0");
  // A group that begins above and ends in what was left out; one that begins there and ends below.
  CHECK(merged({"e..e", "EcEcEcE", 0, 5, 2}) == "p3 p2 n5 n3 ... p1 n1 p0");
  // All of what was left out is in one group.
  CHECK(merged({"e..e", "EcEc", 0, 5, 2}) == "n3 p3 p2 ... p1 n1 p0");
  CHECK(merged({"eeee", "cEcEcEcEc", 0, 5, 2}) == "n8 p3 n6 p2 ... n4 p1 n2 p0 n0");
  CHECK(merged({"eeee", "", 0, 5, 2}) == "p3 p2 ... p1 p0");
}

TEST_CASE("what was left out of a Python stack is found when there are fewer loops than groups", "[stack]") {
  CHECK(merged({"eeee", "cEcEcEc", 0, 5, 2}) == "n6 p3 n4 p2 ... p1 n2 p0 n0");
  CHECK(merged({"eeee", "cEc", 0, 5, 2}) == "n2 p3 p2 ... p1 p0 n0");
  CHECK(merged({"eeee", "c", 0, 5, 2}) == "p3 p2 ... p1 p0 n0");
}

TEST_CASE("of a deep stack whose native frames end early, the outer ends follow the marker", "[stack]") {
  CHECK(merged({"eeee", "cEcEcEc", bits(SampleFlag::native_truncated), 5, 2}) == "p3 p2 ? n6 ... n4 p1 n2 p0 n0");
  CHECK(merged({"eeee", "cEc", bits(SampleFlag::native_truncated), 5, 2}) == "p3 p2 ... p1 ? n2 p0 n0");
  CHECK(merged({"ee", "cEc", bits(SampleFlag::native_truncated), 5, 2}) == "... p1 ? n2 p0 n0");
}

TEST_CASE("whatever is put together, each frame is there once and in order", "[stack]") {
  std::mt19937 random{5};
  const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
  const auto letters = [&](const std::string& choice) {
    std::string text;
    for (std::uint32_t i = below(12); i > 0; --i) text += choice[below(static_cast<std::uint32_t>(choice.size()))];
    return text;
  };
  for (int round = 0; round < 20'000; ++round) {
    Stacks stacks{letters("e."), letters("Ecch"), static_cast<std::uint16_t>(random())};
    if (below(2) == 0) stacks.elided = 1 + below(9);
    stacks.elided_at = below(16);  // a damaged recording may say anything
    std::vector<std::uint32_t> python, native, expected_native;
    std::uint32_t markers = 0;
    for (const MergedFrame& frame : merge(stacks)) {
      if (frame.kind == MergedFrame::Kind::python) python.push_back(frame.index);
      else if (frame.kind == MergedFrame::Kind::native) native.push_back(frame.index);
      else if (frame.kind == MergedFrame::Kind::elided) ++markers;
    }
    for (std::size_t i = stacks.native.size(); i-- > 0;)
      if (stacks.native[i] == 'c') expected_native.push_back(static_cast<std::uint32_t>(i));
    REQUIRE(native == expected_native);
    REQUIRE(python.size() == stacks.python.size());
    for (std::size_t i = 0; i < python.size(); ++i) REQUIRE(python[i] == python.size() - 1 - i);
    REQUIRE(markers == (stacks.elided != 0 ? 1 : 0));
  }
}
