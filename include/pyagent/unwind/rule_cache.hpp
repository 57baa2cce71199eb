// The rules that one thread met lately. signal-safe
#pragma once

#include <array>    // array
#include <cstddef>  // byte, size_t
#include <cstdint>  // uint32_t
#include <cstring>  // memcpy

#include "pyagent/base/address.hpp"
#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::inline v0::unwind {

/// Rules by address, one line of the processor's cache each. All zero bytes are an empty cache, so it may lie in fresh
/// pages or static storage. An entry holds for one generation of modules, which the caller counts: where a module comes
/// and another goes, the same address has another rule, and an expression's bytes are gone.
/// One thread uses it, and no signal handler while that thread does.
template <std::size_t Entries = 512>
requires(Entries != 0 && (Entries & (Entries - 1)) == 0) class RuleCache {
 public:
  /// False when it isn't there.
  bool find(Address address, std::uint32_t generation, UnwindRule& out) const noexcept {
    const Entry& entry = entries_[place(address)];
    if (entry.address != address.value || entry.generation != generation || !address) return false;
    std::memcpy(&out, entry.rule.data(), sizeof out);
    return true;
  }

  void keep(Address address, std::uint32_t generation, const UnwindRule& rule) noexcept {
    Entry& entry = entries_[place(address)];
    entry.address = address.value;
    entry.generation = generation;
    std::memcpy(entry.rule.data(), &rule, sizeof rule);
  }

  static constexpr std::size_t capacity() noexcept { return Entries; }

 private:
  /// The rule as bytes: its default values would make the cache's storage something to be constructed.
  struct alignas(64) Entry {
    std::uint64_t address;
    std::uint32_t generation;
    std::array<std::byte, sizeof(UnwindRule)> rule;
  };
  static_assert(sizeof(Entry) == 64);

  static std::size_t place(Address address) noexcept {
    constexpr std::uint64_t golden = 0x9e37'79b9'7f4a'7c15;  // 2^64 / golden ratio: Knuth, TAOCP 3, 6.4
    return static_cast<std::size_t>((address.value * golden) >> 32) & (Entries - 1);
  }

  std::array<Entry, Entries> entries_;
};

}  // namespace pyagent::inline v0::unwind
