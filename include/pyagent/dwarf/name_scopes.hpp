// What the functions and types of a unit are declared in: a DIE itself does not say. May allocate.
#pragma once

#include <algorithm>  // lower_bound
#include <cstdint>    // uint32_t, uint64_t
#include <optional>   // optional
#include <vector>     // vector

#include "pyagent/dwarf/walk_dies.hpp"

namespace pyagent::inline v0::dwarf {

/// From a function or a type to the namespace, type or function that it is declared in.
class NameScopes {
 public:
  NameScopes() = default;

  static NameScopes parse(const DebugSections& sections, const Unit& unit, const AbbreviationTable& table) {
    NameScopes scopes;
    scopes.unit_offset_ = unit.offset;
    if (unit.end - unit.offset >= no_scope) return scopes;
    walk_dies(sections, unit, table, [&](SectionCursor& cursor, const VisitedDie& die) {
      skip_attributes(cursor, table, die.abbreviation, unit.encoding);
      if (!is_scope(die.abbreviation.tag)) return die.scope;
      const auto offset = static_cast<std::uint32_t>(die.offset - unit.offset);
      if (die.scope != no_scope) scopes.entries_.push_back({offset, die.scope});
      return offset;
    });
    scopes.entries_.shrink_to_fit();
    return scopes;
  }

  /// Offset of the DIE that `die` is declared in; nothing when that is the unit.
  std::optional<std::uint64_t> find(std::uint64_t die) const noexcept {
    const std::uint64_t wanted = die - unit_offset_;
    const auto found = std::lower_bound(entries_.begin(), entries_.end(), wanted,
                                        [](const Entry& entry, std::uint64_t offset) { return entry.die < offset; });
    if (found == entries_.end() || found->die != wanted) return std::nullopt;
    return unit_offset_ + found->scope;
  }

 private:
  struct Entry {
    std::uint32_t die, scope;  ///< offsets in the unit
  };

  static constexpr bool is_scope(std::uint16_t tag) noexcept {
    switch (tag) {
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
      case DW_TAG_interface_type:
      case DW_TAG_enumeration_type:
      case DW_TAG_subprogram:
        return true;
      default:
        return false;
    }
  }

  std::uint64_t unit_offset_ = 0;
  std::vector<Entry> entries_;  ///< by `die`
};

}  // namespace pyagent::inline v0::dwarf
