// Bytes of an untrusted file, taken by offset and never beyond their end.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <cstring>      // memcpy, memchr
#include <span>         // span
#include <string_view>  // string_view
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/result.hpp"

namespace pyagent::inline v0::elf {

/// The piece [offset, offset + size) of `bytes`.
///
/// Errors: truncated, with the offset, when it does not lie inside.
inline Result<std::span<const std::byte>> take_piece(std::span<const std::byte> bytes, std::uint64_t offset,
                                                     std::uint64_t size) noexcept {
  if (offset > bytes.size() || size > bytes.size() - offset) return Error{Errc::truncated, Address{offset}};
  return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

/// A copy of the `T` at `offset`, aligned or not.
template <class T>
  requires std::is_trivially_copyable_v<T>
Result<T> take_value(std::span<const std::byte> bytes, std::uint64_t offset) noexcept {
  const auto piece = take_piece(bytes, offset, sizeof(T));
  if (!piece) return piece.error();
  T value;
  std::memcpy(&value, piece->data(), sizeof value);
  return value;
}

/// The string that starts at `offset` of a string table; empty when it does not end inside.
inline std::string_view take_string(std::span<const std::byte> table, std::uint64_t offset) noexcept {
  if (offset >= table.size()) return {};
  const auto* const start = reinterpret_cast<const char*>(table.data()) + offset;
  const void* const end = std::memchr(start, 0, table.size() - static_cast<std::size_t>(offset));
  if (end == nullptr) return {};
  return {start, static_cast<std::size_t>(static_cast<const char*>(end) - start)};
}

}  // namespace pyagent::inline v0::elf
