// Fields of a structure that was copied into a buffer. signal-safe
#pragma once

#include <cstddef>      // byte
#include <cstdint>      // uint64_t
#include <cstring>      // memcpy
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/address.hpp"
#include "pyagent/cpython/layout.hpp"

namespace pyagent::inline v0::cpython {

/// The field at `offset`, or zero when it does not lie in `bytes`, as an absent one never does.
template <class T>
requires std::is_trivially_copyable_v<T> T field_at(std::span<const std::byte> bytes, Offset offset)
noexcept {
  T value{};
  if (offset <= bytes.size() && sizeof(T) <= bytes.size() - offset)
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// The pointer at `offset`, or null when it does not lie in `bytes`.
inline Address pointer_at(std::span<const std::byte> bytes, Offset offset) noexcept {
  return {field_at<std::uint64_t>(bytes, offset)};
}

/// Mixes `value` into a fingerprint. Source: the finalizer of MurmurHash3, public domain
constexpr std::uint64_t mix(std::uint64_t fingerprint, std::uint64_t value) noexcept {
  fingerprint = (fingerprint ^ value) + 0x9e3779b97f4a7c15u;
  fingerprint = (fingerprint ^ fingerprint >> 33) * 0xff51afd7ed558ccdu;
  fingerprint = (fingerprint ^ fingerprint >> 33) * 0xc4ceb9fe1a85ec53u;
  return fingerprint ^ fingerprint >> 33;
}

/// Mixes bytes into a fingerprint, eight at a time; the last word is filled up with zeros.
inline std::uint64_t mix(std::uint64_t fingerprint, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t count = bytes.size() < sizeof word ? bytes.size() : sizeof word;
    std::memcpy(&word, bytes.data(), count);
    fingerprint = mix(fingerprint, word);
    bytes = bytes.subspan(count);
  }
  return fingerprint;
}

}  // namespace pyagent::inline v0::cpython
