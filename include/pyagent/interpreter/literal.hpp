// Plain values as Python writes them: int, float, complex, str, bytes.
#pragma once

#include <algorithm>    // any_of, none_of
#include <array>        // array
#include <charconv>     // to_chars, from_chars
#include <cmath>        // isinf, isnan, signbit
#include <cstddef>      // byte, size_t
#include <cstdint>      // uint32_t, uint64_t
#include <iterator>     // begin, end
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/cpython/utf8_writer.hpp"

namespace pyagent::inline v0::interpreter {

/// Bits of an int's magnitude that one of its digits holds. Source: PYLONG_BITS_IN_DIGIT of 64-bit builds
inline constexpr unsigned bits_in_digit = 30;

/// Decimal digits that a number of so many bits has at most.
constexpr std::uint64_t decimal_digits(std::uint64_t bits) noexcept {
  return bits / 100 * 31 + bits % 100 * 31 / 100 + 1;
}

namespace detail {

inline void append_hex(std::string& out, std::uint64_t value, std::size_t width) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  const auto size = static_cast<std::size_t>(end - digits.data());
  out.append(width > size ? width - size : 0, '0').append(digits.data(), size);
}

struct CharacterRange {
  char32_t first, last;
};

/// What str.isprintable() denies, as far as it matters on a terminal: controls, separators, invisible and reordering
/// marks, surrogates, private use. Characters that Unicode has not assigned are taken for printable, as it assigns more
/// each year. Source: Unicode 15.1, categories Cc Cf Zl Zp Zs Cs Co
inline constexpr CharacterRange unprintable[] = {
    {0x00, 0x1f},         {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
    {0x6dd, 0x6dd},       {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x1680, 0x1680},
    {0x180e, 0x180e},     {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},
    {0xd800, 0xf8ff},     {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x110bd, 0x110bd},
    {0x110cd, 0x110cd},   {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff},
    {0xf0000, 0xffffffff}};

inline bool is_printable(char32_t character) noexcept {
  return std::none_of(std::begin(unprintable), std::end(unprintable),
                      [=](const CharacterRange& range) { return range.first <= character && character <= range.last; });
}

inline void append_utf8(std::string& out, char32_t character) {
  std::array<char, 4> buffer;
  cpython::Utf8Writer writer{buffer};
  writer.put(character);
  out.append(buffer.data(), writer.size());
}

/// Appends what both str and bytes write with a backslash; false for any other character.
inline bool append_short_escape(std::string& out, char32_t character, char quote) {
  switch (character) {
    case U'\t':
      out += "\\t";
      return true;
    case U'\n':
      out += "\\n";
      return true;
    case U'\r':
      out += "\\r";
      return true;
    case U'\\':
      out += "\\\\";
      return true;
    default:
      break;
  }
  if (character != static_cast<unsigned char>(quote)) return false;
  out += {'\\', quote};
  return true;
}

/// Appends the digits of a decimal fraction as repr() does: `digits` with the point behind the `point`-th of them.
/// Source: CPython Python/pystrtod.c, format_float_short, format code 'r'
inline void append_placed_digits(std::string& out, std::string_view digits, int point, bool add_zero) {
  const int count = static_cast<int>(digits.size());
  if (point > 16 || point <= -4) {
    out += digits[0];
    if (count > 1) out.append(1, '.').append(digits.substr(1));
    const int exponent = point - 1;
    const std::string magnitude = std::to_string(exponent < 0 ? -exponent : exponent);
    out += exponent < 0 ? "e-" : "e+";
    out.append(magnitude.size() < 2 ? 1 : 0, '0').append(magnitude);
  } else if (point <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-point), '0').append(digits);
  } else if (point >= count) {
    out.append(digits).append(static_cast<std::size_t>(point - count), '0').append(add_zero ? ".0" : "");
  } else {
    const auto whole = static_cast<std::size_t>(point);
    out.append(digits.substr(0, whole)).append(1, '.').append(digits.substr(whole));
  }
}

}  // namespace detail

/// Appends a float in the shortest form that reads back as the same number. `Float` is double, or float for numpy's
/// float32; without `add_zero` a whole number has no ".0", as inside of complex numbers.
template <class Float>
void append_float(std::string& out, Float value, bool add_zero = true) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  if (std::signbit(value)) out += '-';
  if (std::isinf(value)) {
    out += "inf";
    return;
  }
  std::array<char, 32> buffer;
  const auto magnitude = std::signbit(value) ? -value : value;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, std::chars_format::scientific).ptr;
  const std::string_view text{buffer.data(), static_cast<std::size_t>(end - buffer.data())};  // d.ddde+XX
  const auto mark = text.find('e');
  std::string digits{text.substr(0, 1)};
  if (mark > 2) digits += text.substr(2, mark - 2);
  int exponent = 0;
  std::from_chars(text.data() + mark + 2, end, exponent);
  if (text[mark + 1] == '-') exponent = -exponent;
  detail::append_placed_digits(out, digits, exponent + 1, add_zero);
}

/// Appends a complex number: `(1.5-2j)`, `2j`.
inline void append_complex(std::string& out, double real, double imaginary) {
  const bool is_imaginary = real == 0 && !std::signbit(real);
  if (!is_imaginary) {
    out += '(';
    append_float(out, real, false);
    if (std::isnan(imaginary) || !std::signbit(imaginary)) out += '+';
  }
  append_float(out, imaginary, false);
  out += is_imaginary ? "j" : "j)";
}

/// Appends an int in decimal; `digits` are its digits of 30 bits, least first. Takes time that grows with the square of
/// their number.
inline void append_int(std::string& out, bool is_negative, std::span<const std::uint32_t> digits) {
  constexpr std::uint32_t billion = 1'000'000'000;
  std::vector<std::uint32_t> rest(digits.begin(), digits.end());
  std::vector<std::uint32_t> groups;  // of nine decimal digits, least first
  for (;;) {
    while (!rest.empty() && rest.back() == 0) rest.pop_back();
    if (rest.empty()) break;
    std::uint64_t remainder = 0;
    for (std::size_t i = rest.size(); i-- > 0;) {
      remainder = remainder << bits_in_digit | (rest[i] & ((1u << bits_in_digit) - 1));
      rest[i] = static_cast<std::uint32_t>(remainder / billion);
      remainder %= billion;
    }
    groups.push_back(static_cast<std::uint32_t>(remainder));
  }
  if (groups.empty()) groups.push_back(0);
  if (is_negative) out += '-';
  out += std::to_string(groups.back());
  for (std::size_t i = groups.size() - 1; i-- > 0;) {
    const std::string group = std::to_string(groups[i]);
    out.append(9 - group.size(), '0').append(group);
  }
}

/// Appends a str in quotes, until `out` has `limit` bytes.
///
/// Shape: false when characters are missing; the closing quote is there in any case.
inline bool append_str(std::string& out, std::u32string_view characters, std::size_t limit) {
  const bool has_single = characters.find(U'\'') != characters.npos;
  const char quote = has_single && characters.find(U'"') == characters.npos ? '"' : '\'';
  out += quote;
  bool is_whole = true;
  for (const char32_t character : characters) {
    if (out.size() >= limit) {
      is_whole = false;
      break;
    }
    if (detail::append_short_escape(out, character, quote)) continue;
    if (detail::is_printable(character)) {
      detail::append_utf8(out, character);
      continue;
    }
    const std::size_t width = character < 0x100 ? 2 : character < 0x10000 ? 4 : 8;
    out.append(width == 2 ? "\\x" : width == 4 ? "\\u" : "\\U");
    detail::append_hex(out, character, width);
  }
  out += quote;
  return is_whole;
}

/// Appends bytes as `b'...'`, until `out` has `limit` bytes; false when some are missing.
inline bool append_bytes(std::string& out, std::span<const std::byte> bytes, std::size_t limit) {
  const auto holds = [&](char wanted) {
    return std::any_of(bytes.begin(), bytes.end(),
                       [=](std::byte byte) { return byte == static_cast<std::byte>(wanted); });
  };
  const char quote = holds('\'') && !holds('"') ? '"' : '\'';
  out += {'b', quote};
  bool is_whole = true;
  for (const std::byte byte : bytes) {
    if (out.size() >= limit) {
      is_whole = false;
      break;
    }
    const auto value = std::to_integer<unsigned char>(byte);
    if (detail::append_short_escape(out, value, quote)) continue;
    if (value >= 0x20 && value < 0x7f) {
      out += static_cast<char>(value);
      continue;
    }
    out += "\\x";
    detail::append_hex(out, value, 2);
  }
  out += quote;
  return is_whole;
}

}  // namespace pyagent::inline v0::interpreter
