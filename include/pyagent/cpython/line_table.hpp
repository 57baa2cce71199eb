// Line tables of code objects: where in its file an instruction is. signal-safe
//
// Four formats, named by LineTable. Sources: Objects/lnotab_notes.txt, v3.5.10 (co_lnotab), v3.6.15 (its line steps are
// signed); Objects/lnotab_notes.txt, v3.10.13 (PEP 626, ranges); Objects/locations.md, v3.11.7 (PEP 657, locations)
#pragma once

#include <cstddef>  // byte
#include <cstdint>  // int32_t
#include <span>     // span

#include "pyagent/cpython/layout.hpp"

namespace pyagent::inline v0::cpython {

/// Where in a file an instruction is. Columns count bytes of UTF-8 from 0, as in PEP 657.
struct Location {
  std::int32_t line = 0;         ///< 1-based; 0 where unknown
  std::int32_t end_line = 0;     ///< 1-based; 0 where unknown: before 3.11
  std::int32_t column = -1;      ///< first byte; -1 where unknown
  std::int32_t end_column = -1;  ///< behind the last byte; -1 where unknown

  friend constexpr bool operator==(const Location&, const Location&) noexcept = default;
};

namespace detail {

/// Takes a line table apart from its front. Behind its end everything is zero.
class LineTableCursor {
 public:
  constexpr explicit LineTableCursor(std::span<const std::byte> table) noexcept : table_(table) {}

  constexpr bool at_end() const noexcept { return at_ >= table_.size(); }
  constexpr std::uint32_t take_byte() noexcept { return at_end() ? 0 : std::to_integer<std::uint32_t>(table_[at_++]); }
  constexpr std::int32_t take_signed_byte() noexcept { return static_cast<std::int8_t>(take_byte()); }

  /// Groups of six bits, lowest first; bit 6 says that another follows.
  constexpr std::uint32_t take_varint() noexcept {
    std::uint32_t value = 0;
    for (unsigned shift = 0;; shift += 6) {
      const std::uint32_t byte = take_byte();
      if (shift < 32) value |= (byte & 0x3f) << shift;
      if ((byte & 0x40) == 0) return value;
    }
  }

  /// As take_varint, with the sign in bit 0.
  constexpr std::int32_t take_signed_varint() noexcept {
    const std::uint32_t value = take_varint();
    return static_cast<std::int32_t>((value & 1) != 0 ? 0u - (value >> 1) : value >> 1);
  }

 private:
  std::span<const std::byte> table_;
  std::size_t at_ = 0;
};

/// Adds without overflow: a damaged table may hold any steps, and then any line is as good as another.
constexpr std::int32_t step_line(std::int32_t line, std::int32_t step) noexcept {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(line) + static_cast<std::uint32_t>(step));
}

/// A line as people count them, or 0: a damaged table may lead to any number.
constexpr std::int32_t valid_line(std::int32_t line) noexcept { return line > 0 ? line : 0; }

/// Pairs (bytes of instructions, line step): the step applies behind these bytes.
constexpr Location find_in_lnotab(LineTableCursor table, bool is_signed, std::int32_t first_line,
                                  std::uint32_t instruction) noexcept {
  std::int32_t line = first_line;
  std::uint64_t end = 0;
  while (!table.at_end()) {
    end += table.take_byte();
    if (end > instruction) break;
    line = step_line(line, is_signed ? table.take_signed_byte() : static_cast<std::int32_t>(table.take_byte()));
  }
  return {.line = valid_line(line)};
}

/// Pairs (bytes of instructions, line step): the step applies to these bytes; -128 is "no line".
constexpr Location find_in_ranges(LineTableCursor table, std::int32_t first_line, std::uint32_t instruction) noexcept {
  constexpr std::int32_t no_line = -128;
  std::int32_t line = first_line;
  std::uint64_t end = 0;
  while (!table.at_end()) {
    end += table.take_byte();
    const std::int32_t step = table.take_signed_byte();
    if (step != no_line) line = step_line(line, step);
    if (end > instruction) break;
  }
  return {.line = valid_line(line)};
}

/// One entry behind its first byte, of form `code`; moves `line`. What has no line of its own stays at `line`.
constexpr Location take_location(LineTableCursor& table, std::uint32_t code, std::int32_t& line) noexcept {
  if (code == 15) return {.line = line};
  if (code == 14) {
    line = step_line(line, table.take_signed_varint());
    const std::int32_t end_line = step_line(line, static_cast<std::int32_t>(table.take_varint()));
    const auto column = static_cast<std::int32_t>(table.take_varint() - 1u);  // 0 is unknown
    const auto end_column = static_cast<std::int32_t>(table.take_varint() - 1u);
    return {line, end_line, column, end_column};
  }
  if (code == 13) {
    line = step_line(line, table.take_signed_varint());
    return {.line = line, .end_line = line};
  }
  if (code >= 10) {
    line = step_line(line, static_cast<std::int32_t>(code) - 10);
    const auto column = static_cast<std::int32_t>(table.take_byte());
    const auto end_column = static_cast<std::int32_t>(table.take_byte());
    return {line, line, column, end_column};
  }
  const std::uint32_t columns = table.take_byte();
  const auto column = static_cast<std::int32_t>(code << 3 | columns >> 4);
  return {line, line, column, column + static_cast<std::int32_t>(columns & 15)};
}

constexpr Location valid_location(Location location) noexcept {
  if (location.line <= 0) return {};
  if (location.end_line < location.line) location.end_line = 0;
  if (location.column < 0) location.column = -1;
  if (location.end_column < 0) location.end_column = -1;
  return location;
}

/// Entries of a first byte 1ccccnnn (form, instruction units - 1) and what the form needs.
constexpr Location find_in_locations(LineTableCursor table, std::int32_t first_line,
                                     std::uint32_t instruction) noexcept {
  std::int32_t line = first_line;
  std::uint64_t end = 0;
  while (!table.at_end()) {
    const std::uint32_t head = table.take_byte();
    if ((head & 0x80) == 0) break;  // the middle of an entry: damaged
    const Location location = take_location(table, head >> 3 & 15, line);
    end += (head & 7) * 2 + 2;
    if (end > instruction) return valid_location(location);
  }
  return {.line = valid_line(line)};
}

}  // namespace detail

/// Finds the place of the instruction that begins or lies at `instruction`.
///
/// Shape:  an instruction that belongs to no line (PEP 626) is given that of the one before it, or else `first_line`;
///         so is what a damaged table does not reach. Before the first instruction it is `first_line`.
/// Units:  `instruction` in bytes from the first instruction; 3.10 too, whose f_lasti counts units of two.
constexpr Location find_location(LineTable format, std::span<const std::byte> table, std::int32_t first_line,
                                 std::int32_t instruction) noexcept {
  if (instruction < 0) return {.line = detail::valid_line(first_line)};
  const detail::LineTableCursor cursor{table};
  const auto offset = static_cast<std::uint32_t>(instruction);
  switch (format) {
    case LineTable::lnotab_unsigned: return detail::find_in_lnotab(cursor, false, first_line, offset);
    case LineTable::lnotab_signed: return detail::find_in_lnotab(cursor, true, first_line, offset);
    case LineTable::ranges: return detail::find_in_ranges(cursor, first_line, offset);
    case LineTable::locations: return detail::find_in_locations(cursor, first_line, offset);
  }
  return {};
}

}  // namespace pyagent::inline v0::cpython
