// An address in the target, kept apart from our own pointers. signal-safe
#pragma once

#include <compare>  // operator<=>
#include <cstdint>  // uint64_t

namespace pyagent::inline v0 {

/// An address in the sampled process; zero is null.
struct Address {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(const Address&, const Address&) noexcept = default;
  constexpr explicit operator bool() const noexcept { return value != 0; }
  friend constexpr Address operator+(Address address, std::uint64_t bytes) noexcept { return {address.value + bytes}; }
  friend constexpr Address operator-(Address address, std::uint64_t bytes) noexcept { return {address.value - bytes}; }
  /// Distance in bytes; wraps when `right` is the larger.
  friend constexpr std::uint64_t operator-(Address left, Address right) noexcept { return left.value - right.value; }
};

/// Half-open range [begin, end) of target memory.
struct AddressRange {
  Address begin;
  Address end;

  constexpr std::uint64_t size() const noexcept { return end - begin; }
  constexpr bool contains(Address address) const noexcept { return begin <= address && address < end; }
  /// True when all of [address, address + bytes) lies inside; safe against wrap-around.
  constexpr bool contains(Address address, std::uint64_t bytes) const noexcept {
    return begin <= address && address <= end && bytes <= end - address;
  }
};

}  // namespace pyagent::inline v0
