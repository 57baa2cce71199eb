// The functions that call frame information describes, sorted, without doubles. May allocate.
#pragma once

#include <algorithm>      // sort, upper_bound
#include <cstddef>        // size_t
#include <cstdint>        // uint64_t
#include <tuple>          // tie
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/dwarf/cfi_rows.hpp"
#include "pyagent/dwarf/eh_frame.hpp"

namespace pyagent::inline v0::dwarf {

/// What was left out, and why.
struct FunctionListCounts {
  std::size_t damaged = 0;     ///< entries that can't be read, or whose CIE can't
  std::size_t empty = 0;       ///< functions of no size
  std::size_t discarded = 0;   ///< outside of the module's code: the linker dropped them and could not drop their entry
  std::size_t duplicates = 0;  ///< at the same address as one before them, or described by a section before
};

/// All functions of one or more sections.
class FunctionList {
 public:
  /// A CIE whose instructions have been run.
  struct Common {
    Cie cie;
    CfiState initial;
  };
  struct Function {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t entry = 0;    ///< offset in the section
    std::uint32_t common = 0;   ///< index into commons()
    std::uint32_t section = 0;  ///< index into sections()
  };

  /// Only functions inside `code` are kept.
  explicit FunctionList(FunctionRange code) : code_(code) {}

  /// Adds the functions of a section, except those that overlap one of a section before. `section`'s bytes must outlive
  /// the list.
  void add(const CfiSection& section) {
    const std::size_t before = begin(section);
    for (std::uint64_t offset = 0;;) {
      const auto entry = read_entry(section, offset);
      if (!entry) {
        counts_.damaged += entry.error().code != Errc::not_found;
        break;
      }
      offset = entry->end;
      if (!entry->is_cie && !entry->is_terminator) add_entry(*entry);
    }
    finish(before);
  }

  /// The same for .eh_frame, whose size may be known only by its header's table.
  void add(const EhFrame& eh_frame) {
    if (eh_frame.has_exact_size) return add(eh_frame.section);
    const auto table = SearchTable::read(eh_frame.header, eh_frame.header_address);
    if (!table) return;
    const std::size_t before = begin(eh_frame.section);
    std::vector<std::uint64_t> offsets(table->size());
    for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = (*table)[i].fde - eh_frame.section.address;
    std::sort(offsets.begin(), offsets.end());
    std::uint64_t end = 0;
    for (const std::uint64_t offset : offsets) {
      const auto entry = read_entry(eh_frame.section, offset);
      // Entries that overlap could make a small file cost much.
      if (!entry || offset < end || entry->is_cie || entry->is_terminator) {
        ++counts_.damaged;
        continue;
      }
      end = entry->end;
      add_entry(*entry);
    }
    finish(before);
  }

  /// By start, which differ; `end` may lie beyond the next start.
  const std::vector<Function>& functions() const noexcept { return functions_; }
  const std::vector<Common>& commons() const noexcept { return commons_; }
  const std::vector<CfiSection>& sections() const noexcept { return sections_; }
  const FunctionListCounts& counts() const noexcept { return counts_; }

 private:
  static constexpr std::uint32_t no_common = 0xffffffff;

  std::size_t begin(const CfiSection& section) {
    sections_.push_back(section);
    common_at_.clear();
    return functions_.size();
  }

  void add_entry(const CfiEntry& entry) {
    const std::uint32_t common = find_common(entry.cie);
    const auto range =
        common == no_common ? Error{Errc::damaged} : read_range(sections_.back(), entry, commons_[common].cie);
    if (!range) {
      ++counts_.damaged;
    } else if (range->start < code_.start || range->start >= code_.end || range->end > code_.end) {
      ++counts_.discarded;
    } else if (range->start == range->end) {
      ++counts_.empty;
    } else {
      functions_.push_back(
          {range->start, range->end, entry.offset, common, static_cast<std::uint32_t>(sections_.size() - 1)});
    }
  }

  /// Index of the CIE at `offset`; no_common for a damaged one.
  std::uint32_t find_common(std::uint64_t offset) {
    const auto [place, is_new] = common_at_.try_emplace(offset, no_common);
    if (!is_new) return place->second;
    const CfiSection& section = sections_.back();
    const auto entry = read_entry(section, offset);
    const auto cie = entry ? read_cie(section, *entry) : Result<Cie>{entry.error()};
    if (!cie) return no_common;
    const auto initial = CfiRunner{section, *cie}.run_cie();
    if (!initial) return no_common;
    commons_.push_back({*cie, *initial});
    return place->second = static_cast<std::uint32_t>(commons_.size() - 1);
  }

  /// Sorts what was added after the first `before` into them.
  void finish(std::size_t before) {
    const auto added = functions_.begin() + static_cast<std::ptrdiff_t>(before);
    const auto by_start = [](const Function& a, const Function& b) {
      return std::tie(a.start, a.section, a.entry) < std::tie(b.start, b.section, b.entry);
    };
    std::sort(added, functions_.end(), by_start);
    const auto is_known = [&](const Function& function) {  // by a section before
      const auto after =
          std::upper_bound(functions_.begin(), added, function.end - 1,
                           [](std::uint64_t address, const Function& other) { return address < other.start; });
      return after != functions_.begin() && (after - 1)->end > function.start;
    };
    std::size_t kept = before;
    for (std::size_t i = before; i < functions_.size(); ++i) {
      const bool is_double = kept > before && functions_[kept - 1].start == functions_[i].start;
      if (is_double || (before != 0 && is_known(functions_[i]))) {
        ++counts_.duplicates;
      } else {
        functions_[kept++] = functions_[i];
      }
    }
    functions_.resize(kept);
    std::inplace_merge(functions_.begin(), functions_.begin() + static_cast<std::ptrdiff_t>(before), functions_.end(),
                       by_start);
  }

  FunctionRange code_;
  std::vector<CfiSection> sections_;
  std::vector<Common> commons_;
  std::unordered_map<std::uint64_t, std::uint32_t> common_at_;  ///< in the last section, by offset
  std::vector<Function> functions_;
  FunctionListCounts counts_;
};

}  // namespace pyagent::inline v0::dwarf
