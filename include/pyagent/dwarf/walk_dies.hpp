// Visits the DIEs of a unit that functions can be among. May allocate.
#pragma once

#include <cstddef>  // size_t
#include <cstdint>  // uint16_t, uint32_t, uint64_t
#include <vector>   // vector

#include "pyagent/dwarf/unit.hpp"

namespace pyagent::inline v0::dwarf {

/// What a visitor returns for a DIE is told to it when the children are visited.
inline constexpr std::uint32_t no_scope = 0xffffffff;

/// A DIE, its code already taken.
struct VisitedDie {
  std::uint64_t offset = 0;
  const Abbreviation& abbreviation;
  std::uint32_t scope = no_scope;  ///< what was returned for the DIE that this one is in
  std::uint32_t depth = 0;
};

namespace detail {

/// True for what has names inside, or code.
constexpr bool may_hold_functions(std::uint16_t tag) noexcept {
  switch (tag) {
    case DW_TAG_compile_unit:
    case DW_TAG_partial_unit:
    case DW_TAG_skeleton_unit:
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_interface_type:
    case DW_TAG_enumeration_type:  // those of Rust have functions
    case DW_TAG_subprogram:
    case DW_TAG_inlined_subroutine:
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
    case DW_TAG_with_stmt:
      return true;
    default:
      return false;
  }
}

/// Moves past the attributes, and past the children if the DIE says where they end: then true.
inline bool skip_to_sibling(SectionCursor& cursor, const Unit& unit, const AbbreviationTable& table,
                            const Abbreviation& abbreviation) {
  std::uint64_t sibling = 0;
  read_attributes(cursor, table, abbreviation, unit.encoding, [&](std::uint16_t name, const FormValue& value) {
    if (name == DW_AT_sibling && value.kind == ValueKind::reference) sibling = value.number;
  });
  const std::uint64_t here = cursor.position() - unit.offset;
  if (sibling <= here || sibling > unit.end - unit.offset) return false;
  cursor.skip(static_cast<std::size_t>(sibling - here));
  return true;
}

}  // namespace detail

/// Calls `visit(cursor, die)` for the DIEs of `unit` in their order, until the first damaged one. It moves the cursor
/// past the attributes and returns what the children shall know. What certainly holds no function is left out.
template <class F>
void walk_dies(const DebugSections& sections, const Unit& unit, const AbbreviationTable& table, F&& visit) {
  SectionCursor cursor{sections.info, unit.first_die, unit.end};
  std::vector<std::uint32_t> open;  // for each DIE around, what its visit returned
  do {
    const std::uint64_t offset = cursor.position(), code = cursor.take_uleb128();
    if (code == 0) {
      if (!open.empty()) open.pop_back();
      continue;
    }
    const Abbreviation* const abbreviation = table.find(code);
    if (abbreviation == nullptr) return;
    if (abbreviation->has_children && !detail::may_hold_functions(abbreviation->tag)) {
      if (!detail::skip_to_sibling(cursor, unit, table, *abbreviation))
        open.push_back(open.empty() ? no_scope : open.back());
      continue;
    }
    const VisitedDie die{offset, *abbreviation, open.empty() ? no_scope : open.back(),
                         static_cast<std::uint32_t>(open.size())};
    const std::uint32_t scope = visit(cursor, die);
    if (abbreviation->has_children) open.push_back(scope);
  } while (!open.empty() && !cursor.at_end() && cursor.ok());
}

}  // namespace pyagent::inline v0::dwarf
