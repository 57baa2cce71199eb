// Which addresses a DIE covers.
#pragma once

#include <cstddef>   // size_t
#include <cstdint>   // uint64_t
#include <optional>  // optional

#include "pyagent/dwarf/unit.hpp"

namespace pyagent::inline v0::dwarf {

namespace detail {

/// Source: DWARF 5, 7.25
template <class F>
void read_range_list(const DebugSections& sections, const Unit& unit, std::uint64_t offset, std::size_t& left,
                     F&& give) {
  SectionCursor cursor{sections.range_lists, offset};
  std::uint64_t base = unit.base_address;
  const auto indexed = [&] {
    return find_address(sections, unit, {ValueKind::address_index, cursor.take_uleb128(), {}}).value_or(0);
  };
  for (; cursor.ok() && left > 0; --left) {
    std::uint64_t begin = 0, end = 0;
    switch (cursor.take<std::uint8_t>()) {
      case DW_RLE_base_addressx:
        base = indexed();
        continue;
      case DW_RLE_base_address:
        base = cursor.take_address(unit.encoding);
        continue;
      case DW_RLE_startx_endx:
        begin = indexed(), end = indexed();
        break;
      case DW_RLE_startx_length:
        begin = indexed(), end = begin + cursor.take_uleb128();
        break;
      case DW_RLE_offset_pair:
        begin = base + cursor.take_uleb128(), end = base + cursor.take_uleb128();
        break;
      case DW_RLE_start_end:
        begin = cursor.take_address(unit.encoding), end = cursor.take_address(unit.encoding);
        break;
      case DW_RLE_start_length:
        begin = cursor.take_address(unit.encoding), end = begin + cursor.take_uleb128();
        break;
      default:
        return;  // DW_RLE_end_of_list, or one that nobody described
    }
    if (cursor.ok()) give(begin, end);
  }
}

/// Source: DWARF 4, 2.17.3
template <class F>
void read_old_range_list(const DebugSections& sections, const Unit& unit, std::uint64_t offset, std::size_t& left,
                         F&& give) {
  SectionCursor cursor{sections.ranges, offset};
  const std::uint64_t selects_base = unit.encoding.address_size == 4 ? 0xffffffff : ~std::uint64_t{0};
  std::uint64_t base = unit.base_address;
  for (; left > 0; --left) {
    const std::uint64_t begin = cursor.take_address(unit.encoding), end = cursor.take_address(unit.encoding);
    if (!cursor.ok() || (begin == 0 && end == 0)) return;
    if (begin == selects_base)
      base = end;
    else
      give(base + begin, base + end);
  }
}

}  // namespace detail

/// Gives `give(begin, end)` each range of a DIE of `unit` with these attributes. `left` says how many entries of lists
/// may still be read: all DIEs of a file could share one long list.
///
/// What a linker has dropped is not given: it begins at zero (GNU ld) or ends before it begins (LLD's -1).
template <class F>
void for_each_range(const DebugSections& sections, const Unit& unit, const FormValue& low_pc, const FormValue& high_pc,
                    const FormValue& ranges, std::size_t& left, F&& give) {
  const auto give_sound = [&](std::uint64_t begin, std::uint64_t end) {
    if (begin != 0 && begin < end) give(begin, end);
  };
  if (ranges && unit.encoding.version < 5) {
    if (ranges.kind == ValueKind::section_offset || ranges.kind == ValueKind::number)
      detail::read_old_range_list(sections, unit, unit.ranges_base + ranges.number, left, give_sound);
    return;
  }
  if (ranges.kind == ValueKind::section_offset)
    return detail::read_range_list(sections, unit, ranges.number, left, give_sound);
  if (ranges.kind == ValueKind::list_index && ranges.number <= sections.range_lists.size()) {
    SectionCursor offsets{sections.range_lists, unit.range_lists_base + ranges.number * unit.encoding.offset_size()};
    const std::uint64_t offset = offsets.take_offset(unit.encoding);
    if (offsets.ok()) detail::read_range_list(sections, unit, unit.range_lists_base + offset, left, give_sound);
    return;
  }
  const auto begin = find_address(sections, unit, low_pc);
  if (!begin || !high_pc) return;
  // An address, or the distance to it (since DWARF 4).
  const auto end = high_pc.kind == ValueKind::number ? std::optional{*begin + high_pc.number}
                                                     : find_address(sections, unit, high_pc);
  if (end) give_sound(*begin, *end);
}

}  // namespace pyagent::inline v0::dwarf
