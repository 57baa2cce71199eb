// Memory that may be read a number of times. signal-safe
#pragma once

#include <cstddef>  // byte, size_t
#include <span>     // span

#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::memory {

/// Another memory, until a number of reads is used up: whatever a target builds, looking at it takes a limited time.
template <Memory M>
class LimitedMemory {
 public:
  static constexpr bool is_signal_safe = SignalSafeMemory<M>;
  constexpr explicit LimitedMemory(const M& memory) noexcept : memory_(memory) {}

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    if (left_ == 0) return Errc::unreadable;
    --left_;
    return memory_.read(address, out);
  }
  bool is_spent() const noexcept { return left_ == 0; }
  std::size_t left() const noexcept { return left_; }
  void allow(std::size_t reads) noexcept { left_ = reads; }

 private:
  const M& memory_;
  mutable std::size_t left_ = 0;
};

}  // namespace pyagent::inline v0::memory
