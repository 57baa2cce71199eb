// Takes bytes from a span, front to back, and stops at its end. signal-safe
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <cstring>      // memcpy
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

namespace pyagent::inline v0 {

/// Reads little-endian values and LEB128 numbers from bytes. After a read past the end every further read gives
/// zero and `ok()` is false, so a parser may check once at the end of a record.
class ByteCursor {
 public:
  constexpr explicit ByteCursor(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  constexpr bool ok() const noexcept { return ok_; }
  constexpr bool at_end() const noexcept { return at_ >= bytes_.size(); }
  constexpr std::size_t offset() const noexcept { return at_; }
  constexpr std::size_t remaining() const noexcept { return bytes_.size() - at_; }

  template <class T>
    requires std::is_trivially_copyable_v<T>
  T take() noexcept {
    T value{};
    if (const auto piece = take_bytes(sizeof(T)); piece.size() == sizeof(T)) std::memcpy(&value, piece.data(), sizeof(T));
    return value;
  }

  /// `count` bytes, or an empty span (and `ok()` false) when there are fewer.
  constexpr std::span<const std::byte> take_bytes(std::size_t count) noexcept {
    if (count > remaining()) return fail();
    const auto piece = bytes_.subspan(at_, count);
    at_ += count;
    return piece;
  }

  /// Unsigned LEB128; more than 64 bits is a failure.
  constexpr std::uint64_t take_uleb128() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (at_end()) break;
      const auto byte = std::to_integer<std::uint64_t>(bytes_[at_++]);
      if (shift == 63 && (byte & 0x7e) != 0) break;
      value |= (byte & 0x7f) << (shift & 63);
      if ((byte & 0x80) == 0) return value;
    }
    fail();
    return 0;
  }

  /// Zigzag-coded signed number on top of unsigned LEB128.
  constexpr std::int64_t take_zigzag() noexcept {
    const auto value = take_uleb128();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }

  constexpr void skip(std::size_t count) noexcept { (void)take_bytes(count); }

 private:
  constexpr std::span<const std::byte> fail() noexcept {
    ok_ = false;
    at_ = bytes_.size();
    return {};
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace pyagent::inline v0
