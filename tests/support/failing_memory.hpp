// Memory that refuses one read, to see that its reader copes.
#pragma once

#include <cstddef>  // byte
#include <span>     // span

#include "pyagent/memory/memory.hpp"

namespace pyagent::test {

/// Another memory, but read number `refused` (from 0) fails.
template <memory::Memory M>
class FailingMemory {
 public:
  static constexpr bool is_signal_safe = true;
  FailingMemory(const M& memory, std::size_t refused) : memory_(memory), refused_(refused) {}

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    return reads_++ == refused_ ? Errc::unreadable : memory_.read(address, out);
  }
  bool has_failed() const noexcept { return reads_ > refused_; }

 private:
  const M& memory_;
  std::size_t refused_;
  mutable std::size_t reads_ = 0;
};

/// Calls `use(failing memory)` for the first read refused, then the second, until `use` no longer comes so far.
/// Gives the number of reads that it takes when none fails.
template <memory::Memory M, class Use>
std::size_t refuse_each_read(const M& memory, Use use) {
  for (std::size_t refused = 0;; ++refused) {
    const FailingMemory<M> failing{memory, refused};
    use(failing);
    if (!failing.has_failed()) return refused;
  }
}

}  // namespace pyagent::test
