// Copies of memory, read at their old addresses.
#include "pyagent/memory/buffer_memory.hpp"

#include <array>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent;
using memory::BufferMemory;

TEST_CASE("a buffer gives the bytes it holds and refuses all others", "[memory]") {
  const std::array<std::byte, 8> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                       std::byte{5}, std::byte{6}, std::byte{7}, std::byte{8}};
  const BufferMemory memory{Address{0x1000}, bytes};
  CHECK(*memory::read_value<std::uint32_t>(memory, Address{0x1004}) == 0x08070605);
  CHECK(*memory::read_pointer(memory, Address{0x1000}) == Address{0x0807060504030201});
  const auto beyond = memory::read_value<std::uint32_t>(memory, Address{0x1005});
  CHECK(beyond.error().code == Errc::unreadable);
  CHECK(beyond.error().where == Address{0x1005});
  CHECK(!memory::read_value<std::uint8_t>(memory, Address{0x0fff}));
  CHECK(!memory::read_pointer(memory, Address{0xffff'ffff'ffff'fffc}));
}

TEST_CASE("nothing can be read from nothing, and reading nothing works at the edges", "[memory]") {
  const BufferMemory empty{Address{0}, {}};
  CHECK(empty.read(Address{0}, {}) == Errc::ok);
  CHECK(!memory::read_value<std::uint8_t>(empty, Address{0}));
  const std::vector<std::byte> bytes(4);
  CHECK(BufferMemory{Address{0x1000}, bytes}.read(Address{0x1004}, {}) == Errc::ok);
  CHECK(BufferMemory{Address{0x1000}, bytes}.read(Address{0x1005}, {}) == Errc::unreadable);
}

TEST_CASE("a buffer at the end of the address space does not wrap", "[memory]") {
  const std::vector<std::byte> bytes(32);
  const BufferMemory memory{Address{0xffff'ffff'ffff'fff0}, bytes};
  CHECK(!memory::read_value<std::uint64_t>(memory, Address{0xffff'ffff'ffff'fffc}));
  CHECK(!memory::read_value<std::uint64_t>(memory, Address{0}));
}
