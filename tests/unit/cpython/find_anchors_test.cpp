// The CFrames of 3.10, counted against its frames.
#include "pyagent/cpython/find_anchors.hpp"

#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_thread.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using pyagent::test::FakeThread;
using pyagent::test::refuse_each_read;

namespace {

constexpr const Layout& layout = layout_v3_10;

// The anchors of the frames that a walk gave, null where none was named.
template <memory::Memory M>
std::vector<Address> anchors_in(const M& memory, FakeThread& thread, const Walk& walk) {
  std::vector<Address> anchors(walk.depth);
  find_anchors(memory, layout, thread.raw(), walk, [&](std::uint32_t depth, Address anchor) { anchors.at(depth) = anchor; });
  return anchors;
}
std::vector<Address> anchors_of(FakeThread& thread, std::uint32_t depth, Stop stop = Stop::base) {
  return anchors_in(thread.memory(), thread, {.depth = depth, .stop = stop});
}

void push_three(FakeThread& thread) { thread.push_frame("leaf").push_frame("caller").push_frame("root"); }

std::vector<Address> cframes(FakeThread& thread) {
  return {thread.cframe_of("leaf"), thread.cframe_of("caller"), thread.cframe_of("root")};
}

}  // namespace

TEST_CASE("each frame of 3.10 has a CFrame as its anchor", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  CHECK(anchors_of(thread, 3) == cframes(thread));
}

TEST_CASE("a CFrame whose frame is not linked yet is passed over", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  const auto all = cframes(thread);
  CHECK(anchors_of(thread, 2) == std::vector<Address>{all[1], all[2]});
}

TEST_CASE("a frame whose CFrame is unlinked already has none, and the others keep theirs", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  const auto all = cframes(thread);
  thread.write(thread.address() + layout.thread.cframe, all[1].value);
  CHECK(anchors_of(thread, 3) == std::vector<Address>{{}, all[1], all[2]});
}

TEST_CASE("of a walk that did not reach the base, frames are counted from the leaf", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  const auto all = cframes(thread);
  CHECK(anchors_of(thread, 2, Stop::unreadable) == std::vector<Address>{all[0], all[1]});
}

TEST_CASE("a list that does not end at the thread's own is taken from its beginning", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  const auto all = cframes(thread);
  thread.write(all[1] + layout.cframe.previous, std::uint64_t{0xdead0000});  // as a greenlet's
  CHECK(anchors_of(thread, 2) == std::vector<Address>{all[0], all[1]});
  thread.write(all[1] + layout.cframe.previous, std::uint64_t{0});
  CHECK(anchors_of(thread, 3) == std::vector<Address>{all[0], all[1], {}});
  thread.write(all[1] + layout.cframe.previous, all[0].value);  // a circle
  CHECK(anchors_of(thread, 3) == std::vector<Address>{all[0], all[1], all[0]});
}

TEST_CASE("a thread that is outside all evaluations has no CFrames, and its own is not followed", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  thread.write(thread.address() + layout.thread.cframe, (thread.address() + layout.thread.root_cframe).value);
  CHECK(anchors_of(thread, 0).empty());
  CHECK(anchors_of(thread, 2) == std::vector<Address>(2));
}

TEST_CASE("other versions have no list of CFrames beside their frames", "[cpython]") {
  for (const Layout& other : {layout_v3_9, layout_v3_11, layout_v3_12, layout_v3_13}) {
    FakeThread thread{other};
    push_three(thread);
    find_anchors(thread.memory(), other, thread.raw(), {.depth = 3}, [](std::uint32_t, Address) { FAIL_CHECK(); });
  }
}

TEST_CASE("CFrames that can't be read leave frames without, and none with another's", "[cpython]") {
  FakeThread thread{layout};
  push_three(thread);
  const auto all = cframes(thread);
  const auto memory = thread.memory();
  const auto reads = refuse_each_read(memory, [&](const auto& failing) {
    const auto anchors = anchors_in(failing, thread, {.depth = 3});
    for (std::size_t i = 0; i < 3; ++i)
      if (anchors[i]) CHECK(anchors[i] == all[i]);
  });
  CHECK(reads == 6);  // three to count them, three to name them
}
