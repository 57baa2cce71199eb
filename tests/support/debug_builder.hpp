// Builds debug information byte by byte, for tests of what no compiler writes.
#pragma once

#include <elf.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "support/section_file.hpp"

namespace pyagent_test {

/// Bytes of a section; each function appends, and gives itself for the next.
struct DebugBytes {
  std::string bytes;

  DebugBytes& u8(std::uint64_t value) { return number(value, 1); }
  DebugBytes& u16(std::uint64_t value) { return number(value, 2); }
  DebugBytes& u32(std::uint64_t value) { return number(value, 4); }
  DebugBytes& u64(std::uint64_t value) { return number(value, 8); }
  DebugBytes& number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
    return *this;
  }
  DebugBytes& uleb(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) u8((value & 0x7f) | 0x80);
    return u8(value);
  }
  DebugBytes& sleb(std::int64_t value) {
    for (; value < -64 || value > 63; value >>= 7) u8((static_cast<std::uint64_t>(value) & 0x7f) | 0x80);
    return u8(static_cast<std::uint64_t>(value) & 0x7f);
  }
  DebugBytes& text(std::string_view value) {
    bytes.append(value) += '\0';
    return *this;
  }
  DebugBytes& append(const DebugBytes& more) {
    bytes += more.bytes;
    return *this;
  }
  /// With its length before it.
  DebugBytes counted() const { return DebugBytes{}.u32(bytes.size()).append(*this); }
};

/// .debug_abbrev: begin() for each abbreviation, then its attributes.
struct AbbreviationBytes : DebugBytes {
  AbbreviationBytes& begin(std::uint64_t code, std::uint64_t tag, bool has_children) {
    if (!bytes.empty()) u8(0).u8(0);
    uleb(code).uleb(tag).u8(has_children);
    return *this;
  }
  AbbreviationBytes& attribute(std::uint64_t name, std::uint64_t form) {
    uleb(name).uleb(form);
    return *this;
  }
  std::string end() const { return bytes + std::string(3, '\0'); }
};

/// A unit of .debug_info, DWARF 4, 8-byte addresses. Offsets in the unit begin with those of its header.
inline DebugBytes unit_4(const DebugBytes& dies, std::uint64_t abbreviations = 0) {
  return DebugBytes{}.u16(4).u32(abbreviations).u8(8).append(dies).counted();
}
inline constexpr std::uint64_t unit_4_header = 11;

}  // namespace pyagent_test
