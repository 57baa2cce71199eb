// A place in a source file, as people and viewers count.
#pragma once

#include <cstdint>  // int32_t

namespace pyagent::inline v0::symbol {

/// Where in a file an instruction is; 0 where unknown.
struct Position {
  std::int32_t line = 0;    ///< 1-based
  std::int32_t column = 0;  ///< 1-based, in UTF-8 bytes

  friend constexpr bool operator==(const Position&, const Position&) noexcept = default;
};

}  // namespace pyagent::inline v0::symbol
