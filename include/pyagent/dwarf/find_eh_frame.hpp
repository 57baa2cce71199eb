// Where the call frame information of an ELF file is.
#pragma once

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/dwarf/eh_frame.hpp"
#include "pyagent/elf/image.hpp"

namespace pyagent::inline v0::dwarf {

namespace detail {

/// From `address` to the end of what the file holds for its load segment.
inline std::span<const std::byte> bytes_from(const elf::Image& image, std::uint64_t address) noexcept {
  for (const elf::Segment& segment : image.segments()) {
    if (address < segment.address || address - segment.address >= segment.file_size) continue;
    const std::uint64_t skipped = address - segment.address;
    return elf::take_piece(image.bytes(), segment.offset + skipped, segment.file_size - skipped).value_or({});
  }
  return {};
}

}  // namespace detail

/// .eh_frame by its section header; where there are none, as PT_GNU_EH_FRAME says. Addresses are those of the file.
///
/// Errors: not_found; damaged and truncated, with the file offset.
inline Result<EhFrame> find_eh_frame(const elf::Image& image) noexcept {
  const elf::EhFrameHeader& header = image.eh_frame_header();
  EhFrame found{.section = {.machine = image.machine()}, .header = header.bytes, .header_address = header.address};
  if (const elf::Section* const section = image.find_section(".eh_frame")) {
    const auto bytes = image.read_section(*section);
    if (!bytes) return bytes.error();
    if (bytes->empty()) return Error{Errc::not_found};  // NOBITS, in a file that holds only debug information
    found.section.bytes = *bytes;
    found.section.address = section->address;
    return found;
  }
  if (header.bytes.empty()) return Error{Errc::not_found};
  const auto table = SearchTable::read(header.bytes, header.address);
  if (!table) return table.error();
  found.section.bytes = detail::bytes_from(image, table->section_address());
  found.section.address = table->section_address();
  found.has_exact_size = false;
  if (found.section.bytes.empty()) return Error{Errc::not_found};
  return found;
}

}  // namespace pyagent::inline v0::dwarf
