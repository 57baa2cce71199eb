// The sections that debug information is spread over. May allocate.
#pragma once

#include <cstddef>      // byte
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/elf/section_bytes.hpp"

namespace pyagent::inline v0::dwarf {

/// Views of the sections; one that is not there is empty.
struct DebugSections {
  std::span<const std::byte> info;            ///< .debug_info
  std::span<const std::byte> abbreviations;   ///< .debug_abbrev
  std::span<const std::byte> lines;           ///< .debug_line
  std::span<const std::byte> text;            ///< .debug_str
  std::span<const std::byte> line_text;       ///< .debug_line_str
  std::span<const std::byte> text_offsets;    ///< .debug_str_offsets
  std::span<const std::byte> addresses;       ///< .debug_addr
  std::span<const std::byte> range_lists;     ///< .debug_rnglists
  std::span<const std::byte> ranges;          ///< .debug_ranges
  std::span<const std::byte> address_ranges;  ///< .debug_aranges
};

/// The sections, and the memory of those that were compressed. The file must outlive it.
struct LoadedSections {
  DebugSections views;
  std::vector<elf::SectionBytes> owned;
};

/// Reads the sections of `image`, those of a .dwo file with the suffix ".dwo".
///
/// Errors: not_found without .debug_info or .debug_abbrev; those of read_section_bytes.
inline Result<LoadedSections> read_debug_sections(const elf::Image& image, std::string_view suffix = {}) {
  using View = std::span<const std::byte> DebugSections::*;
  struct Named {
    std::string_view name;
    View view;
    bool is_needed = false;
  };
  constexpr Named all[] = {
      {".debug_info", &DebugSections::info, true},    {".debug_abbrev", &DebugSections::abbreviations, true},
      {".debug_line", &DebugSections::lines},         {".debug_str", &DebugSections::text},
      {".debug_line_str", &DebugSections::line_text}, {".debug_str_offsets", &DebugSections::text_offsets},
      {".debug_addr", &DebugSections::addresses},     {".debug_rnglists", &DebugSections::range_lists},
      {".debug_ranges", &DebugSections::ranges},      {".debug_aranges", &DebugSections::address_ranges}};
  LoadedSections loaded;
  for (const Named& section : all) {
    auto bytes = elf::read_section_bytes(image, std::string{section.name}.append(suffix));
    if (!bytes && bytes.error().code == Errc::not_found && !section.is_needed) continue;
    if (!bytes) return bytes.error();
    loaded.views.*section.view = bytes->bytes();
    if (bytes->is_copy()) loaded.owned.push_back(std::move(*bytes));
  }
  if (loaded.views.info.empty()) return Error{Errc::not_found};
  return loaded;
}

}  // namespace pyagent::inline v0::dwarf
