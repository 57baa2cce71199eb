// Attributes of instances, as an object's __dict__ would show them. signal-safe
//
// Source: _PyObject_GetDictPtr, Objects/object.c up to 3.10; Include/internal/pycore_object.h from 3.11 on
#pragma once

#include <cstdint>      // uint64_t
#include <string_view>  // string_view

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/read_dict.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

namespace detail {

/// Bits of tp_flags, 3.11 on. Source: Include/object.h
inline constexpr std::uint64_t tpflags_inline_values = 1 << 2;  // 3.13 on
inline constexpr std::uint64_t tpflags_managed_dict = 1 << 4;

/// `pointer` unless it is null.
inline Result<Address> require(Result<Address> pointer, Address where) noexcept {
  if (pointer && !*pointer) return Error{Errc::not_found, where};
  return pointer;
}

/// The table of an instance without dict: values of its own, keys that its type shares.
template <memory::Memory M>
Result<DictTable> read_shared_table(const M& memory, const Layout& layout, Address type, Address values) noexcept {
  const auto keys = require(memory::read_pointer(memory, type + layout.type.cached_keys), type);
  if (!keys) return keys.error();
  return read_dict_keys(memory, layout, *keys, dict_values(layout, values));
}

/// The table of the dict whose address stands at `place`.
template <memory::Memory M>
Result<DictTable> read_table_through(const M& memory, const Layout& layout, Address place) noexcept {
  const auto dict = require(memory::read_pointer(memory, place), place);
  if (!dict) return dict.error();
  return read_dict_table(memory, layout, *dict);
}

/// The table of an instance whose dict pointer lies where its type says.
template <memory::Memory M>
Result<DictTable> read_offset_table(const M& memory, const Layout& layout, Address object, Address type) noexcept {
  const auto offset = memory::read_value<std::int64_t>(memory, type + layout.type.dictoffset);
  if (!offset) return offset.error();
  if (*offset <= 0) return Error{Errc::not_found, object};  // none, or counted from the end of a varying size
  return read_table_through(memory, layout, object + static_cast<std::uint64_t>(*offset));
}

}  // namespace detail

/// Reads where the instance attributes of `object` are, whether it has a dict already or not.
///
/// Errors: unreadable; not_found if it has no attributes of its own.
template <memory::Memory M>
Result<DictTable> read_attribute_table(const M& memory, const Layout& layout, Address object) noexcept {
  const auto type = memory::read_pointer(memory, object + layout.object.type);
  if (!type) return type.error();
  if (layout.instance_dict == InstanceDict::dictoffset) return detail::read_offset_table(memory, layout, object, *type);

  const auto flags = memory::read_value<std::uint64_t>(memory, *type + layout.type.flags);
  if (!flags) return flags.error();
  if ((*flags & detail::tpflags_managed_dict) == 0) return detail::read_offset_table(memory, layout, object, *type);

  // The dict pointer lies before the object: before the collector's header, which free-threaded builds don't have.
  const Address place = object - (layout.flags.free_threaded ? 8 : 24);
  const auto dict = memory::read_value<std::uint64_t>(memory, place);
  if (!dict) return dict.error();
  switch (layout.instance_dict) {
    case InstanceDict::dictoffset: break;
    case InstanceDict::values_pointer: {
      if (*dict != 0) break;
      const auto values = detail::require(memory::read_pointer(memory, object - 32), object);
      if (!values) return values.error();
      return detail::read_shared_table(memory, layout, *type, *values);
    }
    case InstanceDict::tagged_word:
      if ((*dict & 1) == 0) break;
      return detail::read_shared_table(memory, layout, *type, Address{*dict + 1});  // the pointer less one
    case InstanceDict::inline_values: {
      if (*dict != 0 || (*flags & detail::tpflags_inline_values) == 0) break;
      const auto size = memory::read_value<std::uint64_t>(memory, *type + layout.type.basicsize);
      if (!size) return size.error();
      return detail::read_shared_table(memory, layout, *type, object + *size);
    }
  }
  return detail::read_table_through(memory, layout, place);
}

/// Finds the instance attribute `name`, which is ASCII; attributes of the class are not looked at.
///
/// Errors: unreadable; wrong_type; not_found; too_large: see max_dict_entries.
template <memory::Memory M>
Result<Address> find_attribute(const M& memory, const Layout& layout, Address object, std::string_view name) noexcept {
  const auto table = read_attribute_table(memory, layout, object);
  if (!table) return table.error();
  return find_in_table(memory, layout, *table, name);
}

}  // namespace pyagent::inline v0::cpython
