// .debug_aranges: which unit covers which addresses.
#pragma once

#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/dwarf/section_cursor.hpp"

namespace pyagent::inline v0::dwarf {

/// `give(unit, begin, end)` for each range; `unit` is the offset of its header in .debug_info.
///
/// Source: DWARF 5, 6.1.2
template <class F>
void for_each_address_range(std::span<const std::byte> section, F&& give) {
  for (std::uint64_t start = 0; start < section.size();) {
    SectionCursor cursor{section, start};
    Encoding encoding;
    const std::uint64_t length = cursor.take_initial_length(encoding.is_64);
    if (!cursor.ok() || length > cursor.remaining()) return;
    const std::uint64_t end = cursor.position() + length;
    cursor = SectionCursor{section, cursor.position(), end};
    cursor.skip(2);  // version: 2 in all of DWARF 2 to 5
    const std::uint64_t unit = cursor.take_offset(encoding);
    encoding.address_size = cursor.take<std::uint8_t>();
    const auto segment_size = cursor.take<std::uint8_t>();
    if (cursor.ok() && segment_size == 0 && (encoding.address_size == 4 || encoding.address_size == 8)) {
      const std::size_t pair = 2u * encoding.address_size;
      cursor.skip((pair - (cursor.position() - start) % pair) % pair);
      while (!cursor.at_end()) {
        const std::uint64_t begin = cursor.take_address(encoding), size = cursor.take_address(encoding);
        if (!cursor.ok() || (begin == 0 && size == 0)) break;
        if (begin != 0 && begin + size > begin) give(unit, begin, begin + size);
      }
    }
    start = end;
  }
}

}  // namespace pyagent::inline v0::dwarf
