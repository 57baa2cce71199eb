// Sections of call frame information: their entries, common (CIE) and of functions (FDE). signal-safe
#pragma once

#include <elf.h>  // EM_X86_64

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/base/byte_cursor.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/dwarf/pointer_encoding.hpp"

namespace pyagent::inline v0::dwarf {

/// The bytes of .eh_frame or .debug_frame, and where they stand.
struct CfiSection {
  std::span<const std::byte> bytes{};
  std::uint64_t address = 0;  ///< in the file or at run time; so are then all addresses that are found
  bool is_debug_frame = false;
  std::uint16_t machine = EM_X86_64;  ///< EM_...
};

/// Half-open range of a function's code.
struct FunctionRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;

  constexpr bool contains(std::uint64_t address) const noexcept { return start <= address && address < end; }
  friend constexpr bool operator==(FunctionRange, FunctionRange) noexcept = default;
};

/// One entry, not yet looked into. Offsets are those in the section.
struct CfiEntry {
  std::uint64_t offset = 0;  ///< of its length
  std::uint64_t body = 0;    ///< what follows the CIE id or pointer
  std::uint64_t end = 0;     ///< the next entry
  std::uint64_t cie = 0;     ///< an FDE's CIE
  bool is_cie = false;
  bool is_terminator = false;  ///< a length of zero: the end for those who do not know the section's size
};

/// What a CIE says about its FDEs.
struct Cie {
  std::uint64_t code_alignment = 1;
  std::int64_t data_alignment = 1;
  std::uint64_t return_register = 0;
  std::uint8_t pointer_encoding = DW_EH_PE_absptr;
  bool has_augmentation_data = false;  ///< 'z'
  bool is_signal_frame = false;        ///< 'S'
  std::span<const std::byte> instructions;
};

/// One function's entry.
struct Fde {
  FunctionRange range;
  std::span<const std::byte> instructions;
};

/// More instructions are not run: of a CIE (the longest seen have a hundred bytes) and of an FDE (tens of thousands).
inline constexpr std::size_t max_cie_instructions = 4096;
inline constexpr std::size_t max_fde_instructions = std::size_t{1} << 20;

namespace detail {

inline std::span<const std::byte> piece(const CfiSection& section, std::uint64_t begin, std::uint64_t end) noexcept {
  return section.bytes.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

/// The characters of an augmentation, and the data that 'z' announces.
inline bool take_augmentation(ByteCursor& cursor, std::span<const char> letters, Cie& cie) noexcept {
  if (letters.size() == 2 && letters[0] == 'e' && letters[1] == 'h')
    return true;  // GCC 2: its pointer was taken before
  cie.has_augmentation_data = !letters.empty() && letters[0] == 'z';
  ByteCursor data{cie.has_augmentation_data ? cursor.take_bytes(static_cast<std::size_t>(cursor.take_uleb128()))
                                            : std::span<const std::byte>{}};
  for (const char letter : letters) {
    switch (letter) {
      case 'z':
        break;
      case 'S':
        cie.is_signal_frame = true;
        break;
      case 'B':  // aarch64: return addresses are signed with the B key
      case 'G':
        break;  // aarch64: memory tags on the stack
      case 'L':
        data.skip(1);
        break;
      case 'R':
        cie.pointer_encoding = data.take<std::uint8_t>();
        break;
      case 'P': {
        const auto encoding = data.take<std::uint8_t>();
        if (encoding != DW_EH_PE_omit && !take_encoded_number(data, encoding)) return false;
        break;
      }
      default:
        return false;
    }
  }
  return data.ok();
}

}  // namespace detail

/// The entry at `offset`. Terminators and entries of zero size are entries too, so the next is always further on.
///
/// Errors: not_found at the section's end, truncated, damaged; with the offset.
inline Result<CfiEntry> read_entry(const CfiSection& section, std::uint64_t offset) noexcept {
  const std::uint64_t size = section.bytes.size();
  if (offset >= size) return Error{Errc::not_found, Address{offset}};
  ByteCursor cursor{detail::piece(section, offset, size)};
  std::uint64_t length = cursor.take<std::uint32_t>();
  const bool is_64_bit = length == 0xffffffff;
  if (is_64_bit) length = cursor.take<std::uint64_t>();
  if (!cursor.ok() || length > cursor.remaining()) return Error{Errc::truncated, Address{offset}};
  const std::uint64_t id_at = offset + cursor.offset();
  CfiEntry entry{.offset = offset, .body = id_at, .end = id_at + length};
  if (length == 0) {
    entry.is_terminator = true;
    return entry;
  }
  // .eh_frame's is a distance back from itself, zero for a CIE, and of 4 bytes always (LSB 10.6.1); .debug_frame's is
  // an offset in the section, and all ones for a CIE (DWARF 5, 6.4.1).
  const bool is_wide = is_64_bit && section.is_debug_frame;
  const std::uint64_t id = is_wide ? cursor.take<std::uint64_t>() : cursor.take<std::uint32_t>();
  if (length < (is_wide ? 8u : 4u)) return Error{Errc::damaged, Address{offset}};
  entry.body = offset + cursor.offset();
  const std::uint64_t cie_id = !section.is_debug_frame ? 0 : is_wide ? ~std::uint64_t{0} : 0xffffffff;
  entry.is_cie = id == cie_id;
  entry.cie = section.is_debug_frame ? id : id_at - id;
  if (!entry.is_cie && entry.cie >= size) return Error{Errc::damaged, Address{offset}};
  return entry;
}

/// Reads a CIE of version 1, 3 or 4.
///
/// Errors: damaged for what is no CIE, or has an augmentation that nobody described; too_large.
inline Result<Cie> read_cie(const CfiSection& section, const CfiEntry& entry) noexcept {
  const Error damaged{Errc::damaged, Address{entry.offset}};
  if (!entry.is_cie || entry.is_terminator) return damaged;
  ByteCursor cursor{detail::piece(section, entry.body, entry.end)};
  const auto version = cursor.take<std::uint8_t>();
  if (version != 1 && version != 3 && version != 4) return damaged;
  char letters[8];
  std::size_t count = 0;
  for (char letter; (letter = cursor.take<char>()) != 0; letters[count++] = letter)
    if (count == sizeof letters) return damaged;
  if (count == 2 && letters[0] == 'e' && letters[1] == 'h') cursor.skip(8);
  if (version == 4) {
    const auto address_size = cursor.take<std::uint8_t>(), segment_size = cursor.take<std::uint8_t>();
    if (address_size != 8 || segment_size != 0) return damaged;
  }
  Cie cie;
  cie.code_alignment = cursor.take_uleb128();
  cie.data_alignment = take_signed_leb128(cursor);
  cie.return_register = version == 1 ? cursor.take<std::uint8_t>() : cursor.take_uleb128();
  if (!cursor.ok() || !detail::take_augmentation(cursor, {letters, count}, cie) || !cursor.ok()) return damaged;
  if (cursor.remaining() > max_cie_instructions) return Error{Errc::too_large, Address{entry.offset}};
  cie.instructions = cursor.take_bytes(cursor.remaining());
  return cie;
}

/// Reads only the range of the FDE `entry`, whose CIE is `cie`; cheaper than all of it.
///
/// Errors: damaged
inline Result<FunctionRange> read_range(const CfiSection& section, const CfiEntry& entry, const Cie& cie,
                                        std::uint64_t* instructions = nullptr) noexcept {
  const Error damaged{Errc::damaged, Address{entry.offset}};
  if (entry.is_cie || entry.is_terminator) return damaged;
  ByteCursor cursor{detail::piece(section, entry.body, entry.end)};
  const auto start = take_pointer(cursor, cie.pointer_encoding, section.address + entry.body);
  const auto size = take_encoded_number(cursor, cie.pointer_encoding);  // a number in the same format
  if (!start || !size || *start + *size < *start) return damaged;
  if (instructions != nullptr) *instructions = entry.body + cursor.offset();
  return FunctionRange{*start, *start + *size};
}

/// Reads the FDE `entry`, whose CIE is `cie`.
///
/// Errors: damaged, too_large
inline Result<Fde> read_fde(const CfiSection& section, const CfiEntry& entry, const Cie& cie) noexcept {
  std::uint64_t rest = 0;
  const auto range = read_range(section, entry, cie, &rest);
  if (!range) return range.error();
  ByteCursor cursor{detail::piece(section, rest, entry.end)};
  if (cie.has_augmentation_data) cursor.skip(static_cast<std::size_t>(cursor.take_uleb128()));
  if (!cursor.ok()) return Error{Errc::damaged, Address{entry.offset}};
  if (cursor.remaining() > max_fde_instructions) return Error{Errc::too_large, Address{entry.offset}};
  return Fde{*range, cursor.take_bytes(cursor.remaining())};
}

}  // namespace pyagent::inline v0::dwarf
