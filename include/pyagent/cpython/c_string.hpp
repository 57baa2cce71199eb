// Strings of C in the target, such as the names of types. signal-safe
#pragma once

#include <array>    // array
#include <cstddef>  // byte
#include <span>     // span

#include "pyagent/cpython/read_string.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// Length of `text` without a character of UTF-8 that was cut at its end.
constexpr std::size_t without_cut_character(std::span<const char> text) noexcept {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::size_t needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return needed > back ? text.size() - back : text.size();
  }
  return text.size();
}

/// Reads bytes up to a zero into `out`, in aligned words, which never lie on two pages.
///
/// Shape:  a string longer than `out` is cut between two characters of UTF-8, which is no error.
template <memory::Memory M>
Result<StringPiece> read_c_string(const M& memory, Address string, std::span<char> out) noexcept {
  std::size_t size = 0;
  for (Address at = string;;) {
    std::array<char, 8> word;
    const auto piece = std::span{word}.first(8 - at.value % 8);
    if (const Errc failed = memory.read(at, std::as_writable_bytes(piece)); failed != Errc::ok)
      return Error{failed, at};
    for (const char c : piece) {
      if (c == '\0') return StringPiece{size, false};
      if (size == out.size()) return StringPiece{without_cut_character(out), true};
      out[size++] = c;
    }
    at = at + piece.size();
  }
}

}  // namespace pyagent::inline v0::cpython
