// Pointers and numbers as call frame information encodes them. signal-safe
#pragma once

#include <cstdint>   // uint64_t
#include <optional>  // optional

#include "pyagent/base/byte_cursor.hpp"

namespace pyagent::inline v0::dwarf {

/// How a pointer is stored (lower four bits) and what it counts from (upper ones).
///
/// Source: Linux Standard Base, Core Generic 5.0, 10.5 "DWARF Extensions"
inline constexpr std::uint8_t DW_EH_PE_absptr = 0x00, DW_EH_PE_uleb128 = 0x01, DW_EH_PE_udata2 = 0x02,
                              DW_EH_PE_udata4 = 0x03, DW_EH_PE_udata8 = 0x04, DW_EH_PE_sleb128 = 0x09,
                              DW_EH_PE_sdata2 = 0x0a, DW_EH_PE_sdata4 = 0x0b, DW_EH_PE_sdata8 = 0x0c,
                              DW_EH_PE_pcrel = 0x10, DW_EH_PE_textrel = 0x20, DW_EH_PE_datarel = 0x30,
                              DW_EH_PE_indirect = 0x80, DW_EH_PE_omit = 0xff;

/// Signed LEB128; more than 64 bits is a failure.
inline std::int64_t take_signed_leb128(ByteCursor& cursor) noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    const auto byte = cursor.take<std::uint8_t>();
    if (!cursor.ok()) return 0;
    value |= std::uint64_t{byte & 0x7fu} << (shift & 63);
    if (shift == 63 && byte != 0 && byte != 0x7f) break;
    if ((byte & 0x80) != 0) continue;
    if (shift + 7 < 64 && (byte & 0x40) != 0) value |= ~std::uint64_t{0} << (shift + 7);
    return static_cast<std::int64_t>(value);
  }
  cursor.skip(cursor.remaining() + 1);
  return 0;
}

/// The number of a pointer, whatever it counts from; nothing for a format that is not known.
inline std::optional<std::uint64_t> take_encoded_number(ByteCursor& cursor, std::uint8_t encoding) noexcept {
  const auto widen = [](auto number) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(number)); };
  std::uint64_t number = 0;
  switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
      number = cursor.take<std::uint64_t>();
      break;
    case DW_EH_PE_uleb128:
      number = cursor.take_uleb128();
      break;
    case DW_EH_PE_udata2:
      number = cursor.take<std::uint16_t>();
      break;
    case DW_EH_PE_udata4:
      number = cursor.take<std::uint32_t>();
      break;
    case DW_EH_PE_sleb128:
      number = widen(take_signed_leb128(cursor));
      break;
    case DW_EH_PE_sdata2:
      number = widen(cursor.take<std::int16_t>());
      break;
    case DW_EH_PE_sdata4:
      number = widen(cursor.take<std::int32_t>());
      break;
    default:
      return std::nullopt;
  }
  if (!cursor.ok()) return std::nullopt;
  return number;
}

/// A pointer that stands at `address`. Nothing is found for one relative to the data without its base (`data`), for one
/// relative to the text, which no 64-bit processor uses, and for an indirect one: that needs the program's memory.
inline std::optional<std::uint64_t> take_pointer(ByteCursor& cursor, std::uint8_t encoding, std::uint64_t address,
                                                 std::optional<std::uint64_t> data = std::nullopt) noexcept {
  const auto number = take_encoded_number(cursor, encoding);
  if (!number) return std::nullopt;
  switch (encoding & 0xf0) {
    case DW_EH_PE_absptr:
      return *number;
    case DW_EH_PE_pcrel:
      return address + *number;
    case DW_EH_PE_datarel:
      return data ? std::optional{*data + *number} : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace pyagent::inline v0::dwarf
