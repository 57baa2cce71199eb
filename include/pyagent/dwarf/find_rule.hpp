// The unwind rule for one address, from the call frame information itself: one function's entry is run. signal-safe
#pragma once

#include <cstdint>  // uint64_t

#include "pyagent/dwarf/cfi_rows.hpp"
#include "pyagent/dwarf/eh_frame.hpp"

namespace pyagent::inline v0::dwarf {

namespace detail {

/// A function's entry and all that it takes to read it.
struct FoundFde {
  CfiEntry entry;
  Cie cie;
  FunctionRange range;
};

/// Functions of size 0 (clang writes them for unreachable code) stand at the same address as the next one. No more of
/// them are looked at.
inline constexpr std::size_t max_entries_of_one_start = 8;

inline Result<FoundFde> read_found_fde(const CfiSection& section, const CfiEntry& entry) noexcept {
  const auto cie_entry = read_entry(section, entry.cie);
  if (!cie_entry) return cie_entry.error();
  const auto cie = read_cie(section, *cie_entry);
  if (!cie) return cie.error();
  const auto range = read_range(section, entry, *cie);
  if (!range) return range.error();
  return FoundFde{entry, *cie, *range};
}

/// LLD keeps one entry for each start in the table. If that is a function of size 0, the one to be found follows it in
/// the section (seen in the LLVM of rustc 1.95). `end` is an entry that the table names: what lies before it is mapped.
inline Result<FoundFde> find_behind(const CfiSection& section, const FoundFde& empty, std::uint64_t end,
                                    std::uint64_t address) noexcept {
  std::uint64_t offset = empty.entry.end;
  for (std::size_t i = 0; i < max_entries_of_one_start && offset < end; ++i) {
    const auto entry = read_entry(section, offset);
    if (!entry || entry->is_cie || entry->is_terminator) break;
    const auto fde = read_found_fde(section, *entry);
    if (fde && fde->range.contains(address)) return fde;
    offset = entry->end;
  }
  return Error{Errc::not_found, Address{address}};
}

inline Result<FoundFde> find_in_table(const EhFrame& unwind_info, const SearchTable& table,
                                      std::uint64_t address) noexcept {
  const CfiSection& section = unwind_info.section;
  const std::size_t count = table.count_up_to(address);
  for (std::size_t back = 1; back <= count && back <= max_entries_of_one_start; ++back) {
    const SearchTable::Entry found = table[count - back];
    if (back > 1 && found.start != table[count - 1].start) break;
    const auto entry = read_entry(section, found.fde - section.address);
    if (!entry) return Error{Errc::damaged, Address{found.fde}};
    const auto fde = read_found_fde(section, *entry);
    if (!fde) return fde.error();
    if (fde->range.contains(address)) return fde;
    if (fde->range.start != fde->range.end || count == table.size()) continue;
    const auto behind = find_behind(section, *fde, table[count].fde - section.address, address);
    if (behind) return behind;
  }
  return Error{Errc::not_found, Address{address}};
}

/// Every entry, one after the other; damaged ones are stepped over.
inline Result<FoundFde> find_in_section(const CfiSection& section, std::uint64_t address) noexcept {
  for (std::uint64_t offset = 0;;) {
    const auto entry = read_entry(section, offset);
    if (!entry) return Error{Errc::not_found, Address{address}};
    offset = entry->end;
    if (entry->is_cie || entry->is_terminator) continue;
    const auto fde = read_found_fde(section, *entry);
    if (fde && fde->range.contains(address)) return fde;
  }
}

inline Result<FoundFde> find_fde(const EhFrame& unwind_info, std::uint64_t address) noexcept {
  if (!unwind_info.header.empty()) {
    const auto table = SearchTable::read(unwind_info.header, unwind_info.header_address);
    if (table && table->size() != 0) return find_in_table(unwind_info, *table, address);
  }
  if (!unwind_info.has_exact_size) return Error{Errc::not_found, Address{address}};
  return find_in_section(unwind_info.section, address);
}

}  // namespace detail

/// The range of the function at `address`. Without the header's table all entries up to it are looked at.
///
/// Errors: not_found between functions; truncated, damaged.
inline Result<FunctionRange> find_function(const EhFrame& unwind_info, std::uint64_t address) noexcept {
  const auto found = detail::find_fde(unwind_info, address);
  if (!found) return found.error();
  return found->range;
}

/// The rule that holds at `address`; CfaRule::unknown between functions, and where nothing here understands it.
///
/// Errors: truncated, damaged, too_large
inline Result<unwind::UnwindRule> find_rule(const EhFrame& unwind_info, std::uint64_t address) noexcept {
  const auto found = detail::find_fde(unwind_info, address);
  if (!found && found.error().code == Errc::not_found) return unwind::UnwindRule{};
  if (!found) return found.error();
  const auto fde = read_fde(unwind_info.section, found->entry, found->cie);
  if (!fde) return fde.error();
  CfiRunner runner{unwind_info.section, found->cie};
  if (const auto initial = runner.run_cie(); !initial) return initial.error();
  CfiState state;
  (void)runner.run_fde(*fde, [&](FunctionRange row, const CfiState& here, bool) noexcept {
    if (!row.contains(address)) return true;
    state = here;
    return false;
  });
  return build_rule(unwind_info.section, found->cie, state);
}

}  // namespace pyagent::inline v0::dwarf
