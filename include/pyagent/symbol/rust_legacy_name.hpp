// Rust names mangled by the legacy scheme, which looks like C++, as people write them. May allocate
#pragma once

#include <charconv>     // from_chars
#include <cstdint>      // uint32_t
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // pair

#include "pyagent/symbol/code_point.hpp"

namespace pyagent::inline v0::symbol {

namespace detail {

/// What `$LT$` and the like stand for; 0 when `code` is none of them.
/// Source: rustc_codegen_ssa, symbol_names/legacy.rs, sanitize
constexpr std::uint32_t legacy_escape(std::string_view code) noexcept {
  constexpr std::pair<std::string_view, char> escapes[] = {{"SP", '@'}, {"BP", '*'}, {"RF", '&'}, {"LT", '<'},
                                                           {"GT", '>'}, {"LP", '('}, {"RP", ')'}, {"C", ','}};
  for (const auto& [name, character] : escapes)
    if (name == code) return static_cast<unsigned char>(character);
  if (code.size() < 2 || code.size() > 7 || code[0] != 'u') return 0;
  std::uint32_t point = 0;
  const auto parsed = std::from_chars(code.data() + 1, code.data() + code.size(), point, 16);
  return parsed.ec == std::errc{} && parsed.ptr == code.data() + code.size() && point >= 0x20 && is_scalar(point)
             ? point
             : 0;
}

inline void append_legacy(std::string& text, std::string_view part) {
  if (part.starts_with("_$")) part.remove_prefix(1);
  while (!part.empty()) {
    if (part.starts_with("..")) {
      text += "::";
      part.remove_prefix(2);
      continue;
    }
    if (const std::size_t end = part[0] == '$' ? part.find('$', 1) : part.npos; end != part.npos) {
      if (const std::uint32_t point = legacy_escape(part.substr(1, end - 1)); point != 0) {
        append_utf8(text, point);
        part.remove_prefix(end + 1);
        continue;
      }
    }
    text += part[0];
    part.remove_prefix(1);
  }
}

constexpr bool is_legacy_hash(std::string_view part) noexcept {
  return part.size() == 17 && part[0] == 'h' && part.find_first_not_of("0123456789abcdef", 1) == part.npos;
}

}  // namespace detail

/// The path that a legacy symbol (`_ZN7mycrate3foo17h0123456789abcdefE`) stands for: `mycrate::foo`, without the hash.
/// Nothing when it is another name: C++ names begin alike, but none ends in such a hash.
inline std::optional<std::string> demangle_rust_legacy(std::string_view symbol) {
  if (!symbol.starts_with("_ZN")) return std::nullopt;
  symbol.remove_prefix(3);
  std::string text;
  bool has_hash = false;
  while (!symbol.starts_with('E')) {
    std::size_t length = 0;
    const auto parsed = std::from_chars(symbol.data(), symbol.data() + symbol.size(), length);
    if (parsed.ec != std::errc{} || length == 0) return std::nullopt;
    symbol.remove_prefix(static_cast<std::size_t>(parsed.ptr - symbol.data()));
    if (length > symbol.size()) return std::nullopt;
    const std::string_view part = symbol.substr(0, length);
    symbol.remove_prefix(length);
    has_hash = symbol.starts_with('E') && detail::is_legacy_hash(part);
    if (has_hash) break;
    if (!text.empty()) text += "::";
    detail::append_legacy(text, part);
  }
  if (!has_hash || text.empty()) return std::nullopt;
  return text;
}

}  // namespace pyagent::inline v0::symbol
