// Build-ids: compared, written as hexadecimal digits, and found in debug files too. May allocate
#pragma once

#include <elf.h>  // SHT_NOTE

#include <algorithm>    // equal
#include <cstddef>      // byte
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view

#include "pyagent/elf/image.hpp"

namespace pyagent::inline v0::elf {

/// No build-id is longer. Linkers write 20 bytes; `--build-id=0x...` takes what it is given.
inline constexpr std::size_t longest_build_id = 64;

/// The bytes as lower-case hexadecimal digits, as they stand in file names.
inline std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte >> 4)];
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte & std::byte{15})];
  }
  return text;
}

/// The build-id that an image's notes hold, by section where there are sections: in a debug file the program headers
/// may still tell the offsets of the file it was split from (eu-strip -f). Empty when there is none.
inline std::span<const std::byte> find_build_id(const Image& image) noexcept {
  for (const Section& section : image.sections()) {
    if (section.type != SHT_NOTE || section.name != ".note.gnu.build-id") continue;
    const auto bytes = image.read_section(section).value_or({});
    const auto head = take_value<Elf64_Nhdr>(bytes, 0);
    if (!head || head->n_type != NT_GNU_BUILD_ID || head->n_namesz != 4) continue;
    const auto id = take_piece(bytes, sizeof(Elf64_Nhdr) + 4, head->n_descsz);
    if (id && id->size() <= longest_build_id) return *id;
  }
  return image.build_id().size() <= longest_build_id ? image.build_id() : std::span<const std::byte>{};
}

/// True when both are known and the same.
inline bool is_same_build(std::span<const std::byte> a, std::span<const std::byte> b) noexcept {
  return !a.empty() && std::equal(a.begin(), a.end(), b.begin(), b.end());
}

/// The raw bytes that a record keeps as a string.
inline std::span<const std::byte> build_id_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span{text});
}

}  // namespace pyagent::inline v0::elf
