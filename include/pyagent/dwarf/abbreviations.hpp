// Abbreviations: which attributes the DIEs of a unit have, in which forms. May allocate.
#pragma once

#include <algorithm>  // sort, lower_bound, is_sorted
#include <cstddef>    // byte, size_t
#include <cstdint>    // uint16_t, uint64_t
#include <span>       // span
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/base/result.hpp"
#include "pyagent/dwarf/form.hpp"

namespace pyagent::inline v0::dwarf {

/// A DIE with more attributes is taken for damage; those of compilers have less than 50.
inline constexpr std::size_t max_attributes = 512;

struct Attribute {
  std::uint16_t name = 0;  ///< DW_AT_...
  std::uint16_t form = 0;  ///< DW_FORM_...
  std::int64_t implicit_const = 0;
};

struct Abbreviation {
  std::uint64_t code = 0;
  std::uint32_t first_attribute = 0;
  std::uint16_t attribute_count = 0;
  std::uint16_t tag = 0;  ///< DW_TAG_...
  bool has_children = false;
  bool has_fixed_size = false;  ///< the attributes of every such DIE take `size` bytes
  std::uint16_t size = 0;
};

/// The abbreviations that begin at one offset of .debug_abbrev, for units of one encoding.
///
/// Source: DWARF 5, 7.5.3
class AbbreviationTable {
 public:
  /// Reads them up to the one with the code `last`, or all when it is zero.
  ///
  /// Errors: truncated, damaged
  static Result<AbbreviationTable> parse(std::span<const std::byte> section, std::uint64_t offset,
                                         const Encoding& encoding, std::uint64_t last = 0) {
    AbbreviationTable table;
    SectionCursor cursor{section, offset};
    for (;;) {
      Abbreviation next;
      next.code = cursor.take_uleb128();
      if (!cursor.ok()) return Error{Errc::truncated, Address{offset}};
      if (next.code == 0) break;
      next.tag = narrow(cursor.take_uleb128());
      next.has_children = cursor.take<std::uint8_t>() != 0;
      if (!table.read_attributes(cursor, encoding, next)) return Error{Errc::damaged, Address{cursor.position()}};
      table.abbreviations_.push_back(next);
      if (next.code == last) break;
    }
    table.bytes_ = cursor.offset();
    const auto by_code = [](const Abbreviation& a, const Abbreviation& b) { return a.code < b.code; };
    auto& all = table.abbreviations_;
    if (!std::is_sorted(all.begin(), all.end(), by_code)) std::stable_sort(all.begin(), all.end(), by_code);
    return table;
  }

  /// Null when there is none.
  const Abbreviation* find(std::uint64_t code) const noexcept {
    // Compilers number them from 1 on.
    if (code - 1 < abbreviations_.size() && abbreviations_[static_cast<std::size_t>(code - 1)].code == code)
      return &abbreviations_[static_cast<std::size_t>(code - 1)];
    const auto found = std::lower_bound(abbreviations_.begin(), abbreviations_.end(), code,
                                        [](const Abbreviation& a, std::uint64_t wanted) { return a.code < wanted; });
    return found != abbreviations_.end() && found->code == code ? &*found : nullptr;
  }

  std::span<const Attribute> attributes(const Abbreviation& abbreviation) const noexcept {
    return std::span{attributes_}.subspan(abbreviation.first_attribute, abbreviation.attribute_count);
  }

  /// What was read of the section.
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  /// No name, tag or form that somebody described is that large.
  static constexpr std::uint16_t narrow(std::uint64_t number) noexcept {
    return number > 0xffff ? std::uint16_t{0xffff} : static_cast<std::uint16_t>(number);
  }

  bool read_attributes(SectionCursor& cursor, const Encoding& encoding, Abbreviation& abbreviation) {
    abbreviation.first_attribute = static_cast<std::uint32_t>(attributes_.size());
    abbreviation.has_fixed_size = true;
    for (std::size_t count = 0; count <= max_attributes; ++count) {
      Attribute next;
      next.name = narrow(cursor.take_uleb128());
      next.form = narrow(cursor.take_uleb128());
      if (next.form == DW_FORM_implicit_const) next.implicit_const = cursor.take_sleb128();
      if (!cursor.ok()) return false;
      if (next.name == 0 && next.form == 0) {
        abbreviation.attribute_count = static_cast<std::uint16_t>(count);
        return true;
      }
      const std::uint8_t size = fixed_size(next.form, encoding);
      if (size == variable_size) abbreviation.has_fixed_size = false;
      if (abbreviation.has_fixed_size) abbreviation.size = static_cast<std::uint16_t>(abbreviation.size + size);
      attributes_.push_back(next);
    }
    return false;
  }

  std::vector<Abbreviation> abbreviations_;
  std::vector<Attribute> attributes_;
  std::size_t bytes_ = 0;
};

/// Reads the attributes of the DIE at which `cursor` stands, its code already taken: `give(name, value)` for each.
template <class F>
void read_attributes(SectionCursor& cursor, const AbbreviationTable& table, const Abbreviation& abbreviation,
                     const Encoding& encoding, F&& give) {
  for (const Attribute& attribute : table.attributes(abbreviation)) {
    const FormValue value = read_form(cursor, attribute.form, attribute.implicit_const, encoding);
    if (!cursor.ok()) return;
    give(attribute.name, value);
  }
}

/// Moves past them.
inline void skip_attributes(SectionCursor& cursor, const AbbreviationTable& table, const Abbreviation& abbreviation,
                            const Encoding& encoding) noexcept {
  if (abbreviation.has_fixed_size) return cursor.skip(abbreviation.size);
  for (const Attribute& attribute : table.attributes(abbreviation)) skip_form(cursor, attribute.form, encoding);
}

}  // namespace pyagent::inline v0::dwarf
