// Expected values are those of CPython's own headers or debug information, not of the layouts.
#include "pyagent/cpython/layouts.hpp"

#include <vector>  // vector

#include "support/catch.hpp"

using namespace pyagent;
using namespace pyagent::cpython;

namespace {

// What a walk needs first, per version; sizeof and offsetof as gcc gives them for v3.N's headers on x86-64.
struct Expected {
  Version version;
  Offset interpreters_head, threads_head, modules;
  Offset thread_frame, thread_id, native_thread_id;
  Offset frame_previous, frame_code, frame_instruction, frame_locals;
  Offset filename, name, qualname, firstlineno, lines;
  Offset tstate_current, tss_key;
};

const std::vector<Expected> expected_layouts{
    {{3, 5, 10}, absent, 8, 16, 24, 152, absent, 24, 32, 120, 376, 96, 104, absent, 112, 120, absent, absent},
    {{3, 6, 15}, absent, 8, 16, 24, 152, absent, 24, 32, 120, 376, 96, 104, absent, 36, 112, absent, absent},
    {{3, 7, 3}, 24, 8, 40, 24, 176, absent, 24, 32, 104, 360, 96, 104, absent, 36, 112, 1392, 1416},
    {{3, 7, 16}, 24, 8, 40, 24, 176, absent, 24, 32, 104, 360, 96, 104, absent, 36, 112, 1480, 1504},
    {{3, 8, 18}, 32, 8, 56, 24, 176, absent, 24, 32, 104, 360, 104, 112, absent, 40, 120, 1368, 1392},
    {{3, 9, 18}, 32, 8, 856, 24, 176, absent, 24, 32, 104, 360, 104, 112, absent, 40, 120, 568, 584},
    {{3, 10, 13}, 32, 8, 856, 24, 176, absent, 24, 32, 96, 352, 104, 112, absent, 40, 120, 568, 584},
    {{3, 11, 7}, 40, 16, 888, 56, 152, 160, 48, 32, 56, 72, 112, 120, 128, 72, 136, 576, 592},
    {{3, 12, 1}, 40, 72, 944, 56, 136, 144, 8, 0, 56, 72, 112, 120, 128, 68, 136, absent, 1544},
    {{3, 13, 18}, 632, 7344, 7656, 72, 152, 160, 8, 0, 56, 72, 112, 120, 128, 68, 136, absent, 2160},
    {{3, 14, 10}, 808, 7344, 7688, 72, 152, 160, 8, 0, 56, 80, 112, 120, 128, 68, 136, absent, 2336},
    {{3, 15, 2}, 936, 7336, 7592, 72, 176, 184, 8, 0, 56, 80, 112, 120, 128, 68, 136, absent, absent},
};

Layout layout_of(Version version, BuildFlags flags = {}) {
  const auto layout = find_layout(version, flags);
  REQUIRE(layout);
  return *layout;
}

}  // namespace

TEST_CASE("find_layout gives the offsets of the headers for each version", "[cpython]") {
  for (const Expected& expected : expected_layouts) {
    INFO("3." << int{expected.version.minor} << "." << int{expected.version.micro});
    const Layout layout = layout_of(expected.version);
    CHECK(layout.runtime.interpreters_head == expected.interpreters_head);
    CHECK(layout.interpreter.threads_head == expected.threads_head);
    CHECK(layout.interpreter.modules == expected.modules);
    CHECK(layout.thread.frame == expected.thread_frame);
    CHECK(layout.thread.thread_id == expected.thread_id);
    CHECK(layout.thread.native_thread_id == expected.native_thread_id);
    CHECK(layout.frame.previous == expected.frame_previous);
    CHECK(layout.frame.code == expected.frame_code);
    CHECK(layout.frame.instruction == expected.frame_instruction);
    CHECK(layout.frame.locals == expected.frame_locals);
    CHECK(layout.frame.size == expected.frame_locals);
    CHECK(layout.code.filename == expected.filename);
    CHECK(layout.code.name == expected.name);
    CHECK(layout.code.qualname == expected.qualname);
    CHECK(layout.code.firstlineno == expected.firstlineno);
    CHECK(layout.code.lines == expected.lines);
    CHECK(layout.runtime.tstate_current == expected.tstate_current);
    CHECK(layout.runtime.tss_key == expected.tss_key);
  }
}

TEST_CASE("find_layout names what changed in shape, in the version that changed it", "[cpython]") {
  CHECK(layout_of({3, 5, 10}).line_table == LineTable::lnotab_unsigned);
  CHECK(layout_of({3, 6, 15}).line_table == LineTable::lnotab_signed);
  CHECK(layout_of({3, 9, 18}).line_table == LineTable::lnotab_signed);
  CHECK(layout_of({3, 10, 13}).line_table == LineTable::ranges);
  CHECK(layout_of({3, 11, 7}).line_table == LineTable::locations);

  CHECK(layout_of({3, 9, 18}).instruction_position == InstructionPosition::byte_index);
  CHECK(layout_of({3, 10, 13}).instruction_position == InstructionPosition::unit_index);
  CHECK(layout_of({3, 11, 7}).instruction_position == InstructionPosition::pointer);

  CHECK(layout_of({3, 10, 13}).frame_chain == FrameChain::frame_object);
  CHECK(layout_of({3, 11, 7}).frame_chain == FrameChain::cframe);
  CHECK(layout_of({3, 12, 1}).frame_chain == FrameChain::cframe);
  CHECK(layout_of({3, 13, 0}).frame_chain == FrameChain::thread_state);

  CHECK(layout_of({3, 10, 13}).entry_mark == EntryMark::every_frame);
  CHECK(layout_of({3, 11, 7}).entry_mark == EntryMark::is_entry);
  CHECK(layout_of({3, 12, 1}).entry_mark == EntryMark::shim);

  CHECK(layout_of({3, 6, 15}).gil_holder == GilHolder::current_symbol);
  CHECK(layout_of({3, 7, 16}).gil_holder == GilHolder::runtime);
  CHECK(layout_of({3, 11, 7}).gil_holder == GilHolder::runtime);
  CHECK(layout_of({3, 12, 1}).gil_holder == GilHolder::interpreter);
  CHECK(layout_of({3, 15, 2}).gil_holder == GilHolder::interpreter);

  CHECK(layout_of({3, 6, 15}).interpreter_list == InterpreterList::head_variable);
  CHECK(layout_of({3, 7, 16}).interpreter_list == InterpreterList::runtime);

  CHECK(layout_of({3, 5, 10}).dict_keys_shape == DictKeys::entries_only);
  CHECK(layout_of({3, 6, 15}).dict_keys_shape == DictKeys::sized_indices);
  CHECK(layout_of({3, 11, 7}).dict_keys_shape == DictKeys::log2_indices);

  CHECK(layout_of({3, 10, 13}).instance_dict == InstanceDict::dictoffset);
  CHECK(layout_of({3, 11, 7}).instance_dict == InstanceDict::values_pointer);
  CHECK(layout_of({3, 12, 1}).instance_dict == InstanceDict::tagged_word);
  CHECK(layout_of({3, 13, 0}).instance_dict == InstanceDict::inline_values);

  CHECK(layout_of({3, 11, 7}).int_header == IntHeader::signed_size);
  CHECK(layout_of({3, 12, 1}).int_header == IntHeader::tag);

  CHECK(layout_of({3, 13, 0}).executable_tag_mask == 0);
  CHECK(layout_of({3, 14, 10}).executable_tag_mask == 3);
  CHECK(layout_of({3, 14, 10}).generator.executing == 0);
  CHECK(layout_of({3, 15, 2}).generator.executing == 4);
}

TEST_CASE("find_layout tells the micro releases of 3.7 apart at 3.7.4", "[cpython]") {
  CHECK(layout_of({3, 7, 0}).runtime.tstate_current == 1392);
  CHECK(layout_of({3, 7, 3}).runtime.tstate_current == 1392);
  CHECK(layout_of({3, 7, 4}).runtime.tstate_current == 1480);
  CHECK(layout_of({3, 7, 17}).runtime.tstate_current == 1480);
}

TEST_CASE("find_layout keeps the version and the flags it was asked for", "[cpython]") {
  const BuildFlags flags{.debug = true, .free_threaded = true};
  const Layout layout = layout_of({3, 14, 7}, flags);
  CHECK(layout.version == Version{3, 14, 7});
  CHECK(layout.flags == flags);
}

TEST_CASE("find_layout refuses a version nobody has described", "[cpython]") {
  const auto refused = [](Version version) {
    return find_layout(version, {}).error().code == Errc::unsupported_version;
  };
  CHECK(refused({2, 7, 18}));
  CHECK(refused({3, 4, 10}));
  CHECK(refused({3, 16, 0}));
  CHECK(refused({4, 12, 0}));
  CHECK(refused({0, 0, 0}));
}

TEST_CASE("find_layout refuses alphas, betas and release candidates of a described version", "[cpython]") {
  for (const std::uint32_t hex : {0x030f00a1U, 0x030f00a7U, 0x030f00b4U, 0x030f00c1U})
    CHECK(find_layout(Version::from_hex(hex), {}).error().code == Errc::unsupported_version);
  CHECK(find_layout({3, 15, 0, 0xf0}, {}));
}

TEST_CASE("find_layout refuses a free-threaded build of a version that had none", "[cpython]") {
  CHECK(find_layout({3, 12, 1}, {.free_threaded = true}).error().code == Errc::unsupported_build);
  CHECK(find_layout({3, 13, 0}, {.free_threaded = true}));
}

TEST_CASE("Py_TRACE_REFS moves the fields of objects by 16 bytes and nothing else", "[cpython]") {
  // v3.10.13 with -DPy_TRACE_REFS=1
  const Layout old = layout_of({3, 10, 13}, {.trace_refs = true});
  CHECK(old.object.size == 32);
  CHECK(old.object.type == 24);
  CHECK(old.frame.previous == 40);
  CHECK(old.frame.instruction == 112);
  CHECK(old.frame.executing == 124);
  CHECK(old.code.filename == 120);
  CHECK(old.code.qualname == absent);
  CHECK(old.unicode.ascii_data == 64);
  CHECK(old.function.code == 64);
  CHECK(old.dict.values == 56);
  CHECK(old.dict_keys.indices == 40);
  CHECK(old.thread.frame == 24);
  CHECK(old.interpreter.modules == 856);
  CHECK(old.runtime.tstate_current == 568);

  // v3.12.1 with -DPy_TRACE_REFS=1: the frame is no longer an object
  const Layout fresh = layout_of({3, 12, 1}, {.trace_refs = true});
  CHECK(fresh.frame.previous == 8);
  CHECK(fresh.frame.locals == 72);
  CHECK(fresh.code.adaptive == 208);
  CHECK(fresh.generator.frame == 88);
  CHECK(fresh.generator.frame_state == 83);
  CHECK(fresh.type.cached_keys == 896);
}

TEST_CASE("Py_DEBUG implies Py_TRACE_REFS up to 3.7, and from 3.13 neither moves anything", "[cpython]") {
  CHECK(layout_of({3, 6, 15}, {.debug = true}).code.name == 120);
  CHECK(layout_of({3, 7, 16}, {.debug = true}).code.name == 120);
  CHECK(layout_of({3, 8, 18}, {.debug = true}).code.name == 112);
  CHECK(layout_of({3, 12, 1}, {.debug = true}).code.name == 120);
  CHECK(layout_of({3, 12, 1}, {.debug = true, .trace_refs = true}).code.name == 136);
  CHECK(layout_of({3, 13, 0}, {.debug = true, .trace_refs = true}).code.name == 120);
  CHECK(layout_of({3, 14, 10}, {.debug = true, .trace_refs = true, .free_threaded = true}).code.name == 136);
}

TEST_CASE("find_layout gives the offsets of the headers for free-threaded builds", "[cpython]") {
  // v3.13.0, v3.14.10 and v3.15.2 with -DPy_GIL_DISABLED=1
  const Layout first = layout_of({3, 13, 0}, {.free_threaded = true});
  CHECK(first.gil_holder == GilHolder::attached);
  CHECK(first.string_state == StringState::packed);
  CHECK(first.interpreter.modules == 7664);
  CHECK(first.gil.locked == 24);
  CHECK(first.gil.enabled == 0);
  CHECK(first.code.adaptive == 216);
  CHECK(first.code.tlbc == absent);
  CHECK(first.frame.owner == 70);
  CHECK(first.tuple.items == 40);

  const Layout second = layout_of({3, 14, 10}, {.free_threaded = true});
  CHECK(second.string_state == StringState::free_threaded);
  CHECK(second.interpreter.modules == 7712);
  CHECK(second.interpreter.code_object_generation == 8024);
  CHECK(second.code.tlbc == 224);
  CHECK(second.code.adaptive == 232);
  CHECK(second.frame.owner == 78);
  CHECK(second.frame.tlbc_index == 72);
  CHECK(second.frame.locals == 80);
  CHECK(second.tuple.items == 48);
  CHECK(second.unicode.compact_data == 72);

  const Layout third = layout_of({3, 15, 2}, {.free_threaded = true});
  CHECK(third.interpreter.modules == 7592);
  CHECK(third.interpreter.code_object_generation == 7952);
  CHECK(third.type.cached_keys == 904);
  CHECK(third.thread.base_frame == 80);
  CHECK(third.generator.executing == 4);
}

TEST_CASE("layout_rows stand in order and each is found by its own version", "[cpython]") {
  for (const LayoutRow& row : layout_rows) {
    CHECK(find_layout_row(row.layout->version) == &row);
    if (&row != layout_rows.data()) CHECK((&row - 1)->layout->version < row.layout->version);
    CHECK((row.free_threaded != nullptr) == (row.layout->version >= Version{3, 13}));
    CHECK((row.debug_offsets != nullptr) == (row.layout->version >= Version{3, 13}));
    if (row.free_threaded != nullptr) CHECK(row.free_threaded->version == row.layout->version);
  }
}
