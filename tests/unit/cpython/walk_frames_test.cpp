// Chains of frames, whole and broken, in every shape that CPython has had.
#include "pyagent/cpython/walk_frames.hpp"

#include <algorithm>
#include <string>
#include <utility>
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

// Keeps what a walk gives. Code objects are looked up in the thread after one read, as a real visitor reads them.
template <memory::Memory M>
struct Collector {
  const M& memory;
  FakeThread& thread;
  std::vector<RawFrame> frames{};
  std::vector<AddressRange> chunks{};

  Result<CodeShape> shape(Address code, std::uint32_t) noexcept {
    if (!code) return Error{Errc::wrong_type, code};
    if (const auto word = memory::read_pointer(memory, code); !word) return word.error();
    return thread.shape(code);
  }
  void enter_chunk(AddressRange chunk, Address) noexcept { chunks.push_back(chunk); }
  void push(const RawFrame& frame) noexcept { frames.push_back(frame); }
  void mark_entry(Address anchor) noexcept {
    if (frames.empty()) return;
    frames.back().is_entry = true;
    frames.back().anchor = anchor;
  }
};

struct Walked {
  Walk walk;
  std::vector<RawFrame> frames;
  std::size_t chunks = 0;
};

template <memory::Memory M>
Walked walk_in(const M& memory, const Layout& layout, FakeThread& thread) {
  Collector<M> collector{memory, thread};
  const Walk walk = layout.frame_chain == FrameChain::frame_object
                        ? walk_frame_objects(memory, layout, thread.raw().frame, collector)
                        : walk_interpreter_frames(memory, layout, thread.raw(), thread.start(), collector);
  return {walk, collector.frames, collector.chunks.size()};
}

Walked walk(const Layout& layout, FakeThread& thread) { return walk_in(thread.memory(), layout, thread); }

std::string text(const std::vector<RawFrame>& frames) {
  std::string all;
  for (const RawFrame& frame : frames)
    all += std::to_string(frame.frame.value) + ' ' + std::to_string(frame.code.value) + ' ' + std::to_string(frame.instruction) +
           (frame.is_entry ? " entry " + std::to_string(frame.anchor.value) + '\n' : "\n");
  return all;
}

struct Build {
  Version version;
  BuildFlags flags{};
};
constexpr Build builds[] = {{{3, 5, 10}},
                            {{3, 6, 15}},
                            {{3, 7, 2}},
                            {{3, 7, 16}},
                            {{3, 7, 16}, {.debug = true}},
                            {{3, 8, 18}},
                            {{3, 9, 18}},
                            {{3, 10, 13}},
                            {{3, 10, 13}, {.trace_refs = true}},
                            {{3, 11, 7}},
                            {{3, 11, 2}, {.debug = true}},
                            {{3, 12, 1}},
                            {{3, 12, 1}, {.trace_refs = true}},
                            {{3, 13, 0}},
                            {{3, 13, 9}, {.free_threaded = true}},
                            {{3, 14, 10}},
                            {{3, 14, 0}, {.free_threaded = true}},
                            {{3, 15, 2}},
                            {{3, 15, 2}, {.free_threaded = true}}};

Layout layout_of(const Build& build) {
  const auto layout = find_layout(build.version, build.flags);
  REQUIRE(layout);
  return *layout;
}

std::vector<Layout> all_layouts() {
  std::vector<Layout> layouts;
  for (const Build& build : builds) layouts.push_back(layout_of(build));
  return layouts;
}

// Those whose frames lie on a data stack.
std::vector<Layout> data_stack_layouts() {
  std::vector<Layout> layouts = all_layouts();
  std::erase_if(layouts, [](const Layout& layout) { return layout.frame_chain == FrameChain::frame_object; });
  return layouts;
}

Layout layout_v(unsigned minor, bool free_threaded = false) {
  return layout_of({{3, static_cast<std::uint8_t>(minor), 0}, {.free_threaded = free_threaded}});
}

std::string name_of(const Layout& layout) {
  return "3." + std::to_string(layout.version.minor) + '.' + std::to_string(layout.version.micro) +
         (layout.flags.free_threaded ? "t" : "");
}

}  // namespace

TEST_CASE("a chain is whole in every version, with the instructions and the calls from C in it", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").at(10).push_frame("middle", 40).from_c().push_frame("caller").at(0).push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.stop == Stop::base);
    CHECK(found.walk.depth == 4);
    CHECK(found.walk.top_gap.size() == 0);
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a thread that runs no Python has a whole and empty chain", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.frames.empty());
  }
}

TEST_CASE("a frame that has not begun stands before its first instruction", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    const bool counts_units = layout.instruction_position == InstructionPosition::pointer;
    thread.push_frame("leaf").at(counts_units ? -2 : -1).push_frame("root");
    const auto found = walk(layout, thread);
    REQUIRE(found.frames.size() == 2);
    CHECK(found.frames[0].instruction < 0);
  }
}

TEST_CASE("a generator between two frames of the data stack leaves no gap there", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_generator("generator").push_generator("outer generator").push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a generator of 3.11 that does not say that C called it is none that runs", "[cpython]") {
  // Seen in 3.11.7 on a busy machine: an evaluation that has not stored its frame yet shows a generator that is about to
  // be resumed for the first time, whose link leads to where it was made.
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("new").not_entered().push_frame("maker").push_frame("root");
    const auto found = walk(layout, thread);
    if (layout.entry_mark == EntryMark::is_entry) {
      CHECK(found.walk.stop == Stop::misplaced);
      CHECK(found.walk.depth == 0);
    } else {
      CHECK(found.walk.is_whole());
    }
  }
}

TEST_CASE("a thread may run nothing but generators", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("leaf").push_generator("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.walk.depth == 2);
  }
}

TEST_CASE("frames are followed across the chunks of the data stack", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("c").first_in_chunk().push_frame("b").push_frame("a").first_in_chunk().push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.chunks == 3);
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a dying frame below a frame that C called may lie between", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("__del__").from_c().push_hidden("dying").push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a dying frame may fill a chunk of its own", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("__del__").first_in_chunk().from_c().push_hidden("dying").first_in_chunk().push_frame("root");
    CHECK(walk(layout, thread).walk.is_whole());
  }
}

TEST_CASE("a frame missing between two that no C code parts is noticed", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_hidden("missing").push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.stop == Stop::misplaced);
    CHECK(found.walk.at == thread.frame("root"));
    CHECK(found.walk.depth == 1);
  }
}

TEST_CASE("a frame missing at the end of a chunk is noticed", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread below{layout};
    below.push_frame("leaf").first_in_chunk().push_hidden("missing").push_frame("root");
    CHECK(walk(layout, below).walk.stop == Stop::misplaced);
    FakeThread above{layout};
    above.push_frame("leaf").push_hidden("missing").first_in_chunk().push_frame("root");
    CHECK(walk(layout, above).walk.stop == Stop::misplaced);
  }
}

TEST_CASE("frames above the top of the chain are reported as its gap", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_hidden("pushed").push_frame("leaf").push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.walk.top_gap.begin == thread.frame("pushed"));
    CHECK(found.walk.top_gap.end.value == thread.read(thread.address() + layout.thread.datastack_top));
  }
}

TEST_CASE("the gap above the top may be the first frame of a new chunk", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_hidden("pushed").first_in_chunk().push_frame("leaf").push_frame("root");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.walk.top_gap.begin == thread.frame("pushed"));
  }
}

TEST_CASE("a gap over several chunks is never taken for one frame", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    const auto gap_with = [&](bool skipped_first) {
      FakeThread thread{layout};
      thread.push_hidden("pushed").first_in_chunk().push_hidden("skipped");
      if (skipped_first) thread.first_in_chunk();
      thread.push_frame("root");
      const auto found = walk(layout, thread);
      CHECK(found.walk.is_whole());
      return found.walk.top_gap;
    };
    CHECK(gap_with(false).begin == several_chunks.begin);
    CHECK(gap_with(true).begin == several_chunks.begin);
  }
}

TEST_CASE("a chain that ends before the thread's base has a loose end", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("yielding").push_frame("caller").push_frame("root").unlink("yielding");
    const auto found = walk(layout, thread);
    // In 3.11 a generator is called from C, and there the list of evaluations disagrees first.
    CHECK(found.walk.stop == (layout.entry_mark == EntryMark::is_entry ? Stop::wrong_eval : Stop::loose_end));
    CHECK(found.walk.depth == 1);

    FakeThread middle{layout};
    middle.push_frame("leaf").push_frame("caller").push_frame("root").unlink("caller");
    CHECK(walk(layout, middle).walk.stop == Stop::loose_end);
  }
}

TEST_CASE("a chain that ends at a call from C while the data stack holds more has a loose end", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    if (layout.frame_chain == FrameChain::cframe) continue;  // there the list of evaluations disagrees first
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").from_c().push_frame("root");
    const Address last = layout.entry_mark == EntryMark::shim ? thread.shim_below("leaf") : thread.frame("leaf");
    thread.write(last + layout.frame.previous, std::uint64_t{0});
    CHECK(walk(layout, thread).walk.stop == Stop::loose_end);
  }
}

TEST_CASE("a chain that links back to itself is left", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("leaf").push_generator("middle").push_generator("root").link("root", "leaf");
    const auto found = walk(layout, thread);
    CHECK((found.walk.stop == Stop::cycle || found.walk.stop == Stop::wrong_eval));
    CHECK(found.walk.depth <= 9);

    FakeThread itself{layout};
    itself.push_generator("leaf").push_generator("root").link("leaf", "leaf");
    CHECK(walk(layout, itself).walk.stop == (layout.entry_mark == EntryMark::is_entry ? Stop::wrong_eval : Stop::cycle));
    CHECK(walk(layout, itself).walk.depth == 1);

    FakeThread stacked{layout};
    stacked.push_frame("leaf").push_frame("middle").push_frame("root").link("middle", "leaf");
    const auto left = walk(layout, stacked);
    CHECK((left.walk.stop == Stop::cycle || left.walk.stop == Stop::misplaced));
  }
}

TEST_CASE("shims that link to each other are left", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    if (layout.frame_chain != FrameChain::thread_state) continue;
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").from_c().push_frame("root");
    const Address shim = thread.shim_below("leaf");
    thread.write(shim + layout.frame.previous, shim.value);
    CHECK(walk(layout, thread).walk.stop == Stop::cycle);
  }
}

TEST_CASE("a current frame that is garbage is refused before anything is taken", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    for (const std::uint64_t garbage : {std::uint64_t{8}, std::uint64_t{0xdeadbeef}, ~std::uint64_t{7}, std::uint64_t{0x4141'4141'4141'4141}}) {
      FakeThread thread{layout};
      thread.push_frame("leaf").push_frame("root").set_current({garbage});
      const auto found = walk(layout, thread);
      CHECK((found.walk.stop == Stop::unreadable || found.walk.stop == Stop::misplaced));
      CHECK(found.frames.empty());
      CHECK(found.walk.at == Address{garbage});
    }
    FakeThread zeroed{layout};
    zeroed.push_frame("leaf").push_frame("root");
    zeroed.set_current(zeroed.allocate(256).begin);
    CHECK(walk(layout, zeroed).walk.stop == Stop::wrong_code);
    zeroed.set_current({});
    CHECK(walk(layout, zeroed).walk.stop == Stop::loose_end);
  }
}

TEST_CASE("a frame whose code is no code object ends the walk", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("root");
    thread.write(thread.frame("root") + layout.frame.code, thread.code_type().value);
    const auto found = walk(layout, thread);
    CHECK(found.walk.stop == Stop::wrong_code);
    CHECK(found.walk.at == thread.frame("root"));
    CHECK(found.frames.size() == 1);
  }
}

TEST_CASE("an instruction outside its code is refused, at both ends", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    const auto stop_at = [&](std::int32_t instruction) {
      FakeThread thread{layout};
      thread.push_frame("leaf").at(instruction).push_frame("root");
      return walk(layout, thread).walk.stop;
    };
    CHECK(stop_at(-4) == Stop::wrong_instruction);
    CHECK(stop_at(62) == Stop::base);
    CHECK(stop_at(64) == Stop::wrong_instruction);
  }
}

TEST_CASE("a frame keeps its stack pointer while it waits for what it called, from 3.11 on", "[cpython]") {
  for (const Layout* layout : {&layout_v3_10, &layout_v3_11, &layout_v3_12, &layout_v3_13, &layout_v3_14, &layout_v3_15}) {
    CAPTURE(layout->version.minor);
    FakeThread thread{*layout};
    thread.push_frame("leaf").push_frame("middle").from_c().push_frame("root");
    const auto found = walk(*layout, thread);
    REQUIRE(found.frames.size() == 3);
    CHECK(found.frames[0].is_suspended == (layout->frame_chain == FrameChain::frame_object));
    CHECK(found.frames[1].is_suspended);
    CHECK(found.frames[2].is_suspended);
  }
}

TEST_CASE("an owner that no running frame has is refused", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("root");
    thread.write(thread.frame("leaf") + layout.frame.owner, std::uint8_t{2});
    CHECK(walk(layout, thread).walk.stop == Stop::misplaced);
  }
}

TEST_CASE("a shim whose owner is not stored yet is known by its code, None", "[cpython]") {
  // Seen in 3.14.0t.
  for (const Layout& layout : data_stack_layouts()) {
    if (layout.entry_mark != EntryMark::shim) continue;
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").from_c().push_frame("root");
    thread.write(thread.shim_below("leaf") + layout.frame.owner, std::uint8_t{0});
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(text(found.frames) == text(thread.chain()));
  }
}

TEST_CASE("a shim with an unknown code is known by its owner", "[cpython]") {
  const Layout layout = layout_v(12);  // there the shim runs a trampoline
  FakeThread thread{layout};
  thread.push_frame("leaf").from_c().push_frame("root");
  thread.write(thread.shim_below("leaf") + layout.frame.code, thread.code("root").value);
  const auto found = walk(layout, thread);
  CHECK(found.walk.is_whole());
  CHECK(text(found.frames) == text(thread.chain()));
}

TEST_CASE("an instruction in another thread's copy of the bytecode is found there", "[cpython]") {
  for (const unsigned minor : {14u, 15u}) {
    const Layout layout = layout_v(minor, true);
    FakeThread thread{layout};
    thread.push_frame("leaf").push_frame("root");
    const Address copy = thread.allocate(64).begin;
    const Address array = thread.allocate(32).begin;
    thread.write(array, std::uint64_t{3});
    thread.write(array + 8, thread.shape(thread.code("leaf"))->instructions.value);
    thread.write(array + 16, std::uint64_t{0});  // a thread that has not run it
    thread.write(array + 24, copy.value);
    thread.write(thread.code("leaf") + layout.code.tlbc, array.value);
    thread.write(thread.frame("leaf") + layout.frame.instruction, copy.value + 12);
    for (const std::uint32_t index : {2u, 1u, 0u, 3u, 0xffffffu}) {  // only the first is what it should be
      INFO(index);
      thread.write(thread.frame("leaf") + layout.frame.tlbc_index, index);
      thread.write(thread.frame("leaf") + layout.frame.owner, std::uint8_t{0});
      const auto found = walk(layout, thread);
      CHECK(found.walk.is_whole());
      CHECK(found.frames[0].instruction == 12);
    }
    thread.write(thread.frame("leaf") + layout.frame.instruction, copy.value + 64);
    CHECK(walk(layout, thread).walk.stop == Stop::wrong_instruction);
  }
}

TEST_CASE("an array of bytecode copies with a nonsensical size ends", "[cpython]") {
  const Layout layout = layout_v(14, true);
  FakeThread thread{layout};
  thread.push_frame("leaf").push_frame("root");
  (void)thread.address();  // built, so that nothing comes after the array
  const Address array = thread.allocate(32).begin;
  thread.write(array, ~std::uint64_t{0});
  thread.write(thread.code("leaf") + layout.code.tlbc, array.value);
  thread.write(thread.frame("leaf") + layout.frame.instruction, std::uint64_t{0xdead0000});
  CHECK(walk(layout, thread).walk.stop == Stop::wrong_instruction);
}

TEST_CASE("a missing bytecode copy holds no instruction, not even a small one", "[cpython]") {
  const Layout layout = layout_v(14, true);
  FakeThread thread{layout};
  thread.push_frame("leaf").push_frame("root");
  const Address array = thread.allocate(32).begin;
  thread.write(array, std::uint64_t{1});
  thread.write(thread.code("leaf") + layout.code.tlbc, array.value);
  thread.write(thread.frame("leaf") + layout.frame.instruction, std::uint64_t{16});
  CHECK(walk(layout, thread).walk.stop == Stop::wrong_instruction);
}

TEST_CASE("a chain that disagrees with the C stack's evaluations is refused", "[cpython]") {
  for (const unsigned minor : {11u, 12u}) {
    const Layout layout = layout_v(minor);
    FakeThread thread{layout};
    thread.push_frame("leaf").from_c().push_frame("caller").push_frame("root");
    // The evaluation below says that another frame called.
    thread.write(thread.cframe_of("root") + layout.cframe.current_frame, thread.frame("root").value);
    const auto found = walk(layout, thread);
    CHECK(found.walk.stop == Stop::wrong_eval);
    CHECK(found.walk.depth == 1);

    thread.write(thread.innermost_cframe() + layout.cframe.previous, std::uint64_t{0xdead0000});
    CHECK(walk(layout, thread).walk.stop == Stop::wrong_eval);
  }
}

TEST_CASE("a walk gives up at 65,536 frames", "[cpython]") {
  for (const Layout& layout : {layout_v(10), layout_v(13)}) {
    for (const auto& [depth, stop] : {std::pair{max_walk_depth - 1, Stop::base}, std::pair{max_walk_depth + 1, Stop::too_deep}}) {
      FakeThread thread{layout, std::size_t{64} << 20};
      for (std::uint32_t i = 0; i < depth; ++i) thread.push_generator("again");
      const auto found = walk(layout, thread);
      CHECK(found.walk.stop == stop);
      CHECK(found.walk.depth == std::min(depth, max_walk_depth));
      CHECK(found.frames.size() == found.walk.depth);
    }
  }
}

TEST_CASE("a stack 20,000 deep is read whole", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout, std::size_t{32} << 20};
    for (int i = 0; i < 20'000; ++i) thread.push_frame("again");
    const auto found = walk(layout, thread);
    CHECK(found.walk.is_whole());
    CHECK(found.walk.depth == 20'000);
  }
}

TEST_CASE("a chunk that contradicts itself is refused", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    const auto stop_with = [&](Offset field, std::uint64_t value) {
      FakeThread thread{layout};
      thread.push_frame("leaf").first_in_chunk().push_frame("root");
      const Address chunk{thread.read(thread.address() + layout.thread.datastack_chunk)};
      thread.write(chunk + field, value == 0 ? chunk.value : value);
      const auto found = walk(layout, thread);
      CHECK(found.frames.empty());
      return found.walk.stop;
    };
    CHECK(stop_with(layout.stack_chunk.size, 16) == Stop::misplaced);
    CHECK(stop_with(layout.stack_chunk.size, ~std::uint64_t{0}) == Stop::misplaced);
    CHECK(stop_with(layout.stack_chunk.previous, 0) == Stop::misplaced);  // 0: itself
  }
}

TEST_CASE("a chunk that is gone is unreadable, and so is what the thread's top of stack contradicts", "[cpython]") {
  for (const Layout& layout : data_stack_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_generator("leaf").push_generator("root");
    thread.write(thread.address() + layout.thread.datastack_top, thread.all().end.value);
    CHECK(walk(layout, thread).walk.stop == Stop::unreadable);
    thread.write(thread.address() + layout.thread.datastack_chunk, std::uint64_t{0xdead0000});
    CHECK(walk(layout, thread).walk.stop == Stop::unreadable);
  }
}

TEST_CASE("a walk whose n-th read fails keeps the frames before it", "[cpython]") {
  for (const Layout& layout : all_layouts()) {
    INFO(name_of(layout));
    FakeThread thread{layout};
    thread.push_frame("leaf").push_generator("generator").from_c().push_frame("caller").first_in_chunk().push_frame("root");
    const auto memory = thread.memory();
    const auto reads = refuse_each_read(memory, [&](const auto& failing) {
      const auto found = walk_in(failing, layout, thread);
      CHECK(found.walk.is_whole() == !failing.has_failed());
      CHECK(found.walk.depth == found.frames.size());
      std::vector<RawFrame> same = thread.chain();
      same.resize(found.frames.size());
      for (std::size_t i = 0; i < same.size(); ++i) {
        CHECK(found.frames[i].frame == same[i].frame);
        CHECK(found.frames[i].code == same[i].code);
        if (found.frames[i].anchor) CHECK(found.frames[i].anchor == same[i].anchor);
      }
    });
    CHECK(reads >= 8);
  }
}
