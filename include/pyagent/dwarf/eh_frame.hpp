// .eh_frame with the sorted table of .eh_frame_hdr, in a file or as a program has it mapped. signal-safe
#pragma once

#include <elf.h>  // EM_X86_64

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <cstring>  // memcpy
#include <span>     // span

#include "pyagent/dwarf/cfi_section.hpp"

namespace pyagent::inline v0::dwarf {

/// Where the call frame information of one module is. A view: what it looks at must outlive it.
struct EhFrame {
  CfiSection section{};
  std::span<const std::byte> header{};  ///< .eh_frame_hdr; empty when there is none
  std::uint64_t header_address = 0;
  /// False when the section's size is not known, and `section.bytes` goes on to the end of what is mapped with it.
  bool has_exact_size = true;
};

/// The table of .eh_frame_hdr: one entry for each FDE, sorted by the start of its function.
class SearchTable {
 public:
  struct Entry {
    std::uint64_t start = 0;  ///< of the function
    std::uint64_t fde = 0;    ///< address of its entry
  };

  /// Reads the header. Only the form that linkers write is known: 4-byte numbers relative to the header.
  ///
  /// Errors: damaged, unsupported_build
  /// Source: Linux Standard Base, Core Generic 5.0, 10.6.2
  static Result<SearchTable> read(std::span<const std::byte> header, std::uint64_t address) noexcept {
    SearchTable table;
    table.address_ = address;
    ByteCursor cursor{header};
    const auto version = cursor.take<std::uint8_t>(), section_encoding = cursor.take<std::uint8_t>(),
               count_encoding = cursor.take<std::uint8_t>(), entry_encoding = cursor.take<std::uint8_t>();
    const auto section = take_pointer(cursor, section_encoding, address + cursor.offset(), address);
    if (version != 1 || !section) return Error{Errc::damaged, Address{address}};
    table.section_address_ = *section;
    if (count_encoding == DW_EH_PE_omit || entry_encoding != (DW_EH_PE_datarel | DW_EH_PE_sdata4)) return table;
    const auto count = take_pointer(cursor, count_encoding, address + cursor.offset(), address);
    if (!count || *count > cursor.remaining() / entry_size) return Error{Errc::damaged, Address{address}};
    table.entries_ = cursor.take_bytes(static_cast<std::size_t>(*count) * entry_size);
    return table;
  }

  std::uint64_t section_address() const noexcept { return section_address_; }  ///< of .eh_frame
  std::size_t size() const noexcept { return entries_.size() / entry_size; }   ///< 0 too when it has no table
  Entry operator[](std::size_t i) const noexcept {
    return {address_ + number(i * entry_size), address_ + number(i * entry_size + 4)};
  }

  /// How many entries start at or before `address`.
  std::size_t count_up_to(std::uint64_t address) const noexcept {
    std::size_t low = 0, high = size();
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (address_ + number(middle * entry_size) <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

 private:
  static constexpr std::size_t entry_size = 8;

  std::uint64_t number(std::size_t at) const noexcept {
    std::int32_t value;
    std::memcpy(&value, entries_.data() + at, sizeof value);
    return static_cast<std::uint64_t>(std::int64_t{value});
  }

  std::uint64_t address_ = 0, section_address_ = 0;
  std::span<const std::byte> entries_;
};

/// The call frame information of a module that this process has mapped as `mapped` (which may have holes), from the
/// address of its .eh_frame_hdr: what glibc's _dl_find_object gives as dlfo_eh_frame. Later only entries that the
/// header's table names are read.
///
/// Errors: damaged, unsupported_build; not_found without a table.
inline Result<EhFrame> view_mapped_eh_frame(std::span<const std::byte> mapped, const void* header,
                                            std::uint16_t machine) noexcept {
  const auto begin = reinterpret_cast<std::uint64_t>(mapped.data()), at = reinterpret_cast<std::uint64_t>(header);
  if (at < begin || at - begin >= mapped.size()) return Error{Errc::damaged, Address{at}};
  EhFrame found{.section = {.machine = machine},
                .header = mapped.subspan(at - begin),
                .header_address = at,
                .has_exact_size = false};
  const auto table = SearchTable::read(found.header, at);
  if (!table) return table.error();
  if (table->size() == 0) return Error{Errc::not_found, Address{at}};
  const std::uint64_t section = table->section_address();
  if (section < begin || section - begin >= mapped.size()) return Error{Errc::damaged, Address{at}};
  found.section.bytes = mapped.subspan(section - begin);
  found.section.address = section;
  return found;
}

}  // namespace pyagent::inline v0::dwarf
