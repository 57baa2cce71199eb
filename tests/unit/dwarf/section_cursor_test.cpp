// SectionCursor: numbers and strings of DWARF, with the examples of its specification.
#include "pyagent/dwarf/section_cursor.hpp"

#include <limits>
#include <span>
#include <string>

#include "support/catch.hpp"

using namespace pyagent;
using dwarf::SectionCursor;

namespace {

std::span<const std::byte> view(const std::string& text) { return std::as_bytes(std::span{text.data(), text.size()}); }

}  // namespace

TEST_CASE("signed numbers are those of the specification's examples", "[dwarf]") {
  // DWARF 5, figure C.3 and table 7.8 ("Examples of signed LEB128 encodings")
  const std::string bytes{"\x02\x7e\xff\x00\x81\x7f\x80\x01\x80\x7f\x81\x01\xff\x7e", 14};
  SectionCursor cursor{view(bytes), 0};
  for (const std::int64_t wanted : {2, -2, 127, -127, 128, -128, 129, -129}) CHECK(cursor.take_sleb128() == wanted);
  CHECK(cursor.ok());
  CHECK(cursor.at_end());
}

TEST_CASE("signed numbers reach from the smallest to the largest, and end with the section", "[dwarf]") {
  const std::string bytes{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"
                          "\x80\x80\x80\x80\x60\x80\x80",
                          27};
  SectionCursor cursor{view(bytes), 0};
  CHECK(cursor.take_sleb128() == std::numeric_limits<std::int64_t>::min());
  CHECK(cursor.take_sleb128() == std::numeric_limits<std::int64_t>::max());
  CHECK(cursor.take_sleb128() == -(std::int64_t{1} << 33));  // -2^33 modulo 2^35 is 0x60 << 28
  cursor.take_sleb128();
  CHECK_FALSE(cursor.ok());
}

TEST_CASE("a cursor knows its place in the section, and stays inside of its part", "[dwarf]") {
  const std::string bytes{"abc\0def\0ghi", 11};
  SectionCursor cursor{view(bytes), 4, 9};
  CHECK(cursor.position() == 4);
  CHECK(cursor.take_string() == "def");
  CHECK(cursor.position() == 8);
  CHECK(cursor.take_string().empty());  // not ended inside
  CHECK_FALSE(cursor.ok());
  CHECK(SectionCursor{view(bytes), 12}.at_end());
  CHECK(SectionCursor{view(bytes), ~std::uint64_t{0}}.at_end());
  CHECK(SectionCursor{view(bytes), 5, 3}.at_end());
}

TEST_CASE("lengths of both formats are read", "[dwarf]") {
  const std::string bytes{"\x10\0\0\0\xff\xff\xff\xff\x20\0\0\0\0\0\0\0", 16};
  SectionCursor cursor{view(bytes), 0};
  bool is_64 = true;
  CHECK(cursor.take_initial_length(is_64) == 0x10);
  CHECK_FALSE(is_64);
  CHECK(cursor.take_initial_length(is_64) == 0x20);
  CHECK(is_64);
}

TEST_CASE("numbers of three bytes are read", "[dwarf]") {
  const std::string bytes{"\x01\x02\x03"};
  SectionCursor cursor{view(bytes), 0};
  CHECK(cursor.take_unsigned(3) == 0x030201);
}
