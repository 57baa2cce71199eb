// The functions of one unit with what was inlined into them, by address. May allocate.
#pragma once

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t
#include <utility>  // move
#include <vector>   // vector

#include "pyagent/dwarf/interval_map.hpp"
#include "pyagent/dwarf/line_table.hpp"
#include "pyagent/dwarf/ranges.hpp"
#include "pyagent/dwarf/walk_dies.hpp"

namespace pyagent::inline v0::dwarf {

/// A function, or a call of one that was inlined.
struct FunctionScope {
  std::uint64_t die = 0;            ///< in .debug_info
  std::uint32_t parent = no_scope;  ///< what it was inlined into
  LinePosition call;                ///< where it was called, if it is inlined
  bool is_inlined = false;
};

/// The functions of a unit. Holds no reference to the sections.
class FunctionTree {
 public:
  /// Reads the DIEs of `unit`; what stands before a damaged one is kept. `ranges_left` as for for_each_range.
  static FunctionTree parse(const DebugSections& sections, const Unit& unit, const AbbreviationTable& table,
                            std::size_t& ranges_left) {
    FunctionTree tree;
    std::vector<Interval> intervals;
    walk_dies(sections, unit, table, [&](SectionCursor& cursor, const VisitedDie& die) {
      const std::uint16_t tag = die.abbreviation.tag;
      if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine) {
        skip_attributes(cursor, table, die.abbreviation, unit.encoding);
        return die.scope;
      }
      FunctionDie function = read_function(cursor, unit, table, die);
      const auto index = static_cast<std::uint32_t>(tree.scopes_.size());
      const std::size_t before = intervals.size();
      for_each_range(sections, unit, function.low_pc, function.high_pc, function.ranges, ranges_left,
                     [&](std::uint64_t begin, std::uint64_t end) {
                       intervals.push_back({begin, end, index, die.depth});
                     });
      // An inlined call without code of its own may have one inside that has some (seen in libpython3.11, GCC 12).
      const bool has_code = intervals.size() > before || (function.scope.is_inlined && die.scope != no_scope);
      if (!has_code) return no_scope;
      tree.scopes_.push_back(function.scope);
      return index;
    });
    tree.scopes_.shrink_to_fit();
    tree.ranges_ = IntervalMap{std::move(intervals)};
    return tree;
  }

  /// The innermost scope around `address`; null outside of all functions.
  const FunctionScope* find(std::uint64_t address) const noexcept { return at(ranges_.find(address)); }
  /// What `scope` was inlined into; null for a function, and when it is not said.
  const FunctionScope* parent(const FunctionScope& scope) const noexcept {
    return scope.is_inlined ? at(scope.parent) : nullptr;
  }

  std::size_t size() const noexcept { return scopes_.size(); }

 private:
  struct FunctionDie {
    FunctionScope scope;
    FormValue low_pc, high_pc, ranges;
  };

  static FunctionDie read_function(SectionCursor& cursor, const Unit& unit, const AbbreviationTable& table,
                                   const VisitedDie& die) {
    FunctionDie function;
    FunctionScope& scope = function.scope;
    scope.die = die.offset;
    scope.parent = die.scope;
    scope.is_inlined = die.abbreviation.tag == DW_TAG_inlined_subroutine;
    read_attributes(cursor, table, die.abbreviation, unit.encoding, [&](std::uint16_t name, const FormValue& value) {
      switch (name) {
        case DW_AT_low_pc:
          function.low_pc = value;
          break;
        case DW_AT_high_pc:
          function.high_pc = value;
          break;
        case DW_AT_ranges:
          function.ranges = value;
          break;
        case DW_AT_call_file:
          scope.call.file = static_cast<std::uint32_t>(value.number);
          break;
        case DW_AT_call_line:
          scope.call.line = static_cast<std::uint32_t>(value.number);
          break;
        case DW_AT_call_column:
          scope.call.column = static_cast<std::uint32_t>(value.number);
          break;
        default:
          break;
      }
    });
    return function;
  }

  const FunctionScope* at(std::uint32_t index) const noexcept {
    return index < scopes_.size() ? &scopes_[index] : nullptr;
  }

  std::vector<FunctionScope> scopes_;
  IntervalMap ranges_;
};

}  // namespace pyagent::inline v0::dwarf
