// Takes what DWARF is made of from a section, front to back, and stops at its end.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <cstring>      // memchr
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/base/byte_cursor.hpp"

namespace pyagent::inline v0::dwarf {

/// How numbers of a unit are stored.
struct Encoding {
  std::uint16_t version = 0;
  std::uint8_t address_size = 8;  ///< 4 or 8
  bool is_64 = false;             ///< offsets have 8 bytes: the 64-bit DWARF format (7.4)

  constexpr std::uint8_t offset_size() const noexcept { return is_64 ? 8 : 4; }
  friend constexpr bool operator==(const Encoding&, const Encoding&) noexcept = default;
};

/// A ByteCursor that knows where in its section it stands, and the numbers of DWARF 5, 7.5 and 7.6.
class SectionCursor : public ByteCursor {
 public:
  /// Reads `section` from `start` to before `end`; both are cut to its size.
  constexpr SectionCursor(std::span<const std::byte> section, std::uint64_t start,
                          std::uint64_t end = ~std::uint64_t{0}) noexcept
      : ByteCursor(cut(section, start, end)), start_(start) {}

  /// Offset in the section.
  constexpr std::uint64_t position() const noexcept { return start_ + offset(); }

  /// Signed LEB128; what is beyond 64 bits is dropped.
  std::int64_t take_sleb128() noexcept {
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (std::uint8_t byte = 0x80; (byte & 0x80) != 0 && ok(); shift += 7) {
      byte = take<std::uint8_t>();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0xc0) == 0x40 && shift + 7 < 64) value |= ~std::uint64_t{0} << (shift + 7);
    }
    return static_cast<std::int64_t>(value);
  }

  /// A number of 1, 2, 3, 4 or 8 bytes.
  std::uint64_t take_unsigned(std::size_t size) noexcept {
    switch (size) {
      case 1:
        return take<std::uint8_t>();
      case 2:
        return take<std::uint16_t>();
      case 4:
        return take<std::uint32_t>();
      case 8:
        return take<std::uint64_t>();
      default:
        break;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{take<std::uint8_t>()} << (8 * i);
    return value;
  }

  std::uint64_t take_offset(const Encoding& encoding) noexcept { return take_unsigned(encoding.offset_size()); }
  std::uint64_t take_address(const Encoding& encoding) noexcept { return take_unsigned(encoding.address_size); }

  /// The length that begins a unit, a line program or a table; says whether it is of the 64-bit format.
  std::uint64_t take_initial_length(bool& is_64) noexcept {
    const std::uint64_t length = take<std::uint32_t>();
    is_64 = length == 0xffffffff;
    return is_64 ? take<std::uint64_t>() : length;
  }

  /// Up to the next zero, which is skipped.
  std::string_view take_string() noexcept {
    ByteCursor ahead = *this;
    const auto rest = ahead.take_bytes(ahead.remaining());
    const auto* const start = reinterpret_cast<const char*>(rest.data());
    const void* const end = rest.empty() ? nullptr : std::memchr(start, 0, rest.size());
    if (end == nullptr) return skip(remaining() + 1), std::string_view{};
    const auto size = static_cast<std::size_t>(static_cast<const char*>(end) - start);
    skip(size + 1);
    return {start, size};
  }

 private:
  static constexpr std::span<const std::byte> cut(std::span<const std::byte> section, std::uint64_t start,
                                                  std::uint64_t end) noexcept {
    if (end > section.size()) end = section.size();
    if (start >= end) return {};
    return section.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start));
  }

  std::uint64_t start_;
};

}  // namespace pyagent::inline v0::dwarf
