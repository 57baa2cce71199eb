// The Memory concept: bytes at an address. signal-safe
#pragma once

#include <concepts>     // same_as
#include <cstddef>      // byte
#include <cstring>      // memcpy
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/result.hpp"

namespace pyagent::inline v0::memory {

/// Fills the whole span from this address, or says why not; never faults, and never fills a part and calls it done.
template <class M>
concept Memory = requires(const M& memory, Address address, std::span<std::byte> out) {
  { memory.read(address, out) } noexcept -> std::same_as<Errc>;
};

/// A Memory that may be used in a signal handler: no heap, no locks, no cache that grows.
template <class M>
concept SignalSafeMemory = Memory<M> && M::is_signal_safe;

/// Reads a trivially copyable `T` at `address`.
template <class T, Memory M>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] Result<T> read_value(const M& memory, Address address) noexcept {
  std::byte bytes[sizeof(T)];
  if (const Errc failed = memory.read(address, bytes); failed != Errc::ok) return Error{failed, address};
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Reads a pointer-sized word at `address` as an Address.
template <Memory M>
[[nodiscard]] Result<Address> read_pointer(const M& memory, Address address) noexcept {
  const auto word = read_value<std::uint64_t>(memory, address);
  if (!word) return word.error();
  return Address{*word};
}

}  // namespace pyagent::inline v0::memory
