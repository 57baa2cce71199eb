// Captures of threads that lie in this process's own memory: whole, repaired, and neither.
#include "pyagent/capture/thread_capture.hpp"

#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "pyagent/capture/own_process.hpp"
#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/fake_thread.hpp"

using namespace pyagent;
using capture::Outcome;
using capture::RawStack;
using capture::Trust;
using cpython::FrameChain;
using cpython::Layout;
using cpython::RawFrame;
using pyagent::test::FakeThread;

namespace {

constexpr Layout layouts[] = {cpython::layout_v3_6,  cpython::layout_v3_10, cpython::layout_v3_11,  cpython::layout_v3_12,  cpython::layout_v3_13,
                              cpython::layout_v3_13t, cpython::layout_v3_14, cpython::layout_v3_14t, cpython::layout_v3_15, cpython::layout_v3_15t};

struct Captured {
  Outcome outcome;
  std::vector<RawFrame> frames;
};

struct Circumstances {
  std::vector<long long> registers{};
  Trust trust = Trust::own_thread;
  bool can_read_by_call = true;
  std::vector<RawFrame> called{};  ///< frames that the stack holds already
  capture::Wanted wanted = capture::Wanted::python;
};

Captured capture_stack(FakeThread& thread, const Layout& layout, const Circumstances& circumstances = {}) {
  const capture::Target target{.layout = layout, .code_type = thread.code_type(), .none = thread.none(), .interpreter_head = {}, .runtime = {}, .current_thread = {}};
  memory::LocalMemory memory{::getpid(), circumstances.can_read_by_call};
  std::vector<RawFrame> storage(32'000);
  RawStack stack{storage, 64};
  for (const RawFrame& frame : circumstances.called) stack.push(frame);
  const auto raw = thread.raw();
  const AddressRange stack_memory = circumstances.trust == Trust::own_thread ? thread.c_stack() : AddressRange{};
  capture::OwnProcess process{target, memory, circumstances.trust, stack_memory};
  capture::ThreadCapture capture{target, process, raw, circumstances.wanted};
  const Outcome outcome = capture.run({.general = circumstances.registers, .stack_pointer = stack_memory.begin}, stack);
  stack.finish();
  return {outcome, {stack.frames().begin(), stack.frames().end()}};
}

std::string text(const std::vector<RawFrame>& frames) {
  std::string all;
  for (const RawFrame& frame : frames)
    all += std::to_string(frame.frame.value) + ' ' + std::to_string(frame.code.value) + ' ' + std::to_string(frame.instruction) +
           (frame.is_entry ? " entry\n" : "\n");
  return all;
}

std::string name_of(const Layout& layout) {
  return "3." + std::to_string(layout.version.minor) + (layout.flags.free_threaded ? "t" : "");
}

long long register_of(Address address) { return static_cast<long long>(address.value); }

std::vector<RawFrame> without_first(std::vector<RawFrame> frames) {
  frames.erase(frames.begin());
  return frames;
}

}  // namespace

TEST_CASE("a whole stack is captured from the process's own memory, however that is read", "[capture]") {
  for (const Layout& layout : layouts) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("a").push_frame("b").push_generator("c").from_c().push_frame("d").first_in_chunk().push_frame("e").push_frame("f");
    const std::string whole = text(thread.chain());
    for (const Trust trust : {Trust::own_thread, Trust::nothing})
      for (const bool can_read_by_call : {true, false}) {
        const auto found = capture_stack(thread, layout, {.trust = trust, .can_read_by_call = can_read_by_call});
        CHECK(found.outcome == Outcome::whole);
        CHECK(text(found.frames) == whole);
      }
  }
}

TEST_CASE("each entry frame's anchor is its evaluation's own variable on the C stack", "[capture]") {
  for (const Layout& layout : layouts) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("a").push_frame("b").push_generator("c").from_c().push_frame("d").push_frame("e").from_c().push_frame("f");
    const auto found = capture_stack(thread, layout, {.wanted = capture::Wanted::anchors});
    CHECK(found.outcome == Outcome::whole);
    std::vector<Address> anchors;
    std::size_t entries = 0;
    for (const RawFrame& frame : found.frames) {
      entries += frame.is_entry;
      CHECK((frame.is_entry || !frame.anchor));
      if (frame.anchor) anchors.push_back(frame.anchor);
    }
    CHECK(anchors.size() == (layout.version < cpython::Version{3, 10} ? 0 : entries));
    for (std::size_t i = 0; i < anchors.size(); ++i) {
      CHECK(thread.c_stack().contains(anchors[i], 16));
      if (i > 0) CHECK(anchors[i] < anchors[i - 1]);  // the fake's C stack grows upwards
    }
    if (anchors.empty()) continue;
    const bool is_shim = layout.entry_mark == cpython::EntryMark::shim;
    CHECK(anchors[anchors.size() - 2] == (is_shim ? thread.shim_below("e") : thread.cframe_of("e")));
    CHECK(anchors.back() == (is_shim ? thread.shim_below("f") : thread.cframe_of("f")));
  }
}

TEST_CASE("anchors of 3.10 are read only where they are wanted", "[capture]") {
  FakeThread thread{cpython::layout_v3_10};
  thread.push_frame("a").push_frame("b");
  for (const RawFrame& frame : capture_stack(thread, cpython::layout_v3_10).frames) CHECK(!frame.anchor);
}

TEST_CASE("a caller of 3.11 that was found in a register has the anchors of its own evaluation", "[capture]") {
  const Layout layout = cpython::layout_v3_11;
  FakeThread thread{layout};
  thread.push_frame("returning").push_frame("caller").push_frame("main").from_c().push_frame("root");
  const auto rest = without_first(thread.chain());
  thread.set_current({0xdead0000});
  const auto found = capture_stack(
      thread, layout, {.registers = {register_of(thread.frame("caller"))}, .wanted = capture::Wanted::anchors});
  CHECK(found.outcome == Outcome::repaired);
  REQUIRE(text(found.frames) == text(rest));
  CHECK(found.frames[1].anchor == thread.cframe_of("main"));
  CHECK(found.frames[2].anchor == thread.cframe_of("root"));
}

TEST_CASE("a frame of 3.11 in a register that is about to be entered is no caller", "[capture]") {
  // Seen in 3.11.7 on a busy machine: the frame of an awaitable's __await__, not linked yet, stood where its caller's had
  // been made, and so led to its caller's caller.
  const Layout layout = cpython::layout_v3_11;
  FakeThread thread{layout};
  thread.push_frame("entering").from_c().push_generator("caller").push_generator("caller's caller").push_frame("root");
  thread.write(thread.frame("entering") + layout.frame.is_entry, std::uint8_t{0});
  thread.link("entering", "caller's caller");
  const auto rest = without_first(thread.chain());
  thread.set_current({0xdead0000});
  const std::vector<long long> registers{register_of(thread.frame("entering"))};
  CHECK(text(capture_stack(thread, layout, {.registers = registers}).frames) == text(rest));
  thread.write(thread.innermost_cframe() + layout.cframe.previous, std::uint64_t{0xdead0000});
  CHECK(capture_stack(thread, layout, {.registers = registers}).outcome == Outcome::suspect);
}

TEST_CASE("a generator of 3.11 that was never resumed gives way to the caller of the evaluation that shows it", "[capture]") {
  const Layout layout = cpython::layout_v3_11;
  FakeThread thread{layout};
  thread.push_generator("new").from_c().push_frame("caller").push_frame("root");
  const auto rest = without_first(thread.chain());
  // It is not marked yet, and links to where it was made, which is still on the stack.
  thread.write(thread.frame("new") + layout.frame.is_entry, std::uint8_t{0});
  thread.link("new", "root");
  const auto found = capture_stack(thread, layout, {.wanted = capture::Wanted::anchors});
  CHECK(found.outcome == Outcome::repaired);
  CHECK(text(found.frames) == text(rest));
}

TEST_CASE("a thread without Python frames is whole and empty", "[capture]") {
  for (const Layout& layout : layouts) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    const auto found = capture_stack(thread, layout);
    CHECK(found.outcome == Outcome::whole);
    CHECK(found.frames.empty());
  }
}

TEST_CASE("a capture adds its frames below those that are there", "[capture]") {
  FakeThread inner{cpython::layout_v3_13};
  inner.push_frame("inner leaf").push_frame("inner root");
  FakeThread outer{cpython::layout_v3_13};
  outer.push_frame("outer leaf").push_frame("outer root");
  const auto found = capture_stack(outer, cpython::layout_v3_13, {.called = inner.chain()});
  CHECK(text(found.frames) == text(inner.chain()) + text(outer.chain()));
}

TEST_CASE("a frame that is being pushed above the top leaves the stack whole", "[capture]") {
  for (const Layout& layout : layouts) {
    if (layout.frame_chain == FrameChain::frame_object) continue;
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_hidden("pushed").push_frame("leaf").push_frame("root");
    const auto found = capture_stack(thread, layout);
    CHECK(found.outcome == Outcome::whole);
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a caller is none while several frames lie above it, in one chunk or in more", "[capture]") {
  for (const Layout& layout : {cpython::layout_v3_11, cpython::layout_v3_12, cpython::layout_v3_13}) {
    INFO(name_of(layout));
    const auto outcome_with = [&](bool leaf_first, bool caller_first) {
      FakeThread thread{layout};
      thread.push_generator("generator").push_hidden("leaf");
      if (leaf_first) thread.first_in_chunk();
      thread.push_hidden("caller", 7);
      if (caller_first) thread.first_in_chunk();
      thread.push_frame("stale").push_frame("root").unlink("generator");
      const auto found = capture_stack(thread, layout, {.registers = {register_of(thread.frame("stale"))}});
      CHECK(found.frames.size() == 1);
      return found.outcome;
    };
    CHECK(outcome_with(false, false) == Outcome::suspect);
    CHECK(outcome_with(true, false) == Outcome::suspect);
    CHECK(outcome_with(false, true) == Outcome::suspect);
    CHECK(outcome_with(true, true) == Outcome::suspect);
  }
}

TEST_CASE("a caller with one frame above it, that is being pushed or popped, counts", "[capture]") {
  for (const Layout& layout : {cpython::layout_v3_11, cpython::layout_v3_12, cpython::layout_v3_13})
    for (const bool in_new_chunk : {false, true}) {
      INFO(name_of(layout));
      FakeThread thread{layout};
      thread.push_generator("generator").push_hidden("pushed");
      if (in_new_chunk) thread.first_in_chunk();
      thread.push_frame("caller").push_frame("root");
      auto left = thread.chain();
      left.erase(left.begin());
      thread.unlink("generator");
      const auto found = capture_stack(thread, layout, {.registers = {register_of(thread.frame("caller"))}});
      CHECK(found.outcome == Outcome::repaired);
      CHECK(text(found.frames) == text(left));
    }
}

TEST_CASE("a yielding generator's caller is found in a register, and the generator has been left", "[capture]") {
  // Seen in 3.12.1: the generator's link is gone and it still stands on top. In 3.11.7 one that was suspended long ago
  // stood on top of the generator that was being resumed.
  for (const Layout& layout : {cpython::layout_v3_12, cpython::layout_v3_13}) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("generator").push_frame("caller").push_frame("main").from_c().push_frame("root");
    const auto whole = thread.chain();
    thread.unlink("generator");
    const long long garbage[] = {0, -1, 8, 12345, register_of(thread.code("caller")), register_of(thread.address())};
    std::vector<long long> registers{std::begin(garbage), std::end(garbage)};
    const auto lost = capture_stack(thread, layout, {.registers = registers});
    CHECK(lost.outcome == Outcome::suspect);
    CHECK(text(lost.frames) == text({whole[0]}));

    registers.push_back(register_of(thread.frame("main")));  // a chain of its own, but not all of the data stack
    registers.push_back(register_of(thread.frame("caller")));
    registers.push_back(register_of(thread.frame("root")));
    const auto found = capture_stack(thread, layout, {.registers = registers});
    CHECK(found.outcome == Outcome::repaired);
    CHECK(text(found.frames) == text({whole.begin() + 1, whole.end()}));
  }
}

TEST_CASE("a generator in a register that does not run is no caller, and one below the top breaks a chain", "[capture]") {
  // Seen in 3.11.7: a register still held the frame of a generator that had ended, and its link led to a caller.
  for (const Layout& layout : {cpython::layout_v3_12, cpython::layout_v3_13, cpython::layout_v3_15}) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("top").push_generator("ended").push_frame("caller").push_frame("root");
    const auto whole = thread.chain();
    const auto state = [&](std::int8_t value) {
      thread.write(thread.frame("ended") - layout.generator.frame + layout.generator.frame_state, value);
    };
    state(1);
    CHECK(capture_stack(thread, layout, {}).outcome == Outcome::suspect);
    state(layout.generator.executing);
    CHECK(capture_stack(thread, layout, {}).outcome == Outcome::whole);

    thread.unlink("top");
    const std::vector<long long> registers{register_of(thread.frame("ended")), register_of(thread.frame("caller"))};
    CHECK(text(capture_stack(thread, layout, {.registers = registers}).frames) == text({whole.begin() + 1, whole.end()}));
    state(1);
    CHECK(text(capture_stack(thread, layout, {.registers = registers}).frames) == text({whole.begin() + 2, whole.end()}));
  }
}

TEST_CASE("a caller further down than the data stack's top repairs nothing", "[capture]") {
  const Layout layout = cpython::layout_v3_12;
  FakeThread thread{layout};
  thread.push_generator("generator").push_frame("caller").push_frame("middle").push_frame("main").push_frame("root");
  thread.unlink("generator");
  const auto found = capture_stack(thread, layout, {.registers = {register_of(thread.frame("main"))}});
  CHECK(found.outcome == Outcome::suspect);
  CHECK(found.frames.size() == 1);
}

TEST_CASE("garbage in an evaluation that is being entered is repaired from the evaluation around it", "[capture]") {
  // Seen in 3.11.7 and 3.12.1: the evaluation is published before its current frame is stored.
  for (const Layout& layout : {cpython::layout_v3_11, cpython::layout_v3_12}) {
    INFO(name_of(layout));
    for (const std::uint64_t garbage : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xdead0000}, ~std::uint64_t{0}}) {
      FakeThread thread{layout};
      thread.push_frame("entering").from_c().push_frame("caller").push_frame("root");
      const auto rest = without_first(thread.chain());
      thread.set_current({garbage});
      const auto found = capture_stack(thread, layout);
      CHECK(found.outcome == Outcome::repaired);
      CHECK(text(found.frames) == text(rest));
    }
  }
}

TEST_CASE("an evaluation whose outer one is not stored yet is found through a register", "[capture]") {
  for (const Layout& layout : {cpython::layout_v3_11, cpython::layout_v3_12}) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("entering").from_c().push_frame("caller").push_frame("root");
    const auto rest = without_first(thread.chain());
    thread.set_current({0xdead0000});
    thread.write(thread.innermost_cframe() + layout.cframe.previous, std::uint64_t{0xdead0000});
    CHECK(capture_stack(thread, layout).outcome == Outcome::suspect);
    const auto found = capture_stack(thread, layout, {.registers = {register_of(thread.cframe_of("root"))}});
    CHECK(found.outcome == Outcome::repaired);
    CHECK(text(found.frames) == text(rest));
  }
}

TEST_CASE("a failed repair leaves the frames that were called alone", "[capture]") {
  const Layout layout = cpython::layout_v3_12;
  FakeThread inner{layout};
  inner.push_frame("inner leaf").push_frame("inner root");
  FakeThread outer{layout};
  outer.push_generator("generator").push_frame("caller").push_frame("root").unlink("generator");
  const auto found = capture_stack(outer, layout, {.called = inner.chain()});
  CHECK(found.outcome == Outcome::suspect);
  REQUIRE(found.frames.size() == 3);
  CHECK(found.frames[2].frame == outer.frame("generator"));
}

TEST_CASE("frames before an unreadable one are kept and the stack is said to end early", "[capture]") {
  for (const Layout& layout : layouts) {
    if (layout.frame_chain == FrameChain::cframe) continue;  // there it may be a half-linked chain
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("middle").push_frame("root");
    thread.write(thread.frame("middle") + layout.frame.previous, std::uint64_t{0xdead0000});
    const auto found = capture_stack(thread, layout);
    CHECK(found.outcome == Outcome::unreadable);
    CHECK(found.frames.size() == 2);
  }
}

TEST_CASE("a stack deeper than the storage keeps its root", "[capture]") {
  for (const Layout& layout : layouts) {
    INFO(name_of(layout));
    FakeThread thread{layout, std::size_t{64} << 20};
    thread.push_frame("leaf");
    for (int i = 0; i < 40'000; ++i) thread.push_frame("again");
    thread.push_frame("root");
    const auto found = capture_stack(thread, layout);
    CHECK(found.outcome == Outcome::whole);
    REQUIRE(found.frames.size() == 32'000);
    CHECK(found.frames.front().frame == thread.frame("leaf"));
    CHECK(found.frames.back().frame == thread.frame("root"));
    CHECK(found.frames.back().is_entry);
  }
}
