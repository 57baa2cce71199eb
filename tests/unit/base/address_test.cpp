// Addresses and ranges, also at the end of the address space.
#include "pyagent/base/address.hpp"

#include <cstdint>

#include "support/catch.hpp"

using pyagent::Address;
using pyagent::AddressRange;

TEST_CASE("addresses add, subtract and compare as numbers, and zero is null", "[base]") {
  CHECK(Address{0x10} + 4 == Address{0x14});
  CHECK(Address{0x10} - 4 == Address{0xc});
  CHECK(Address{0x14} - Address{0x10} == 4);
  CHECK(Address{0x10} < Address{0x14});
  CHECK(Address{1});
  CHECK(!Address{});
}

TEST_CASE("a range holds its first byte and not its end", "[base]") {
  constexpr AddressRange range{{0x1000}, {0x2000}};
  CHECK(range.size() == 0x1000);
  CHECK(range.contains(Address{0x1000}));
  CHECK(range.contains(Address{0x1fff}));
  CHECK(!range.contains(Address{0x2000}));
  CHECK(!range.contains(Address{0xfff}));
}

TEST_CASE("a range holds a piece only if it holds all of it", "[base]") {
  constexpr AddressRange range{{0x1000}, {0x2000}};
  CHECK(range.contains(Address{0x1000}, 0x1000));
  CHECK(!range.contains(Address{0x1000}, 0x1001));
  CHECK(!range.contains(Address{0x0fff}, 2));
  CHECK(range.contains(Address{0x1ff8}, 8));
  CHECK(!range.contains(Address{0x1ff9}, 8));
  CHECK(range.contains(Address{0x2000}, 0));
  CHECK(!range.contains(Address{0x2001}, 0));
}

TEST_CASE("a piece that wraps around the address space is in no range", "[base]") {
  constexpr AddressRange top{{0xffff'ffff'ffff'0000}, {0xffff'ffff'ffff'fff0}};
  CHECK(top.contains(Address{0xffff'ffff'ffff'ffe0}, 16));
  CHECK(!top.contains(Address{0xffff'ffff'ffff'ffe0}, 17));
  CHECK(!top.contains(Address{0xffff'ffff'ffff'ffe0}, ~std::uint64_t{0}));
  CHECK(!top.contains(Address{0xffff'ffff'ffff'fff8}, 16));
}

TEST_CASE("a range whose end lies before its beginning is empty", "[base]") {
  constexpr AddressRange inverted{{0x2000}, {0x1000}};
  CHECK(!inverted.contains(Address{0x1800}));
  CHECK(!inverted.contains(Address{0x1800}, 0));
  CHECK(!inverted.contains(Address{0x2000}, 8));
}
