// Memory that is a copy in a buffer. signal-safe
#pragma once

#include <cstddef>  // byte
#include <cstring>  // memcpy
#include <span>     // span

#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::memory {

/// Bytes copied from `base` of a target; everything outside is unreadable.
class BufferMemory {
 public:
  static constexpr bool is_signal_safe = true;
  constexpr BufferMemory(Address base, std::span<const std::byte> bytes) noexcept : base_(base), bytes_(bytes) {}

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    if (!AddressRange{base_, base_ + bytes_.size()}.contains(address, out.size())) return Errc::unreadable;
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + (address - base_), out.size());
    return Errc::ok;
  }

 private:
  Address base_;
  std::span<const std::byte> bytes_;
};

}  // namespace pyagent::inline v0::memory
