// Line tables: what compilers of each format wrote, and what nobody should have written.
#include "pyagent/cpython/line_table.hpp"

#include <cstdint>  // uint8_t
#include <vector>   // vector

#include "support/catch.hpp"

using namespace pyagent::cpython;

namespace {

using Table = std::vector<std::uint8_t>;

Location find(LineTable format, const Table& table, std::int32_t first_line, std::int32_t instruction) {
  return find_location(format, std::as_bytes(std::span{table}), first_line, instruction);
}

/// Lines of each instruction of two bytes, from the first.
std::vector<std::int32_t> lines(LineTable format, const Table& table, std::int32_t first_line, std::int32_t count) {
  std::vector<std::int32_t> found;
  for (std::int32_t i = 0; i < count; ++i) found.push_back(find(format, table, first_line, 2 * i).line);
  return found;
}

using Lines = std::vector<std::int32_t>;
constexpr std::uint8_t minus(int value) { return static_cast<std::uint8_t>(256 - value); }

}  // namespace

TEST_CASE("before the first instruction the line is that of the definition", "[cpython]") {
  for (const auto format : {LineTable::lnotab_unsigned, LineTable::lnotab_signed, LineTable::ranges, LineTable::locations}) {
    const Table table = {0, 5, 6, 1};
    CHECK(find(format, table, 12, -1) == Location{.line = 12});
    CHECK(find(format, table, 12, -2) == Location{.line = 12});
    CHECK(find(format, {}, 12, 0) == Location{.line = 12});
    CHECK(find(format, {}, 12, 1'000'000) == Location{.line = 12});
  }
}

// The example of Objects/lnotab_notes.txt, v3.6.15: byte code offsets 0, 6, 50, 350, 361 are lines 1, 2, 7, 207, 208.
TEST_CASE("an unsigned lnotab finds the lines of CPython's own example", "[cpython]") {
  const Table table = {6, 1, 44, 5, 255, 0, 45, 200, 11, 1};
  const auto line = [&](std::int32_t instruction) { return find(LineTable::lnotab_unsigned, table, 1, instruction).line; };
  CHECK(line(0) == 1);
  CHECK(line(5) == 1);
  CHECK(line(6) == 2);
  CHECK(line(49) == 2);
  CHECK(line(50) == 7);
  CHECK(line(349) == 7);
  CHECK(line(350) == 207);
  CHECK(line(360) == 207);
  CHECK(line(361) == 208);
  CHECK(line(100'000) == 208);
}

TEST_CASE("a signed lnotab goes back, an unsigned one does not", "[cpython]") {
  const Table table = {4, 127, 0, 73, 2, minus(100), 2, minus(128)};
  CHECK(lines(LineTable::lnotab_signed, table, 10, 5) == Lines{10, 10, 210, 110, 0});  // before line 1: damaged
  CHECK(lines(LineTable::lnotab_unsigned, table, 10, 5) == Lines{10, 10, 210, 366, 494});
}

TEST_CASE("an lnotab that ends in the middle of a pair ends there", "[cpython]") {
  CHECK(find(LineTable::lnotab_signed, {2, 1, 2}, 5, 8) == Location{.line = 6});
}

// v3.10.13, Objects/lnotab_notes.txt: pairs (length, step); -128 is no line; a step above 127 takes a pair of length 0.
TEST_CASE("ranges apply their step to the bytes they cover", "[cpython]") {
  const Table table = {2, 0, 4, 1, 0, 127, 2, 73, 2, minus(127), 0, minus(73), 2, 0};
  CHECK(lines(LineTable::ranges, table, 20, 7) == Lines{20, 21, 21, 221, 94, 21, 21});
}

TEST_CASE("a range without line has that of the one before it", "[cpython]") {
  CHECK(lines(LineTable::ranges, {2, 3, 2, 0x80, 2, 1}, 20, 3) == Lines{23, 23, 24});
  CHECK(lines(LineTable::ranges, {2, 0x80, 2, 1}, 20, 2) == Lines{20, 21});
}

TEST_CASE("short locations have a line and columns", "[cpython]") {
  // Form 0 to 9: columns 8 * form + high bits, and behind that the low bits; no line step.
  const Table table = {0x80 | 0 << 3 | 0, 0x25, 0x80 | 9 << 3 | 1, 0xff};
  CHECK(find(LineTable::locations, table, 7, 0) == Location{7, 7, 2, 7});
  CHECK(find(LineTable::locations, table, 7, 2) == Location{7, 7, 79, 94});
  CHECK(find(LineTable::locations, table, 7, 4) == Location{7, 7, 79, 94});
  CHECK(find(LineTable::locations, table, 7, 6) == Location{.line = 7});  // behind the table
}

TEST_CASE("one-line locations step by nought, one or two lines", "[cpython]") {
  const Table table = {0x80 | 10 << 3, 100, 200, 0x80 | 11 << 3, 4, 5, 0x80 | 12 << 3, 0, 255};
  CHECK(find(LineTable::locations, table, 7, 0) == Location{7, 7, 100, 200});
  CHECK(find(LineTable::locations, table, 7, 2) == Location{8, 8, 4, 5});
  CHECK(find(LineTable::locations, table, 7, 4) == Location{10, 10, 0, 255});
}

TEST_CASE("long locations step any number of lines either way", "[cpython]") {
  // Form 14: line step as signed varint, lines to the end, column + 1, end column + 1. 300 is 0b100'101100: 0x6c 0x04.
  // A step of +300 is 600 = 0b1001'011000: 0x58 0x09; of -300 is 601: 0x59 0x09.
  const Table table = {0x80 | 14 << 3, 0x58, 0x09, 3, 5, 0x6c, 0x04, 0x80 | 14 << 3, 0x59, 0x09, 0, 0, 0};
  CHECK(find(LineTable::locations, table, 7, 0) == Location{307, 310, 4, 299});
  CHECK(find(LineTable::locations, table, 7, 2) == Location{7, 7, -1, -1});
}

TEST_CASE("locations may lack columns, or everything", "[cpython]") {
  const Table table = {0x80 | 15 << 3, 0x80 | 13 << 3, 2 << 1, 0x80 | 15 << 3 | 7, 0x80 | 13 << 3, 1 << 1 | 1};
  CHECK(find(LineTable::locations, table, 7, 0) == Location{.line = 7});
  CHECK(find(LineTable::locations, table, 7, 2) == Location{9, 9, -1, -1});
  CHECK(find(LineTable::locations, table, 7, 4) == Location{.line = 9});
  CHECK(find(LineTable::locations, table, 7, 18) == Location{.line = 9});
  CHECK(find(LineTable::locations, table, 7, 20) == Location{8, 8, -1, -1});
}

TEST_CASE("damaged location tables give some line or none, and end", "[cpython]") {
  CHECK(find(LineTable::locations, {0x05, 0x80}, 7, 0) == Location{.line = 7});        // begins amid an entry
  CHECK(find(LineTable::locations, {0x80 | 10 << 3}, 7, 0) == Location{7, 7, 0, 0});   // ends amid an entry
  CHECK(find(LineTable::locations, {0x80 | 13 << 3, 0x41 | 19, 0}, 7, 0) == Location{});  // a line before the first
  // An end column of 0x80000001 - 1, and an end line of 7 + 0xffffffff: neither can be.
  const Table negative = {0x80 | 14 << 3, 0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 3, 1, 0x41, 0x40, 0x40, 0x40, 0x40, 2};
  CHECK(find(LineTable::locations, negative, 7, 0) == Location{7, 0, 0, -1});
  Table endless(1000, 0x7f);  // a varint that goes on and on
  endless[0] = 0x80 | 14 << 3;
  const auto found = find(LineTable::locations, endless, 7, 0);
  CHECK(found.line >= 0);
  CHECK(found.column >= -1);
  // The largest numbers: no overflow, whatever the sum.
  const Table largest = {0x80 | 14 << 3, 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 3, 0x40, 0x40, 0x40, 0x40, 0x40, 2, 0};
  CHECK(find(LineTable::locations, largest, 0x7fffffff, 0).line >= 0);
}

TEST_CASE("every table of two bytes, in every format, gives a place within bounds", "[cpython]") {
  for (const auto format : {LineTable::lnotab_unsigned, LineTable::lnotab_signed, LineTable::ranges, LineTable::locations})
    for (int first = 0; first < 256; ++first)
      for (int second = 0; second < 256; ++second) {
        const Table table = {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second)};
        const auto found = find(format, table, 100, 4);
        const bool is_sound = found.line >= 0 && found.line <= 355 && found.column >= -1 && found.end_column >= -1;
        if (!is_sound) FAIL("table " << first << ' ' << second);
      }
}
