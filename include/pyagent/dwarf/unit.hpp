// Units of .debug_info: their headers, and what their first DIE says for all others.
#pragma once

#include <cstddef>      // byte
#include <cstdint>      // uint64_t
#include <optional>     // optional
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/base/result.hpp"
#include "pyagent/dwarf/abbreviations.hpp"
#include "pyagent/dwarf/debug_sections.hpp"
#include "pyagent/elf/file_bytes.hpp"

namespace pyagent::inline v0::dwarf {

/// A unit. Offsets are those in .debug_info unless something else is said.
struct Unit {
  std::uint64_t offset = 0;
  std::uint64_t end = 0;
  std::uint64_t first_die = 0;
  std::uint64_t abbreviations = 0;  ///< in .debug_abbrev
  Encoding encoding;
  std::uint8_t type = 0;  ///< DW_UT_...; DW_UT_compile before DWARF 5

  std::uint16_t tag = 0;       ///< of the first DIE; zero when it could not be read
  std::uint16_t language = 0;  ///< DW_LANG_...
  std::uint64_t dwo_id = 0;
  std::uint64_t text_offsets_base = 0;  ///< in .debug_str_offsets
  std::uint64_t addresses_base = 0;     ///< in .debug_addr
  std::uint64_t range_lists_base = 0;   ///< in .debug_rnglists
  std::uint64_t ranges_base = 0;        ///< in .debug_ranges; what DW_AT_ranges counts from
  std::uint64_t split_ranges_base = 0;  ///< the same for the DIEs in a skeleton's .dwo file
  std::uint64_t base_address = 0;       ///< low_pc: what ranges count from
  FormValue low_pc, high_pc, ranges;
  std::optional<std::uint64_t> line_program;  ///< in .debug_line
  std::string_view name, directory;           ///< as in the compiler's command line, and where it ran
  std::string_view dwo_name;                  ///< the file with the rest of a skeleton
};

/// Reads the header at `offset`; `end` is set even if the rest can't be used, so that the next one can be found.
///
/// Errors: truncated; unsupported_version for what is not DWARF 2 to 5, and for addresses that have not 4 or 8 bytes
/// Source: DWARF 5, 7.5.1
inline Error read_unit_header(std::span<const std::byte> info, std::uint64_t offset, Unit& unit) noexcept {
  SectionCursor cursor{info, offset};
  unit = {};
  unit.offset = offset;
  const std::uint64_t length = cursor.take_initial_length(unit.encoding.is_64);
  if (!cursor.ok() || length > cursor.remaining()) return {Errc::truncated, Address{offset}};
  unit.end = cursor.position() + length;
  cursor = SectionCursor{info, cursor.position(), unit.end};
  unit.encoding.version = cursor.take<std::uint16_t>();
  unit.type = DW_UT_compile;
  if (unit.encoding.version < 2 || unit.encoding.version > 5) return {Errc::unsupported_version, Address{offset}};
  if (unit.encoding.version == 5) {
    unit.type = cursor.take<std::uint8_t>();
    unit.encoding.address_size = cursor.take<std::uint8_t>();
    unit.abbreviations = cursor.take_offset(unit.encoding);
    if (unit.type == DW_UT_skeleton || unit.type == DW_UT_split_compile) unit.dwo_id = cursor.take<std::uint64_t>();
    if (unit.type == DW_UT_type || unit.type == DW_UT_split_type) cursor.skip(8u + unit.encoding.offset_size());
  } else {
    unit.abbreviations = cursor.take_offset(unit.encoding);
    unit.encoding.address_size = cursor.take<std::uint8_t>();
  }
  if (!cursor.ok()) return {Errc::truncated, Address{offset}};
  if (unit.encoding.address_size != 4 && unit.encoding.address_size != 8)
    return {Errc::unsupported_version, Address{offset}};
  unit.first_die = cursor.position();
  return {};
}

/// The address that `value` means.
inline std::optional<std::uint64_t> find_address(const DebugSections& sections, const Unit& unit,
                                                 const FormValue& value) noexcept {
  if (value.kind == ValueKind::address) return value.number;
  if (value.kind != ValueKind::address_index || value.number > sections.addresses.size()) return std::nullopt;
  SectionCursor cursor{sections.addresses, unit.addresses_base + value.number * unit.encoding.address_size};
  const std::uint64_t address = cursor.take_address(unit.encoding);
  if (!cursor.ok()) return std::nullopt;
  return address;
}

/// The string that `value` means; empty when it can't be had.
inline std::string_view find_text(const DebugSections& sections, const Unit& unit, const FormValue& value) noexcept {
  switch (value.kind) {
    case ValueKind::text:
      return value.text;
    case ValueKind::text_offset:
      return elf::take_string(sections.text, value.number);
    case ValueKind::line_text:
      return elf::take_string(sections.line_text, value.number);
    case ValueKind::text_index: {
      if (value.number > sections.text_offsets.size()) return {};
      SectionCursor cursor{sections.text_offsets, unit.text_offsets_base + value.number * unit.encoding.offset_size()};
      const std::uint64_t offset = cursor.take_offset(unit.encoding);
      return cursor.ok() ? elf::take_string(sections.text, offset) : std::string_view{};
    }
    default:
      return {};
  }
}

/// Reads the first DIE of `unit`.
///
/// Errors: truncated
/// Source: DWARF 5, 3.1
inline Error read_unit_die(const DebugSections& sections, const AbbreviationTable& table, Unit& unit) {
  SectionCursor cursor{sections.info, unit.first_die, unit.end};
  const Abbreviation* const abbreviation = table.find(cursor.take_uleb128());
  if (!cursor.ok() || abbreviation == nullptr) return {Errc::truncated, Address{unit.first_die}};
  FormValue name, directory, dwo_name;
  // Without an attribute that says otherwise, what stands behind the only header of a .dwo file's section.
  const bool is_new = unit.encoding.version >= 5;
  const std::uint64_t header = unit.encoding.is_64 ? 16 : 8;
  unit.text_offsets_base = unit.addresses_base = is_new ? header : 0;
  unit.range_lists_base = is_new ? header + 4 : 0;
  read_attributes(cursor, table, *abbreviation, unit.encoding, [&](std::uint16_t attribute, const FormValue& value) {
    switch (attribute) {
      case DW_AT_name:
        name = value;
        break;
      case DW_AT_comp_dir:
        directory = value;
        break;
      case DW_AT_dwo_name:
      case DW_AT_GNU_dwo_name:
        dwo_name = value;
        break;
      case DW_AT_GNU_dwo_id:
        unit.dwo_id = value.number;
        break;
      case DW_AT_language:
        unit.language = static_cast<std::uint16_t>(value.number);
        break;
      case DW_AT_low_pc:
        unit.low_pc = value;
        break;
      case DW_AT_high_pc:
        unit.high_pc = value;
        break;
      case DW_AT_ranges:
        unit.ranges = value;
        break;
      case DW_AT_stmt_list:
        unit.line_program = value.number;
        break;
      case DW_AT_str_offsets_base:
        unit.text_offsets_base = value.number;
        break;
      case DW_AT_addr_base:
      case DW_AT_GNU_addr_base:
        unit.addresses_base = value.number;
        break;
      case DW_AT_rnglists_base:
        unit.range_lists_base = value.number;
        break;
      case DW_AT_GNU_ranges_base:
        unit.split_ranges_base = value.number;
        break;
      default:
        break;
    }
  });
  if (!cursor.ok()) return {Errc::truncated, Address{unit.first_die}};
  unit.tag = abbreviation->tag;
  unit.name = find_text(sections, unit, name);
  unit.directory = find_text(sections, unit, directory);
  unit.dwo_name = find_text(sections, unit, dwo_name);
  unit.base_address = find_address(sections, unit, unit.low_pc).value_or(0);
  return {};
}

}  // namespace pyagent::inline v0::dwarf
