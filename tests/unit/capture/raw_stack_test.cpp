// Stacks that keep their ends when they do not fit.
#include "pyagent/capture/raw_stack.hpp"

#include <array>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"

using pyagent::capture::RawStack;
using pyagent::cpython::RawFrame;

namespace {

void push(RawStack& stack, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t i = first; i < end; ++i) stack.push({.frame = {i}, .code = {}, .instruction = 0, .is_entry = false});
}

std::vector<std::uint64_t> numbers(const RawStack& stack) {
  std::vector<std::uint64_t> all;
  for (const RawFrame& frame : stack.frames()) all.push_back(frame.frame.value);
  return all;
}

using Numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a stack that fits is kept whole", "[capture]") {
  std::array<RawFrame, 5> storage;
  for (std::uint64_t depth = 0; depth <= 5; ++depth) {
    RawStack stack{storage, 2};
    push(stack, 0, depth);
    stack.finish();
    CHECK(stack.depth() == depth);
    CHECK(stack.elided() == 0);
    CHECK(numbers(stack).size() == depth);
    if (depth != 0) CHECK(numbers(stack).back() == depth - 1);
  }
}

TEST_CASE("of a deeper stack the leaf and the root frames are kept and the middle is counted", "[capture]") {
  std::array<RawFrame, 5> storage;
  const auto kept = [&](std::uint64_t depth) {
    RawStack stack{storage, 2};
    push(stack, 0, depth);
    stack.finish();
    CHECK(stack.depth() == depth);
    CHECK(stack.elided() == depth - 5);
    CHECK(stack.elided_at() == 3);
    return numbers(stack);
  };
  CHECK(kept(6) == Numbers{0, 1, 2, 4, 5});
  CHECK(kept(7) == Numbers{0, 1, 2, 5, 6});
  CHECK(kept(20'000) == Numbers{0, 1, 2, 19'998, 19'999});
}

TEST_CASE("a truncated stack goes on from where it was cut", "[capture]") {
  std::array<RawFrame, 5> storage;
  RawStack stack{storage, 2};
  push(stack, 0, 2);
  push(stack, 100, 104);
  stack.truncate(2);
  push(stack, 2, 4);
  stack.finish();
  CHECK(numbers(stack) == Numbers{0, 1, 2, 3});
  stack.clear();
  CHECK(stack.depth() == 0);
  CHECK(stack.frames().empty());
}

TEST_CASE("mark_entry marks the frame pushed last, wherever it lies", "[capture]") {
  std::array<RawFrame, 5> storage;
  RawStack stack{storage, 2};
  stack.mark_entry();  // nothing to mark
  for (std::uint64_t i = 0; i < 9; ++i) {
    push(stack, i, i + 1);
    if (i == 1 || i == 7) stack.mark_entry();
  }
  stack.finish();
  std::vector<std::uint64_t> entries;
  for (const RawFrame& frame : stack.frames())
    if (frame.is_entry) entries.push_back(frame.frame.value);
  CHECK(entries == Numbers{1, 7});
}

TEST_CASE("an anchor goes to the frame of its depth, if that is still held", "[capture]") {
  std::vector<RawFrame> storage(6);
  RawStack stack{storage, 2};
  push(stack, 0, 10);
  for (std::uint32_t depth = 0; depth < 10; ++depth) stack.set_anchor(depth, {1000 + depth});
  stack.finish();
  Numbers anchors;
  for (const RawFrame& frame : stack.frames()) anchors.push_back(frame.anchor.value);
  CHECK(anchors == Numbers{1000, 1001, 1002, 1003, 1008, 1009});
}

TEST_CASE("an entry frame's anchor comes with its mark", "[capture]") {
  std::vector<RawFrame> storage(6);
  RawStack stack{storage, 2};
  push(stack, 0, 2);
  stack.mark_entry({0x7000});
  CHECK(!stack.frames()[0].anchor);
  CHECK(stack.frames()[1].anchor == pyagent::Address{0x7000});
}

TEST_CASE("after a cut, mark_entry marks the last frame that is left", "[capture]") {
  std::array<RawFrame, 5> storage;
  RawStack stack{storage, 2};
  push(stack, 0, 4);
  stack.truncate(2);
  stack.mark_entry();
  push(stack, 2, 4);
  CHECK(!stack.frames()[0].is_entry);
  CHECK(stack.frames()[1].is_entry);
  CHECK(!stack.frames()[3].is_entry);
}
