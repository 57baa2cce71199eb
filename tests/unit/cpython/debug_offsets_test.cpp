// The tables are the bytes of real interpreters' .PyRuntime sections, as numbers after the cookie.
#include "pyagent/cpython/debug_offsets.hpp"

#include <cstring>  // memcpy
#include <utility>  // pair
#include <vector>   // vector

#include "support/catch.hpp"

using namespace pyagent;
using namespace pyagent::cpython;

namespace {

using Table = std::vector<std::uint64_t>;

// 3.13.0, --enable-shared
const Table table_of_3_13_0{
    0x30d00f0, 0, 283320, 608, 632, 194968, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0, 7768, 7760, 304, 0,
    8, 16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112, 120, 128, 136, 68, 52, 96, 104, 200, 16, 8, 416, 24,
    88, 168, 32, 24, 16, 40, 24, 16, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 240, 200};

// 3.14.10, Debian
const Table table_of_3_14_10{
    0x30e0af0, 0, 316616, 784, 808, 225864, 7280, 7272, 7344, 7360, 7408, 7688, 7672, 7680, 16, 7784, 0, 7800, 7792,
    7992, 0, 832, 0, 8, 16, 72, 152, 160, 232, 32, 88, 8, 0, 56, 80, 74, 64, 0, 216, 112, 120, 128, 136, 68, 52, 96,
    104, 208, 0, 16, 8, 416, 24, 88, 168, 40, 32, 16, 40, 24, 16, 200, 24, 40, 32, 48, 32, 40, 24, 16, 32, 16, 24, 40,
    16, 32, 64, 32, 16, 40, 264, 192, 160, 24, 72, 67, 0, 8, 24, 304, 8076, 0, 4, 512};

// 3.14.0, free-threaded
const Table table_of_3_14_0t{
    0x30e00f0, 1, 362304, 784, 808, 246656, 7280, 7272, 7344, 7360, 7408, 7712, 7696, 7704, 16, 7808, 0, 7832, 7824,
    8024, 17628, 824, 0, 8, 16, 72, 152, 160, 232, 32, 88, 8, 0, 56, 80, 78, 64, 72, 240, 128, 136, 144, 152, 84, 68,
    112, 120, 232, 224, 32, 24, 432, 40, 104, 184, 56, 48, 32, 56, 40, 32, 216, 40, 56, 48, 64, 48, 56, 40, 32, 48,
    32, 40, 56, 32, 48, 80, 48, 32, 56, 288, 192, 176, 40, 88, 83, 0, 8, 24, 304, 8108, 0, 4, 512};

// 3.15.2, Debian
const Table table_of_3_15_2{
    0x30f02f0, 0, 346568, 912, 936, 226240, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16, 7736, 0, 7752, 7744,
    7944, 0, 888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136, 288, 0, 88, 8, 0, 56, 80, 74, 64, 0, 216,
    112, 120, 128, 136, 68, 52, 96, 104, 208, 0, 16, 8, 424, 24, 88, 168, 32, 288, 944, 888, 40, 32, 16, 40, 24, 16,
    200, 24, 40, 32, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 56, 176, 112, 120, 1120, 104, 160,
    24, 72, 67, 0, 8, 24, 344, 8028, 0, 4, 512};

std::vector<std::byte> bytes_of(const Table& table) {
  std::vector<std::byte> bytes(8 + table.size() * 8);
  std::memcpy(bytes.data(), "xdebugpy", 8);
  std::memcpy(bytes.data() + 8, table.data(), table.size() * 8);
  return bytes;
}

Result<Layout> layout_of(const Table& table) { return layout_from_debug_offsets(bytes_of(table)); }

// `table` with the number at `position`, in bytes from the cookie, replaced.
Table with_number(Table table, std::size_t position, std::uint64_t number) {
  table[position / 8 - 1] = number;
  return table;
}

Error error_with(const Table& table, std::size_t position, std::uint64_t number) {
  return layout_of(with_number(table, position, number)).error();
}

}  // namespace

TEST_CASE("read_debug_offsets_header tells the version and whether the build is free-threaded", "[cpython]") {
  const auto plain = read_debug_offsets_header(bytes_of(table_of_3_13_0));
  REQUIRE(plain);
  CHECK(plain->version == Version{3, 13, 0});
  CHECK_FALSE(plain->free_threaded);
  const auto free_threaded = read_debug_offsets_header(bytes_of(table_of_3_14_0t));
  REQUIRE(free_threaded);
  CHECK(free_threaded->version == Version{3, 14, 0});
  CHECK(free_threaded->free_threaded);
}

TEST_CASE("read_debug_offsets_header refuses what is no table", "[cpython]") {
  auto bytes = bytes_of(table_of_3_13_0);
  bytes[7] = std::byte{'x'};
  CHECK(read_debug_offsets_header(bytes).error().code == Errc::damaged);
  CHECK(error_with(table_of_3_13_0, 8, 0x1'030d'00f0).code == Errc::damaged);
  CHECK(error_with(table_of_3_13_0, 16, 2).code == Errc::damaged);
}

TEST_CASE("the table of 3.13.0 agrees with the header offsets of 3.13", "[cpython]") {
  const auto layout = layout_of(table_of_3_13_0);
  REQUIRE(layout);
  CHECK(layout->runtime.finalizing == 608);
  CHECK(layout->runtime.interpreters_head == 632);
  CHECK(layout->interpreter.size == 194968);
  CHECK(layout->interpreter.next == 7264);
  CHECK(layout->interpreter.threads_head == 7344);
  CHECK(layout->interpreter.modules == 7656);
  CHECK(layout->interpreter.gil == 16);
  CHECK(layout->interpreter.gc_collecting == 7600);
  CHECK(layout->gil.last_holder == 8);
  CHECK(layout->gil.locked == 16);
  CHECK(layout->gil.enabled == absent);
  CHECK(layout->thread.frame == 72);
  CHECK(layout->thread.native_thread_id == 160);
  CHECK(layout->frame.size == 72);
  CHECK(layout->frame.owner == 70);
  CHECK(layout->frame.stack_top == 64);
  CHECK(layout->frame.tlbc_index == absent);
  CHECK(layout->code.adaptive == 200);
  CHECK(layout->unicode.ascii_data == 40);
  CHECK(layout->unicode.compact_data == 56);
  CHECK(layout->type.cached_keys == 880);  // not in this table
}

TEST_CASE("the table of 3.14.0t agrees with the header offsets of the free-threaded build", "[cpython]") {
  const auto layout = layout_of(table_of_3_14_0t);
  REQUIRE(layout);
  CHECK(layout->flags.free_threaded);
  CHECK(layout->object.type == 24);
  CHECK(layout->object.var_size == 32);
  CHECK(layout->interpreter.code_object_generation == 8024);
  CHECK(layout->gil.enabled == 0);
  CHECK(layout->gil.last_holder == 16);
  CHECK(layout->gil.locked == 24);
  CHECK(layout->thread.size == 824);
  CHECK(layout->frame.owner == 78);
  CHECK(layout->frame.tlbc_index == 72);
  CHECK(layout->frame.locals == 80);
  CHECK(layout->code.tlbc == 224);
  CHECK(layout->code.adaptive == 232);
  CHECK(layout->generator.frame == 88);
  CHECK(layout->generator.frame_state == 83);
}

TEST_CASE("the table of 3.15.2 agrees with the header offsets of 3.15", "[cpython]") {
  const auto layout = layout_of(table_of_3_15_2);
  REQUIRE(layout);
  CHECK(layout->version == Version{3, 15, 2});
  CHECK(layout->thread.size == 888);
  CHECK(layout->thread.base_frame == 80);
  CHECK(layout->thread.thread_id == 176);
  CHECK(layout->thread.datastack_chunk == 256);
  CHECK(layout->interpreter.modules == 7592);
  CHECK(layout->interpreter.gc_collecting == 7512);
  CHECK(layout->type.dictoffset == 288);
  CHECK(layout->type.cached_keys == 888);
  CHECK(layout->unicode.compact_data == 56);
  CHECK(layout->unicode.data == 56);
  CHECK(layout->frame.stack_top == 64);
  CHECK(layout->code.kinds_of_locals == 104);
  CHECK(layout->list.items == 24);
  CHECK(layout->set.mask == 32);
  CHECK(layout->set.table == 40);
  CHECK(layout->floating.value == 16);
  CHECK(layout->integer.digits == 24);
}

TEST_CASE("where a table disagrees with the layout of its version the table wins", "[cpython]") {
  const auto moved = layout_of(with_number(table_of_3_15_2, 208, 120));  // thread_state.current_frame
  REQUIRE(moved);
  CHECK(moved->thread.frame == 120);
  CHECK(moved->thread.datastack_top == 264);  // not in the table
}

TEST_CASE("a table of a newer version is read as the newest described one", "[cpython]") {
  const auto layout = layout_of(with_number(with_number(table_of_3_15_2, 8, 0x031000f0), 208, 120));
  REQUIRE(layout);
  CHECK(layout->version == Version{3, 16, 0});
  CHECK(find_layout_row(layout->version) == nullptr);
  CHECK(layout->thread.frame == 120);
  CHECK(layout->thread.datastack_top == 264);
  CHECK(layout->frame_chain == FrameChain::thread_state);
}

TEST_CASE("layout_from_debug_offsets refuses pre-releases, older versions and another major version", "[cpython]") {
  CHECK(error_with(table_of_3_15_2, 8, 0x031000b1).code == Errc::unsupported_version);
  CHECK(error_with(table_of_3_15_2, 8, 0x030f00c2).code == Errc::unsupported_version);
  CHECK(error_with(table_of_3_15_2, 8, 0x030c01f0).code == Errc::unsupported_version);
  CHECK(error_with(table_of_3_15_2, 8, 0x020712f0).code == Errc::unsupported_version);
  CHECK(error_with(table_of_3_15_2, 8, 0x040000f0).code == Errc::unsupported_version);
}

TEST_CASE("with_debug_offsets refuses the table of another version or build", "[cpython]") {
  const auto bytes = bytes_of(table_of_3_14_0t);
  CHECK(with_debug_offsets(layout_v3_14t, bytes));
  CHECK(with_debug_offsets(layout_v3_14, bytes).error().code == Errc::damaged);
  CHECK(with_debug_offsets(layout_v3_15t, bytes).error().code == Errc::damaged);
  CHECK(with_debug_offsets(layout_v3_12, bytes).error().code == Errc::unsupported_version);
}

TEST_CASE("a table cut off anywhere is truncated, and one with more behind it is not", "[cpython]") {
  for (const Table& table : {table_of_3_13_0, table_of_3_14_10, table_of_3_14_0t, table_of_3_15_2}) {
    auto bytes = bytes_of(table);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      REQUIRE(layout_from_debug_offsets(cut).error().code == Errc::truncated);
    }
    CHECK(layout_from_debug_offsets(bytes));
    CHECK(bytes.size() <= max_debug_offsets_size);
    bytes.resize(bytes.size() + 100);
    CHECK(layout_from_debug_offsets(bytes));
  }
}

TEST_CASE("no number of a table is believed when a high bit of it has flipped", "[cpython]") {
  // 3.15.2 numbers that no Layout takes over, so they may hold anything: threads_main, sysdict, builtins,
  // tlbc_generation; last_profiled_frame, its _seq, holds_gil, gil_requested, current_exception, exc_state; exc_value;
  // the tlbc fields and gil enabled, free-threaded only; tp_repr; ob_size of list and bytes; lv_tag; the gc's frame and
  // statistics; gi_name; llist_node; debugger_support.
  const auto is_unused = [](std::size_t position) {
    for (const auto& [first, last] : {std::pair{80, 80}, {104, 112}, {136, 136}, {168, 168}, {224, 232}, {272, 304},
                                     {368, 368}, {456, 456}, {496, 496}, {584, 584}, {672, 672}, {696, 696}, {768, 784},
                                     {800, 800}, {824, 880}})
      if (static_cast<std::size_t>(first) <= position && position <= static_cast<std::size_t>(last)) return true;
    return false;
  };
  for (std::size_t position = 24; position < 888; position += 8) {
    INFO("position " << position);
    for (unsigned bit = 24; bit < 64; ++bit) {
      const auto number = table_of_3_15_2[position / 8 - 1] ^ std::uint64_t{1} << bit;
      const auto layout = layout_of(with_number(table_of_3_15_2, position, number));
      if (is_unused(position)) {
        REQUIRE(layout);
      } else {
        REQUIRE(layout.error().code == Errc::damaged);
        REQUIRE(layout.error().where.value <= 888);
      }
    }
  }
}

TEST_CASE("an offset outside its structure, across its end or out of line is damaged, and named", "[cpython]") {
  const auto is_damaged_at = [](std::size_t position, std::uint64_t number) {
    const Error error = error_with(table_of_3_15_2, position, number);
    return error.code == Errc::damaged && error.where.value == position;
  };
  CHECK(is_damaged_at(208, 888));              // current_frame behind PyThreadState
  CHECK(is_damaged_at(208, 884));              // across its end
  CHECK(is_damaged_at(208, 73));               // not aligned
  CHECK(is_damaged_at(424, 8));                // co_argcount inside the object header
  CHECK(is_damaged_at(416, 70));               // co_firstlineno, an int, not aligned
  CHECK(is_damaged_at(352, 88));               // owner, a char, behind the frame
  CHECK_FALSE(is_damaged_at(352, 87));         // its last byte
  CHECK(is_damaged_at(152, 7728));             // GIL holder before the GIL
  CHECK(is_damaged_at(760, 344));              // gc.collecting behind the gc state
  CHECK(is_damaged_at(752, 0));                // a size of nothing
  CHECK(is_damaged_at(176, 8192));             // a thread state larger than the limit
  CHECK(is_damaged_at(24, std::uint64_t{1} << 40));
  CHECK(error_with(table_of_3_15_2, 88, 226232).where.value == 752);  // the gc state across the interpreter's end
}
