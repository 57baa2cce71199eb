// UTF-8, taken apart piece by piece, whatever the bytes. signal-safe
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uint32_t
#include <string_view>  // string_view

namespace pyagent::inline v0::format {

/// What stands in for bytes that are not UTF-8: U+FFFD.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// The front of a text: one code point, or bytes that belong to none.
struct Utf8Piece {
  std::size_t size = 0;          ///< bytes taken; 0 only at the end of the text
  char32_t code_point = 0xFFFD;  ///< U+FFFD when not valid
  bool valid = false;
};

namespace detail {

/// Bytes that may follow a lead byte: how many, and the range of the first of them.
struct Utf8Tail {
  std::size_t count;
  unsigned char low;
  unsigned char high;
};

/// Source: The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences". A count of 0 is no lead byte.
constexpr Utf8Tail utf8_tail(unsigned char lead) noexcept {
  if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
  if (lead == 0xE0) return {2, 0xA0, 0xBF};
  if (lead == 0xED) return {2, 0x80, 0x9F};  // no surrogates
  if (lead >= 0xE1 && lead <= 0xEF) return {2, 0x80, 0xBF};
  if (lead == 0xF0) return {3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {3, 0x80, 0xBF};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace detail

/// The first code point of `text`, or its longest front that could have become one: each such front is one U+FFFD,
/// as in Python's `decode("utf-8", "replace")` and in browsers.
constexpr Utf8Piece take_utf8(std::string_view text) noexcept {
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {1, lead, true};
  const auto tail = detail::utf8_tail(lead);
  if (tail.count == 0) return {1};
  char32_t code_point = lead & (0x3Fu >> tail.count);
  for (std::size_t i = 1; i <= tail.count; ++i) {
    if (i == text.size()) return {i};
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < (i == 1 ? tail.low : 0x80) || byte > (i == 1 ? tail.high : 0xBF)) return {i};
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return {tail.count + 1, code_point, true};
}

}  // namespace pyagent::inline v0::format
