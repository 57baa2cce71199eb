// Values of attributes: what a form stores, and what it takes to skip it.
#pragma once

#include <cstdint>      // uint8_t, uint64_t
#include <string_view>  // string_view

#include "pyagent/dwarf/debug_constants.hpp"
#include "pyagent/dwarf/section_cursor.hpp"

namespace pyagent::inline v0::dwarf {

/// What the number of a FormValue means.
enum class ValueKind : std::uint8_t {
  none,            ///< no such attribute; or a form nobody described
  address,         ///< an address
  address_index,   ///< an entry of .debug_addr
  number,          ///< a constant; also an offset into another section where DWARF 2 and 3 have no form for it
  text,            ///< `text`
  text_offset,     ///< where in .debug_str
  line_text,       ///< where in .debug_line_str
  text_index,      ///< an entry of .debug_str_offsets
  section_offset,  ///< where in the section that the attribute is about
  list_index,      ///< an entry of the offsets of .debug_rnglists or .debug_loclists
  reference,       ///< a DIE, by its offset in the unit
  far_reference,   ///< a DIE, by its offset in .debug_info
  elsewhere,       ///< in a type unit or a supplementary file: not had
  block,           ///< bytes; not kept
};

struct FormValue {
  ValueKind kind = ValueKind::none;
  std::uint64_t number = 0;
  std::string_view text;

  explicit operator bool() const noexcept { return kind != ValueKind::none; }
};

/// The bytes that a value of `form` takes; variable_size when they must be read to be known.
///
/// Source: DWARF 5, 7.5.6
inline constexpr std::uint8_t variable_size = 0xff;
constexpr std::uint8_t fixed_size(std::uint16_t form, const Encoding& encoding) noexcept {
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return 0;
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
      return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
      return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
      return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_ref_sup4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
      return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sup8:
    case DW_FORM_ref_sig8:
      return 8;
    case DW_FORM_data16:
      return 16;
    case DW_FORM_addr:
      return encoding.address_size;
    // DWARF 2 stored it like an address (DWARF 3, 7.5.4).
    case DW_FORM_ref_addr:
      return encoding.version <= 2 ? encoding.address_size : encoding.offset_size();
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return encoding.offset_size();
    default:
      return variable_size;
  }
}

namespace detail {

inline FormValue take_block(SectionCursor& cursor, std::uint64_t size) noexcept {
  cursor.skip(size > cursor.remaining() ? cursor.remaining() + 1 : static_cast<std::size_t>(size));
  return {ValueKind::block, size, {}};
}

constexpr ValueKind kind_of(std::uint16_t form) noexcept {
  switch (form) {
    case DW_FORM_addr:
      return ValueKind::address;
    case DW_FORM_addrx:
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
    case DW_FORM_GNU_addr_index:
      return ValueKind::address_index;
    case DW_FORM_strp:
      return ValueKind::text_offset;
    case DW_FORM_line_strp:
      return ValueKind::line_text;
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4:
    case DW_FORM_GNU_str_index:
      return ValueKind::text_index;
    case DW_FORM_sec_offset:
      return ValueKind::section_offset;
    case DW_FORM_rnglistx:
    case DW_FORM_loclistx:
      return ValueKind::list_index;
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
    case DW_FORM_ref_udata:
      return ValueKind::reference;
    case DW_FORM_ref_addr:
      return ValueKind::far_reference;
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup4:
    case DW_FORM_ref_sup8:
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return ValueKind::elsewhere;
    default:
      return ValueKind::number;
  }
}

}  // namespace detail

/// Reads a value of `form`. A form nobody described makes the cursor fail, since where it ends is not known.
inline FormValue read_form(SectionCursor& cursor, std::uint16_t form, std::int64_t implicit_const,
                           const Encoding& encoding) noexcept {
  if (form == DW_FORM_indirect) {
    const std::uint64_t actual = cursor.take_uleb128();
    // Neither may be inside: one would never end, the other has its value in the abbreviation (DWARF 5, 7.5.3).
    form = actual > 0xffff || actual == DW_FORM_indirect || actual == DW_FORM_implicit_const
               ? std::uint16_t{0}
               : static_cast<std::uint16_t>(actual);
  }
  switch (form) {
    case DW_FORM_implicit_const:
      return {ValueKind::number, static_cast<std::uint64_t>(implicit_const), {}};
    case DW_FORM_flag_present:
      return {ValueKind::number, 1, {}};
    case DW_FORM_string:
      return {ValueKind::text, 0, cursor.take_string()};
    case DW_FORM_block1:
      return detail::take_block(cursor, cursor.take<std::uint8_t>());
    case DW_FORM_block2:
      return detail::take_block(cursor, cursor.take<std::uint16_t>());
    case DW_FORM_block4:
      return detail::take_block(cursor, cursor.take<std::uint32_t>());
    case DW_FORM_block:
    case DW_FORM_exprloc:
      return detail::take_block(cursor, cursor.take_uleb128());
    case DW_FORM_data16:
      return detail::take_block(cursor, 16);
    case DW_FORM_sdata:
      return {ValueKind::number, static_cast<std::uint64_t>(cursor.take_sleb128()), {}};
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index: {
      const std::uint64_t number = cursor.take_uleb128();
      return {detail::kind_of(form), number, {}};
    }
    default:
      break;
  }
  const std::uint8_t size = fixed_size(form, encoding);
  if (size == variable_size) {
    cursor.skip(cursor.remaining() + 1);
    return {};
  }
  const std::uint64_t number = cursor.take_unsigned(size);
  return {detail::kind_of(form), number, {}};
}

/// Moves past a value of `form`.
inline void skip_form(SectionCursor& cursor, std::uint16_t form, const Encoding& encoding) noexcept {
  const std::uint8_t size = fixed_size(form, encoding);
  if (size != variable_size)
    cursor.skip(size);
  else
    (void)read_form(cursor, form, 0, encoding);
}

}  // namespace pyagent::inline v0::dwarf
