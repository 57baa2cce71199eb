// The units of one file, and their abbreviations once they are asked for. May allocate.
#pragma once

#include <algorithm>      // upper_bound
#include <cstddef>        // size_t
#include <cstdint>        // uint64_t
#include <optional>       // optional
#include <span>           // span
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/dwarf/debug_sections.hpp"
#include "pyagent/dwarf/function_tree.hpp"
#include "pyagent/dwarf/ranges.hpp"
#include "pyagent/dwarf/unit.hpp"

namespace pyagent::inline v0::dwarf {

/// .debug_info with what belongs to it. In a damaged file, units that can't be read are left out.
class InfoFile {
 public:
  explicit InfoFile(LoadedSections sections) : sections_(std::move(sections)) {
    set_limits();
    read_units();
  }

  const DebugSections& views() const noexcept { return sections_.views; }
  /// By offset.
  std::span<const Unit> units() const noexcept { return units_; }

  /// The unit that the DIE at offset `die` is in; null when there is none.
  const Unit* find_unit(std::uint64_t die) const noexcept {
    const auto after = std::upper_bound(units_.begin(), units_.end(), die,
                                        [](std::uint64_t wanted, const Unit& unit) { return wanted < unit.first_die; });
    if (after == units_.begin() || die >= (after - 1)->end) return nullptr;
    return &*(after - 1);
  }

  /// Null when they are damaged.
  const AbbreviationTable* find_abbreviations(const Unit& unit) {
    // A table knows how long values are, and few files mix encodings: the first to come decides.
    const auto found = tables_.find(unit.abbreviations);
    if (found != tables_.end() && found->second.encoding == unit.encoding) return &found->second.table;
    auto table = parse_abbreviations(unit, 0);
    if (!table) return nullptr;
    return &tables_.insert_or_assign(unit.abbreviations, CachedTable{unit.encoding, std::move(*table)})
                .first->second.table;
  }

  /// What a unit's first DIE covers: `give(begin, end)`.
  template <class F>
  void for_each_range_of(const Unit& unit, F&& give) {
    for_each_range(views(), unit, unit.low_pc, unit.high_pc, unit.ranges, ranges_left_, give);
  }

  /// The functions of `unit`.
  FunctionTree read_functions(const Unit& unit) {
    const AbbreviationTable* const table = find_abbreviations(unit);
    return table == nullptr ? FunctionTree{} : FunctionTree::parse(views(), unit, *table, ranges_left_);
  }

  /// What a skeleton says for the units of its .dwo file.
  ///
  /// Source: DWARF 5, 3.1.3; for DWARF 4, https://gcc.gnu.org/wiki/DebugFission
  void complete_split_units(const Unit& skeleton, const DebugSections& skeleton_sections) noexcept {
    sections_.views.addresses = skeleton_sections.addresses;
    if (skeleton.encoding.version < 5) sections_.views.ranges = skeleton_sections.ranges;
    set_limits();
    for (Unit& unit : units_) {
      unit.addresses_base = skeleton.addresses_base;
      unit.ranges_base = skeleton.split_ranges_base;
      unit.base_address = skeleton.base_address;
    }
  }

 private:
  static constexpr std::size_t spare = 65536;

  struct CachedTable {
    Encoding encoding;
    AbbreviationTable table;
  };

  /// In a sound file no two tables and no two lists overlap, so that all of them are read a few times at most. An entry
  /// of a list takes 16 bytes (8 with short addresses), since DWARF 5 at least 2.
  void set_limits() noexcept {
    abbreviation_bytes_left_ = 4 * views().abbreviations.size() + spare;
    ranges_left_ = 2 * (views().ranges.size() / 8 + views().range_lists.size() / 2) + spare;
  }

  void read_units() {
    Unit unit;
    for (std::uint64_t offset = 0; offset < views().info.size(); offset = unit.end) {
      const Error failed = read_unit_header(views().info, offset, unit);
      if (unit.end <= offset) return;
      if (failed.code == Errc::ok && !is_type_unit(unit) && read_first_die(unit)) units_.push_back(unit);
    }
  }

  static constexpr bool is_type_unit(const Unit& unit) noexcept {
    return unit.type == DW_UT_type || unit.type == DW_UT_split_type;
  }

  /// Only the abbreviation that it needs is read, and that once for units that share it.
  bool read_first_die(Unit& unit) {
    SectionCursor cursor{views().info, unit.first_die, unit.end};
    const std::uint64_t code = cursor.take_uleb128();
    if (code == 0) return false;
    if (!first_ || first_->offset != unit.abbreviations || first_->code != code || first_->encoding != unit.encoding) {
      auto table = parse_abbreviations(unit, code);
      if (!table) return false;
      first_ = FirstAbbreviation{unit.abbreviations, code, unit.encoding, std::move(*table)};
    }
    return read_unit_die(views(), first_->table, unit).code == Errc::ok;
  }

  Result<AbbreviationTable> parse_abbreviations(const Unit& unit, std::uint64_t last) {
    if (abbreviation_bytes_left_ == 0) return Error{Errc::too_large, Address{unit.abbreviations}};
    auto table = AbbreviationTable::parse(views().abbreviations, unit.abbreviations, unit.encoding, last);
    const std::size_t read = table ? table->bytes() : views().abbreviations.size();
    abbreviation_bytes_left_ -= std::min(read, abbreviation_bytes_left_);
    return table;
  }

  struct FirstAbbreviation {
    std::uint64_t offset, code;
    Encoding encoding;
    AbbreviationTable table;
  };

  LoadedSections sections_;
  std::vector<Unit> units_;
  std::unordered_map<std::uint64_t, CachedTable> tables_;
  std::optional<FirstAbbreviation> first_;
  std::size_t abbreviation_bytes_left_ = 0, ranges_left_ = 0;
};

}  // namespace pyagent::inline v0::dwarf
