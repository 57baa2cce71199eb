// Names of functions, wherever their declarations stand. May allocate.
#pragma once

#include <cstddef>        // size_t
#include <cstdint>        // uint64_t
#include <optional>       // optional
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map

#include "pyagent/dwarf/info_file.hpp"
#include "pyagent/dwarf/name_scopes.hpp"

namespace pyagent::inline v0::dwarf {

/// What is longer is cut.
inline constexpr std::size_t max_function_name = 16384;
/// An inlined call refers to its abstract function, that to its declaration: three DIEs.
inline constexpr std::size_t max_references = 16;
/// Namespaces, classes and functions around a function.
inline constexpr std::size_t max_name_scopes = 32;

struct FunctionName {
  std::string text;
  bool is_linkage_name = false;  ///< mangled, if the language does that
};

/// The names of one file's functions. Those that were asked for are kept.
class FunctionNames {
 public:
  /// The name of the function, or of the inlined call, at offset `die`; empty when none is known.
  ///
  /// GCC gives linkage names only to functions that other files could call; for the rest the name is put together of
  /// what it is declared in.
  const FunctionName& find(InfoFile& file, std::uint64_t die) {
    const auto [place, is_new] = names_.try_emplace(die);
    if (is_new) {
      const Declaration declaration = find_declaration(file, die);
      if (declaration.linkage_name.empty())
        place->second = {qualify(file, declaration, max_name_scopes), false};
      else
        place->second = {std::string{declaration.linkage_name.substr(0, max_function_name)}, true};
    }
    return place->second;
  }

 private:
  /// What a DIE says of its name, itself or through those that it refers to.
  struct Declaration {
    std::string_view name, linkage_name;
    std::uint64_t die = 0;  ///< the last of them
    std::uint16_t tag = 0;
  };

  static Declaration find_declaration(InfoFile& file, std::uint64_t die) {
    Declaration declaration;
    std::optional<std::uint64_t> next = die;
    for (std::size_t i = 0; next && i < max_references && declaration.linkage_name.empty(); ++i) {
      const Unit* const unit = file.find_unit(*next);
      const AbbreviationTable* const table = unit == nullptr ? nullptr : file.find_abbreviations(*unit);
      if (table == nullptr) break;
      next = read_declaration(file.views(), *unit, *table, *next, declaration);
    }
    return declaration;
  }

  /// The DIE that the one at `offset` refers to.
  static std::optional<std::uint64_t> read_declaration(const DebugSections& sections, const Unit& unit,
                                                       const AbbreviationTable& table, std::uint64_t offset,
                                                       Declaration& declaration) {
    SectionCursor cursor{sections.info, offset, unit.end};
    const Abbreviation* const abbreviation = table.find(cursor.take_uleb128());
    if (abbreviation == nullptr) return std::nullopt;
    FormValue name, linkage_name, origin;
    read_attributes(cursor, table, *abbreviation, unit.encoding, [&](std::uint16_t attribute, const FormValue& value) {
      switch (attribute) {
        case DW_AT_name:
          name = value;
          break;
        case DW_AT_linkage_name:
        case DW_AT_MIPS_linkage_name:
          linkage_name = value;
          break;
        case DW_AT_abstract_origin:
        case DW_AT_specification:
          origin = value;
          break;
        default:
          break;
      }
    });
    if (!cursor.ok()) return std::nullopt;
    declaration.die = offset;
    declaration.tag = abbreviation->tag;
    declaration.linkage_name = find_text(sections, unit, linkage_name);
    if (declaration.name.empty()) declaration.name = find_text(sections, unit, name);
    if (origin.kind == ValueKind::far_reference) return origin.number;
    if (origin.kind == ValueKind::reference && origin.number < unit.end - unit.offset)
      return unit.offset + origin.number;
    return std::nullopt;
  }

  /// "namespace::Class::name", with at most `depth` scopes.
  std::string qualify(InfoFile& file, const Declaration& declaration, std::size_t depth) {
    std::string_view name = declaration.name;
    if (name.empty() && declaration.tag == DW_TAG_namespace) name = "(anonymous namespace)";
    const auto scope = depth == 0 ? std::nullopt : find_scope(file, declaration.die);
    std::string text = scope ? qualify(file, find_declaration(file, *scope), depth - 1) : std::string{};
    if (!text.empty() && !name.empty()) text += "::";
    return text.append(name).substr(0, max_function_name);
  }

  std::optional<std::uint64_t> find_scope(InfoFile& file, std::uint64_t die) {
    const Unit* const unit = file.find_unit(die);
    if (unit == nullptr || has_plain_names(*unit)) return std::nullopt;
    const auto [place, is_new] = scopes_.try_emplace(unit->offset);
    if (is_new)
      if (const AbbreviationTable* const table = file.find_abbreviations(*unit))
        place->second = NameScopes::parse(file.views(), *unit, *table);
    return place->second.find(die);
  }

  static constexpr bool has_plain_names(const Unit& unit) noexcept {
    switch (unit.language) {
      case DW_LANG_C89:
      case DW_LANG_C:
      case DW_LANG_C99:
      case DW_LANG_C11:
      case DW_LANG_C17:
      case DW_LANG_ObjC:
      case DW_LANG_Go:
      case DW_LANG_Mips_Assembler:
        return true;
      default:
        return false;
    }
  }

  std::unordered_map<std::uint64_t, FunctionName> names_;
  std::unordered_map<std::uint64_t, NameScopes> scopes_;  ///< by the unit's offset
};

}  // namespace pyagent::inline v0::dwarf
