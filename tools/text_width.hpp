// How many cells of a terminal a text takes, and how it is cut to fit.
#pragma once

#include <locale.h>  // newlocale, uselocale
#include <wchar.h>   // wcwidth

#include <cstddef>      // size_t
#include <string>       // string
#include <string_view>  // string_view

#include "pyagent/format/utf8.hpp"

namespace pyagent::tools {

/// What stands for what was cut off.
inline constexpr std::string_view ellipsis = "\xE2\x80\xA6";

/// Cells of a character: 2 for East Asian wide ones, 0 for combining marks. Whatever locale the user has, terminals of
/// today show UTF-8.
inline std::size_t character_width(char32_t character) {
  static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
  if (character < 0x7F || utf8 == locale_t{}) return 1;
  const locale_t before = ::uselocale(utf8);
  const int width = ::wcwidth(static_cast<wchar_t>(character));
  ::uselocale(before);
  return width < 0 ? 1 : static_cast<std::size_t>(width);
}

/// Cells of `text`, which has no control characters in it.
inline std::size_t text_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto piece = format::take_utf8(text);
    width += character_width(piece.code_point);
    text.remove_prefix(piece.size);
  }
  return width;
}

/// The front of `text` in at most `width` cells.
inline std::string_view fit_front(std::string_view text, std::size_t width) {
  std::size_t used = 0, size = 0;
  while (size < text.size()) {
    const auto piece = format::take_utf8(text.substr(size));
    used += character_width(piece.code_point);
    if (used > width) break;
    size += piece.size;
  }
  return text.substr(0, size);
}

/// `text`, or as much of its front as fits `width` cells, with an ellipsis after it.
inline std::string cut_end(std::string_view text, std::size_t width) {
  if (text_width(text) <= width) return std::string{text};
  if (width == 0) return {};
  return std::string{fit_front(text, width - 1)} += ellipsis;
}

/// `text`, or as much of its end as fits `width` cells, with an ellipsis before it.
inline std::string cut_front(std::string_view text, std::size_t width) {
  std::size_t left = text_width(text);
  if (left <= width) return std::string{text};
  if (width == 0) return {};
  // A combining mark goes with the character before it.
  for (bool is_mark = false; !text.empty() && (left > width - 1 || is_mark);) {
    const auto piece = format::take_utf8(text);
    left -= character_width(piece.code_point);
    text.remove_prefix(piece.size);
    is_mark = !text.empty() && character_width(format::take_utf8(text).code_point) == 0;
  }
  return std::string{ellipsis}.append(text);
}

}  // namespace pyagent::tools
