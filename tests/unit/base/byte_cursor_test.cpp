// Taking numbers from bytes, up to their end and not beyond.
#include "pyagent/base/byte_cursor.hpp"

#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"

using pyagent::ByteCursor;

namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> all;
  for (const int value : values) all.push_back(static_cast<std::byte>(value));
  return all;
}

std::uint64_t uleb(std::initializer_list<int> values, bool& ok) {
  const auto input = bytes(values);
  ByteCursor cursor{input};
  const auto value = cursor.take_uleb128();
  ok = cursor.ok() && cursor.at_end();
  return value;
}

}  // namespace

TEST_CASE("values are taken little-endian and in order", "[base]") {
  const auto input = bytes({0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07});
  ByteCursor cursor{input};
  CHECK(cursor.take<std::uint8_t>() == 0x01);
  CHECK(cursor.take<std::uint16_t>() == 0x0302);
  CHECK(cursor.offset() == 3);
  CHECK(cursor.remaining() == 4);
  CHECK(cursor.take<std::uint32_t>() == 0x07060504);
  CHECK(cursor.ok());
  CHECK(cursor.at_end());
}

TEST_CASE("after a read past the end everything is zero and stays failed", "[base]") {
  const auto input = bytes({0xff, 0xff, 0xff});
  ByteCursor cursor{input};
  CHECK(cursor.take<std::uint32_t>() == 0);
  CHECK(!cursor.ok());
  CHECK(cursor.take<std::uint8_t>() == 0);
  CHECK(cursor.take_uleb128() == 0);
  CHECK(cursor.take_bytes(0).empty());
  CHECK(!cursor.ok());
  CHECK(cursor.remaining() == 0);
}

TEST_CASE("bytes are taken and skipped whole or not at all", "[base]") {
  const auto input = bytes({1, 2, 3, 4});
  ByteCursor cursor{input};
  cursor.skip(1);
  CHECK(cursor.take_bytes(2).size() == 2);
  CHECK(cursor.take_bytes(std::numeric_limits<std::size_t>::max()).empty());
  CHECK(!cursor.ok());
}

TEST_CASE("unsigned LEB128 is read as DWARF 5, figure 22, writes it", "[base]") {
  bool ok = false;
  CHECK(uleb({2}, ok) == 2);
  CHECK(uleb({127}, ok) == 127);
  CHECK(uleb({0x80, 1}, ok) == 128);
  CHECK(uleb({0x81, 1}, ok) == 129);
  CHECK(uleb({57 + 0x80, 100}, ok) == 12857);
  CHECK(ok);
  CHECK(uleb({0x80, 0x80, 0x00}, ok) == 0);  // longer than needed
  CHECK(ok);
}

TEST_CASE("LEB128 takes 64 bits and not one more", "[base]") {
  bool ok = false;
  CHECK(uleb({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, ok) == ~std::uint64_t{0});
  CHECK(ok);
  CHECK(uleb({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03}, ok) == 0);
  CHECK(!ok);
  CHECK(uleb({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, ok) == 0);
  CHECK(!ok);
  CHECK(uleb({0x80}, ok) == 0);
  CHECK(!ok);
}

TEST_CASE("zigzag numbers alternate between positive and negative", "[base]") {
  const auto input = bytes({0, 1, 2, 3, 4});
  ByteCursor cursor{input};
  for (const std::int64_t expected : {0, -1, 1, -2, 2}) CHECK(cursor.take_zigzag() == expected);
  const auto extremes = bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,  //
                               0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01});
  ByteCursor at_ends{extremes};
  CHECK(at_ends.take_zigzag() == std::numeric_limits<std::int64_t>::min());
  CHECK(at_ends.take_zigzag() == std::numeric_limits<std::int64_t>::max());
}
