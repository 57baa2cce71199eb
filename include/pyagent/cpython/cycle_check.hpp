// Lists of the target that link back to themselves. signal-safe
#pragma once

#include <cstdint>  // uint32_t

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::cpython::detail {

/// Notices when a list links back to itself. It compares with one earlier entry, which is a later one after 1, 2, 4...
/// steps: so a list is left before it was followed four times.
/// Source: R. P. Brent, An improved Monte Carlo factorization algorithm, 1980
class CycleCheck {
 public:
  constexpr bool sees_again(Address entry) noexcept {
    if (entry == mark_) return true;
    if (++steps_ == limit_) {
      mark_ = entry;
      limit_ *= 2;
      steps_ = 0;
    }
    return false;
  }

 private:
  Address mark_{};
  std::uint32_t steps_ = 0;
  std::uint32_t limit_ = 1;
};

}  // namespace pyagent::inline v0::cpython::detail
