// Looks things up in dicts of the target, by going through their entries. signal-safe
//
// Python looks up by hash, and the hash of a str is random in each process; a scan needs none, and only few small dicts
// are ever asked. Source: Objects/dict-common.h up to 3.10, Include/internal/pycore_dict.h from 3.11;
// Objects/dictobject.c
#pragma once

#include <algorithm>    // min
#include <array>        // array
#include <cstddef>      // byte
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/object_bytes.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// Entries of one dict that are looked at.
inline constexpr std::uint64_t max_dict_entries = 1 << 16;

/// One entry that holds something.
struct DictEntry {
  std::int64_t hash = 0;  ///< of the key; 0 in tables whose keys are all str (3.11 on), which leave it to the str
  Address key;
  Address value;            ///< null in a split table: see read_entry_value
  std::uint64_t index = 0;  ///< its place in the table
};

/// Where the entries of a dict lie.
struct DictTable {
  Address entries;
  std::uint64_t count = 0;
  std::uint32_t entry_size = 24;  ///< 24: hash, key, value; 16: key, value
  Address values;                 ///< split table: the values, apart from the keys that instances share; else null
};

/// Takes the place of the entries from the first bytes of a PyDictKeysObject.
///
/// Errors: wrong_type if no table has such a size.
inline Result<DictTable> decode_dict_keys(const Layout& layout, Address keys,
                                          std::span<const std::byte> bytes) noexcept {
  const auto& at = layout.dict_keys;
  constexpr std::uint64_t max_size = std::uint64_t{1} << 40;
  DictTable table{.entries = keys + at.indices, .count = 0, .entry_size = 24, .values = {}};
  switch (layout.dict_keys_shape) {
    case DictKeys::entries_only: table.count = field_at<std::uint64_t>(bytes, at.size); break;
    case DictKeys::sized_indices: {
      const auto size = field_at<std::uint64_t>(bytes, at.size);
      if (size > max_size) return Error{Errc::wrong_type, keys};
      table.entries = table.entries + size * (size <= 0xff ? 1u : size <= 0xffff ? 2u : size <= 0xffffffff ? 4u : 8u);
      table.count = field_at<std::uint64_t>(bytes, at.nentries);
      break;
    }
    case DictKeys::log2_indices: {
      const auto log2_bytes = field_at<std::uint8_t>(bytes, at.index_bytes);
      if (log2_bytes > 40) return Error{Errc::wrong_type, keys};
      table.entries = table.entries + (std::uint64_t{1} << log2_bytes);
      table.count = field_at<std::uint64_t>(bytes, at.nentries);
      if (field_at<std::uint8_t>(bytes, at.kind) != 0) table.entry_size = 16;  // DICT_KEYS_UNICODE, DICT_KEYS_SPLIT
      break;
    }
  }
  if (table.count > max_size) return Error{Errc::wrong_type, keys};
  return table;
}

/// Reads the table behind `keys`. `values` is where a split table's values begin, or null.
template <memory::Memory M>
Result<DictTable> read_dict_keys(const M& memory, const Layout& layout, Address keys, Address values) noexcept {
  std::array<std::byte, 40> buffer;
  const auto bytes = std::span{buffer}.first(std::min<std::size_t>(layout.dict_keys.indices, buffer.size()));
  if (const Errc failed = memory.read(keys, bytes); failed != Errc::ok) return Error{failed, keys};
  auto table = decode_dict_keys(layout, keys, bytes);
  if (table) table->values = values;
  return table;
}

/// A PyDictValues, whose header came with 3.13.
inline Address dict_values(const Layout& layout, Address values) noexcept {
  return layout.dict_keys.values == absent ? values : values + layout.dict_keys.values;
}

/// Reads where the entries of the dict at `dict` are.
template <memory::Memory M>
Result<DictTable> read_dict_table(const M& memory, const Layout& layout, Address dict) noexcept {
  const auto keys = memory::read_pointer(memory, dict + layout.dict.keys);
  if (!keys) return keys.error();
  const auto values = memory::read_pointer(memory, dict + layout.dict.values);
  if (!values) return values.error();
  return read_dict_keys(memory, layout, *keys, *values ? dict_values(layout, *values) : Address{});
}

/// The value of an entry, from where `table` keeps it; null when this instance has none for the key it shares.
template <memory::Memory M>
Result<Address> read_entry_value(const M& memory, const DictTable& table, const DictEntry& entry) noexcept {
  return table.values ? memory::read_pointer(memory, table.values + 8 * entry.index) : Result<Address>{entry.value};
}

/// Goes through the entries of `table` until `visit(entry)` gives true.
///
/// Shape:  the entry it was, in Python's order of insertion.
/// Errors: unreadable; not_found; too_large when it is not among the first max_dict_entries.
template <memory::Memory M, class Visit>
Result<DictEntry> find_entry(const M& memory, const DictTable& table, const Visit& visit) noexcept {
  std::array<std::byte, 72> buffer;  // three or four entries
  const std::uint64_t per_read = buffer.size() / table.entry_size;
  const std::uint64_t end = std::min(table.count, max_dict_entries);
  for (std::uint64_t first = 0; first < end; first += per_read) {
    const auto count = static_cast<std::uint32_t>(std::min(per_read, end - first));
    const Address from = table.entries + first * table.entry_size;
    const auto bytes = std::span{buffer}.first(count * table.entry_size);
    if (const Errc failed = memory.read(from, bytes); failed != Errc::ok) return Error{failed, from};

    for (std::uint32_t i = 0; i < count; ++i) {
      const Offset behind = (i + 1) * table.entry_size;
      DictEntry entry{table.entry_size == 24 ? field_at<std::int64_t>(buffer, behind - 24) : 0,
                      pointer_at(buffer, behind - 16), pointer_at(buffer, behind - 8), first + i};
      if (!entry.key || (!table.values && !entry.value)) continue;  // deleted, or never used
      if (!visit(entry)) continue;
      const auto value = read_entry_value(memory, table, entry);
      if (!value) return value.error();
      if (!*value) continue;
      entry.value = *value;
      return entry;
    }
  }
  return Error{table.count > max_dict_entries ? Errc::too_large : Errc::not_found, table.entries};
}

/// Finds the value for a str, which is ASCII.
template <memory::Memory M>
Result<Address> find_in_table(const M& memory, const Layout& layout, const DictTable& table,
                              std::string_view key) noexcept {
  const auto entry =
      find_entry(memory, table, [&](const DictEntry& e) noexcept { return is_string(memory, layout, e.key, key); });
  if (!entry) return entry.error();
  return entry->value;
}

/// Finds the value for a str, which is ASCII, in the dict at `dict`.
///
/// Errors: unreadable; wrong_type if there is no dict; not_found; too_large: see max_dict_entries.
template <memory::Memory M>
Result<Address> find_in_dict(const M& memory, const Layout& layout, Address dict, std::string_view key) noexcept {
  const auto table = read_dict_table(memory, layout, dict);
  if (!table) return table.error();
  return find_in_table(memory, layout, *table, key);
}

/// Finds the value for an int below 2**61 - 1: its hash is the number itself, in every version.
///
/// Errors: as for a str.
template <memory::Memory M>
Result<Address> find_in_dict(const M& memory, const Layout& layout, Address dict, std::uint64_t key) noexcept {
  const auto table = read_dict_table(memory, layout, dict);
  if (!table) return table.error();
  if (table->entry_size != 24) return Error{Errc::not_found, dict};  // all its keys are str
  const auto entry = find_entry(memory, *table,
                                [&](const DictEntry& e) noexcept { return static_cast<std::uint64_t>(e.hash) == key; });
  if (!entry) return entry.error();
  return entry->value;
}

}  // namespace pyagent::inline v0::cpython
