// Unicode code points written as UTF-8. May allocate
#pragma once

#include <cstdint>  // uint32_t
#include <string>   // string

namespace pyagent::inline v0::symbol::detail {

inline void append_utf8(std::string& text, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (point < 0x80) return put(point);
  if (point < 0x800) return put(0xc0 | point >> 6), put(0x80 | (point & 63));
  if (point < 0x10000) return put(0xe0 | point >> 12), put(0x80 | (point >> 6 & 63)), put(0x80 | (point & 63));
  put(0xf0 | point >> 18), put(0x80 | (point >> 12 & 63)), put(0x80 | (point >> 6 & 63)), put(0x80 | (point & 63));
}

constexpr bool is_scalar(std::uint32_t point) noexcept {
  return point < 0x110000 && (point < 0xd800 || point > 0xdfff);
}

}  // namespace pyagent::inline v0::symbol::detail
