// Python strings of the target as UTF-8. signal-safe
//
// Source: Include/cpython/unicodeobject.h, CPython 3.5 to 3.15: PyASCIIObject, PyCompactUnicodeObject, PyUnicodeObject
#pragma once

#include <algorithm>    // min
#include <array>        // array
#include <cstddef>      // byte
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/object_bytes.hpp"
#include "pyagent/cpython/utf8_writer.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// How much of a string was written.
struct StringPiece {
  std::size_t size = 0;  ///< bytes of UTF-8
  bool is_cut = false;   ///< the string is longer; the cut is between two characters
};

/// A string object without its characters.
struct StringHead {
  std::uint64_t length = 0;  ///< in characters
  std::int64_t hash = 0;     ///< -1 until somebody asks for it
  std::uint8_t kind = 0;     ///< bytes per character: 1, 2 or 4
  bool is_compact = false;   ///< the characters follow the object
  bool is_ascii = false;
};

/// Characters a str may have at most. Source: PY_SSIZE_T_MAX / 4; anything longer is no string
inline constexpr std::uint64_t max_string_length = std::uint64_t{1} << 61;

/// Takes a string object's fields from its first bytes.
///
/// Errors: wrong_type if no string has such fields; unsupported_version for the byte strings of 2.7.
inline Result<StringHead> decode_string_head(const Layout& layout, Address string,
                                             std::span<const std::byte> bytes) noexcept {
  const auto state = field_at<std::uint32_t>(bytes, layout.unicode.state);
  unsigned shift = 0;
  switch (layout.string_state) {  // the bits above the flags are not always zero (3.5, 3.13t, 3.14t)
    case StringState::byte_string: return Error{Errc::unsupported_version, string};
    case StringState::packed: shift = 2; break;
    case StringState::free_threaded: shift = 8; break;
  }
  const StringHead head{.length = field_at<std::uint64_t>(bytes, layout.unicode.length),
                        .hash = field_at<std::int64_t>(bytes, layout.unicode.hash),
                        .kind = static_cast<std::uint8_t>(state >> shift & 7),
                        .is_compact = (state >> (shift + 3) & 1) != 0,
                        .is_ascii = (state >> (shift + 4) & 1) != 0};
  const bool is_kind = head.kind == 1 || head.kind == 2 || head.kind == 4;
  if (!is_kind || (head.is_ascii && head.kind != 1) || head.length > max_string_length)
    return Error{Errc::wrong_type, string};
  return head;
}

/// Appends characters of `kind` bytes each; false when `out` is full.
inline bool append_characters(std::span<const std::byte> bytes, std::uint8_t kind, Utf8Writer& out) noexcept {
  for (Offset at = 0; at + kind <= bytes.size(); at += kind) {
    const char32_t character = kind == 1   ? field_at<std::uint8_t>(bytes, at)
                               : kind == 2 ? field_at<std::uint16_t>(bytes, at)
                                           : field_at<std::uint32_t>(bytes, at);
    if (!out.put(character)) return false;
  }
  return true;
}

/// Reads what `string` says about itself.
template <memory::Memory M>
Result<StringHead> read_string_head(const M& memory, const Layout& layout, Address string) noexcept {
  std::array<std::byte, 64> buffer;
  const std::size_t size =
      std::min<std::size_t>(std::uint64_t{layout.unicode.state} + sizeof(std::uint32_t), buffer.size());
  const auto bytes = std::span{buffer}.first(size);
  if (const Errc failed = memory.read(string, bytes); failed != Errc::ok) return Error{failed, string};
  return decode_string_head(layout, string, bytes);
}

/// Address of the first character.
template <memory::Memory M>
Result<Address> read_string_data(const M& memory, const Layout& layout, Address string,
                                 const StringHead& head) noexcept {
  if (!head.is_compact) return memory::read_pointer(memory, string + layout.unicode.data);  // an instance of a subclass
  return string + (head.is_ascii ? layout.unicode.ascii_data : layout.unicode.compact_data);
}

/// Reads the str at `string` as UTF-8 into `out`. Lone surrogates and what is no code point become U+FFFD.
///
/// Shape:  a string longer than `out` is cut between two characters, which is no error.
/// Errors: unreadable; wrong_type if there is no string.
template <memory::Memory M>
Result<StringPiece> read_string(const M& memory, const Layout& layout, Address string, std::span<char> out) noexcept {
  const auto head = read_string_head(memory, layout, string);
  if (!head) return head.error();
  if (head->length == 0) return StringPiece{};
  const auto data = read_string_data(memory, layout, string, *head);
  if (!data) return data.error();

  if (head->is_ascii) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(head->length, out.size()));
    if (size != 0) {
      const Errc failed = memory.read(*data, std::as_writable_bytes(out.first(size)));
      if (failed != Errc::ok) return Error{failed, *data};
    }
    return StringPiece{size, size < head->length};
  }

  Utf8Writer writer{out};
  std::array<std::byte, 64> buffer;
  const std::uint64_t bytes = head->length * head->kind;
  for (std::uint64_t at = 0; at < bytes; at += buffer.size()) {
    const auto piece =
        std::span{buffer}.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes - at, buffer.size())));
    if (const Errc failed = memory.read(*data + at, piece); failed != Errc::ok) return Error{failed, *data + at};
    if (!append_characters(piece, head->kind, writer)) return StringPiece{writer.size(), true};
  }
  return StringPiece{writer.size(), false};
}

/// True when the str at `string` is `text`, which is ASCII.
template <memory::Memory M>
bool is_string(const M& memory, const Layout& layout, Address string, std::string_view text) noexcept {
  const auto head = read_string_head(memory, layout, string);
  if (!head || !head->is_ascii || head->length != text.size()) return false;
  const auto data = read_string_data(memory, layout, string, *head);
  if (!data) return false;
  std::array<char, 64> buffer;
  for (std::size_t at = 0; at < text.size(); at += buffer.size()) {
    const auto piece = std::span{buffer}.first(std::min(text.size() - at, buffer.size()));
    if (memory.read(*data + at, std::as_writable_bytes(piece)) != Errc::ok) return false;
    if (std::string_view{piece.data(), piece.size()} != text.substr(at, piece.size())) return false;
  }
  return true;
}

/// Mixes in the bytes at both ends of `data`, which is all of them up to 64.
template <memory::Memory M>
Result<std::uint64_t> read_ends_identity(const M& memory, Address data, std::uint64_t size,
                                         std::uint64_t identity) noexcept {
  std::array<std::byte, 64> buffer;
  const auto front = std::span{buffer}.first(static_cast<std::size_t>(std::min<std::uint64_t>(size, buffer.size())));
  if (front.empty()) return identity;
  if (const Errc failed = memory.read(data, front); failed != Errc::ok) return Error{failed, data};
  identity = mix(identity, front);
  if (size <= buffer.size()) return identity;
  const Address last = data + (size - buffer.size());
  if (const Errc failed = memory.read(last, buffer); failed != Errc::ok) return Error{failed, last};
  return mix(identity, buffer);
}

/// A number that differs when the text differs: from the hash Python keeps in the object, else from the length and
/// the characters at both ends (file names differ at their ends). It may change once, when Python computes the hash.
///
/// Errors: as read_string.
template <memory::Memory M>
Result<std::uint64_t> read_string_identity(const M& memory, const Layout& layout, Address string) noexcept {
  const auto head = read_string_head(memory, layout, string);
  if (!head) return head.error();
  const std::uint64_t identity = mix(head->length, head->kind);
  if (head->hash != -1) return mix(identity, static_cast<std::uint64_t>(head->hash));
  if (head->length == 0) return identity;
  const auto data = read_string_data(memory, layout, string, *head);
  if (!data) return data.error();
  return read_ends_identity(memory, *data, head->length * head->kind, identity);
}

}  // namespace pyagent::inline v0::cpython
