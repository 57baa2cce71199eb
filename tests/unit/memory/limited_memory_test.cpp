#include "pyagent/memory/limited_memory.hpp"

#include <array>  // array

#include "pyagent/memory/buffer_memory.hpp"
#include "support/catch.hpp"

using namespace pyagent;
using namespace pyagent::memory;

TEST_CASE("LimitedMemory reads as often as it is allowed, and not before it is", "[memory]") {
  const std::array<std::byte, 8> bytes{std::byte{7}};
  const BufferMemory buffer{{64}, bytes};
  LimitedMemory limited{buffer};
  CHECK(read_value<std::uint64_t>(limited, {64}).error().code == Errc::unreadable);
  limited.allow(2);
  CHECK(read_value<std::uint64_t>(limited, {64}).value_or(0) == 7);
  CHECK(read_value<std::uint64_t>(limited, {65}).error().code == Errc::unreadable);  // counts as well
  CHECK(limited.is_spent());
  CHECK(limited.left() == 0);
  CHECK(read_value<std::uint64_t>(limited, {64}).error().code == Errc::unreadable);
}
