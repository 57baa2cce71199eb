// Numbers and texts in bytes, and what happens when these are full.
#include "pyagent/recording/encoder.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "pyagent/base/byte_cursor.hpp"
#include "support/catch.hpp"

using pyagent::ByteCursor;
using pyagent::recording::Encoder;

namespace {

std::vector<int> encoded(auto put) {
  std::array<std::byte, 64> bytes;
  Encoder out{bytes};
  put(out);
  CHECK(out.ok());
  std::vector<int> values;
  for (std::size_t i = 0; i < out.size(); ++i) values.push_back(std::to_integer<int>(bytes[i]));
  return values;
}

using Bytes = std::vector<int>;

}  // namespace

TEST_CASE("numbers are written as DWARF 5, figure 22, has them", "[recording]") {
  CHECK(encoded([](Encoder& out) { out.put_uleb(2); }) == Bytes{2});
  CHECK(encoded([](Encoder& out) { out.put_uleb(128); }) == Bytes{0x80, 1});
  CHECK(encoded([](Encoder& out) { out.put_uleb(12857); }) == Bytes{57 + 0x80, 100});
  CHECK(encoded([](Encoder& out) { out.put_uleb(~std::uint64_t{0}); }) == Bytes{255, 255, 255, 255, 255, 255, 255, 255, 255, 1});
}

TEST_CASE("signed numbers are written as zigzag", "[recording]") {
  CHECK(encoded([](Encoder& out) { out.put_sleb(0); }) == Bytes{0});
  CHECK(encoded([](Encoder& out) { out.put_sleb(-1); }) == Bytes{1});
  CHECK(encoded([](Encoder& out) { out.put_sleb(1); }) == Bytes{2});
  CHECK(encoded([](Encoder& out) { out.put_sleb(-65); }) == Bytes{0x81, 1});
}

TEST_CASE("what is written reads back, up to the extremes", "[recording]") {
  constexpr std::int64_t numbers[] = {0, 1, -1, 63, 64, -64, -65, 1 << 20, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};
  std::array<std::byte, 256> bytes;
  Encoder out{bytes};
  for (const auto number : numbers) {
    out.put_sleb(number);
    out.put_uleb(static_cast<std::uint64_t>(number));
  }
  REQUIRE(out.ok());
  ByteCursor cursor{std::span{bytes}.first(out.size())};
  for (const auto number : numbers) {
    CHECK(cursor.take_zigzag() == number);
    CHECK(cursor.take_uleb128() == static_cast<std::uint64_t>(number));
  }
  CHECK(cursor.at_end());
  CHECK(cursor.ok());
}

TEST_CASE("a text is its length and its bytes", "[recording]") {
  CHECK(encoded([](Encoder& out) { out.put_text(std::span<const char>{std::string_view{"abc"}}); }) == Bytes{3, 'a', 'b', 'c'});
  CHECK(encoded([](Encoder& out) { out.put_text(std::span<const char>{}); }) == Bytes{0});
}

TEST_CASE("what does not fit is not written and nothing after it either", "[recording]") {
  std::array<std::byte, 8> bytes{};
  for (std::size_t room = 0; room <= 7; ++room) {
    bytes.fill(std::byte{0xee});
    Encoder out{std::span{bytes}.first(room)};
    out.put_uleb(300);
    out.put_text(std::span<const char>{std::string_view{"abcd"}});
    out.put_byte(1);
    CHECK(!out.ok());
    CHECK(out.size() <= room);
    CHECK(out.reserve(0).empty());
    CHECK(!out.ok());
    for (std::size_t i = room; i < bytes.size(); ++i) CHECK(bytes[i] == std::byte{0xee});
  }
  Encoder out{bytes};
  out.put_uleb(300);
  out.put_text(std::span<const char>{std::string_view{"abcd"}});
  out.put_byte(1);
  CHECK(out.ok());
  CHECK(out.size() == 8);
}

TEST_CASE("room is reserved whole or not at all", "[recording]") {
  std::array<std::byte, 8> bytes{};
  Encoder out{bytes};
  CHECK(out.reserve(5).size() == 5);
  CHECK(out.reserve(3).data() == bytes.data() + 5);
  CHECK(out.reserve(0).empty());
  CHECK(out.ok());
  CHECK(out.reserve(1).empty());
  CHECK(!out.ok());
  Encoder large{bytes};
  CHECK(large.reserve(std::numeric_limits<std::size_t>::max()).empty());
  CHECK(!large.ok());
}
