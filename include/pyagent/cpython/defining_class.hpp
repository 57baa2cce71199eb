// The class a method was written in, for versions whose code objects don't know it: up to 3.10. signal-safe
//
// The first argument shows it: a class of its method resolution order holds the method. Written for frames of 3.5 to
// 3.10 (PyFrameObject); from 3.11 on there is co_qualname.
#pragma once

#include <algorithm>    // min, copy
#include <array>        // array
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/cpython/c_string.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/read_dict.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// Classes of one method resolution order that are looked at.
inline constexpr std::uint64_t max_mro_length = 64;

/// Entries of them all that are looked at for a private method.
inline constexpr std::uint32_t max_methods = 512;

namespace detail {

/// What the first parameter is called, as far as that says something.
enum class FirstArgument : std::uint8_t { other, self, cls };

/// A tuple of the target.
struct RawTuple {
  Address items;
  std::uint64_t size = 0;
};

template <memory::Memory M>
Result<RawTuple> read_tuple(const M& memory, const Layout& layout, Address tuple) noexcept {
  const auto size = memory::read_value<std::uint64_t>(memory, tuple + layout.object.var_size);
  if (!size) return size.error();
  if (*size > std::uint64_t{1} << 32) return Error{Errc::wrong_type, tuple};
  return RawTuple{tuple + layout.tuple.items, *size};
}

template <memory::Memory M>
FirstArgument read_first_argument(const M& memory, const Layout& layout, Address name) noexcept {
  if (is_string(memory, layout, name, "self")) return FirstArgument::self;
  if (is_string(memory, layout, name, "cls")) return FirstArgument::cls;
  return FirstArgument::other;
}

/// The object in the first argument's place, or null if it was deleted. An argument that inner functions use has moved
/// to a cell. Source: v3.10.13, Python/ceval.c, _PyEval_MakeFrameVector (co_cell2arg); co_cellvars is the second field
/// behind co_varnames in Include/code.h of 3.5 to 3.7 and Include/cpython/code.h of 3.8 to 3.10
template <memory::Memory M>
Result<Address> read_argument(const M& memory, const Layout& layout, Address frame, Address code, RawTuple locals,
                              Address name) noexcept {
  const Address slots = frame + layout.frame.locals;
  const auto object = memory::read_pointer(memory, slots);
  if (!object || *object) return object;
  const auto cell_names = memory::read_pointer(memory, code + layout.code.names_of_locals + 16);
  if (!cell_names) return cell_names.error();
  const auto cells = read_tuple(memory, layout, *cell_names);
  if (!cells) return cells.error();
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(cells->size, 64); ++i) {
    const auto cell_name = memory::read_pointer(memory, cells->items + 8 * i);
    if (!cell_name) return cell_name.error();
    if (*cell_name != name) continue;
    const auto cell = memory::read_pointer(memory, slots + 8 * (locals.size + i));
    if (!cell || !*cell) return cell;
    return memory::read_pointer(memory, *cell + layout.object.size);  // ob_ref
  }
  return Address{};
}

/// The name of the type of `object` if it is one of the interpreter's own, else empty. `buffer` holds it.
template <memory::Memory M>
std::string_view read_builtin_type(const M& memory, const Layout& layout, Address object, std::span<char> buffer) noexcept {
  const auto type = memory::read_pointer(memory, object + layout.object.type);
  if (!type || !*type) return {};
  constexpr std::uint64_t tpflags_heap_type = 1 << 9;  // made at run time; its instances may hold anything
  const auto flags = memory::read_value<std::uint64_t>(memory, *type + layout.type.flags);
  if (!flags || (*flags & tpflags_heap_type) != 0) return {};
  const auto name = memory::read_pointer(memory, *type + layout.type.name);
  if (!name || !*name) return {};
  const auto piece = read_c_string(memory, *name, buffer);
  return piece && !piece->is_cut ? std::string_view{buffer.data(), piece->size} : std::string_view{};
}

/// True when `object` is a function of `code`.
template <memory::Memory M>
bool is_function_of(const M& memory, const Layout& layout, Address object, Address code) noexcept {
  std::array<char, 16> buffer;
  if (!object || read_builtin_type(memory, layout, object, buffer) != "function") return false;
  const auto own = memory::read_pointer(memory, object + layout.function.code);
  return own && *own == code;
}

/// True when `object` is a function of `code`, or a property, classmethod or staticmethod around one.
///
/// A class may hold anything under any name, and memory may be one that reads without checks: no word of an object is
/// followed before its type has said that it is a pointer.
template <memory::Memory M>
bool has_code(const M& memory, const Layout& layout, Address object, Address code) noexcept {
  if (is_function_of(memory, layout, object, code)) return true;
  std::array<char, 16> buffer;
  const std::string_view type = read_builtin_type(memory, layout, object, buffer);
  const bool is_property = type == "property";  // of up to three functions: get, set, delete
  if (!is_property && type != "classmethod" && type != "staticmethod") return false;
  const Address first = object + (is_property ? layout.function.property_get : layout.function.callable);
  for (std::uint64_t i = 0; i < (is_property ? 3 : 1); ++i)
    if (const auto inner = memory::read_pointer(memory, first + 8 * i); inner && is_function_of(memory, layout, *inner, code))
      return true;
  return false;
}

/// Finds the first class of the method resolution order of `type` with an entry that `is_method` accepts.
template <memory::Memory M, class IsMethod>
Result<Address> find_class_in_mro(const M& memory, const Layout& layout, Address type,
                                  const IsMethod& is_method) noexcept {
  const auto tuple = memory::read_pointer(memory, type + layout.type.mro);
  if (!tuple) return tuple.error();
  const auto mro = read_tuple(memory, layout, *tuple);
  if (!mro) return mro.error();
  for (std::uint64_t i = 0; i < std::min(mro->size, max_mro_length); ++i) {
    const auto base = memory::read_pointer(memory, mro->items + 8 * i);
    if (!base) return base.error();
    const auto dict = memory::read_pointer(memory, *base + layout.type.dict);
    if (!dict || !*dict) continue;
    const auto table = read_dict_table(memory, layout, *dict);
    if (table && find_entry(memory, *table, is_method)) return *base;
  }
  return Error{Errc::not_found, type};
}

/// True when the compiler mangles the name in a class: `__name` of class Class is `_Class__name` in its dict.
template <memory::Memory M>
bool is_private_name(const M& memory, const Layout& layout, Address name) noexcept {
  std::array<char, 64> buffer;
  const auto piece = read_string(memory, layout, name, buffer);
  if (!piece) return false;
  const std::string_view text{buffer.data(), piece->size};
  return text.starts_with("__") && !text.ends_with("__");
}

/// Finds the class that holds the method called `name`: by name and code; or, as private methods are called otherwise
/// there, by code alone; or else by name alone, which finds what a decorator has put in the method's place.
template <memory::Memory M>
Result<Address> find_class_of_method(const M& memory, const Layout& layout, Address type, Address code,
                                     Address name) noexcept {
  // Names in code and in classes are interned: one text, one address.
  const auto is_named = [&](const DictEntry& entry) noexcept { return entry.key == name; };
  const auto is_this = [&](const DictEntry& entry) noexcept {
    return is_named(entry) && has_code(memory, layout, entry.value, code);
  };
  if (const auto found = find_class_in_mro(memory, layout, type, is_this)) return found;
  if (!is_private_name(memory, layout, name)) return find_class_in_mro(memory, layout, type, is_named);
  std::uint32_t left = max_methods;
  return find_class_in_mro(memory, layout, type, [&](const DictEntry& entry) noexcept {
    return left > 0 && left-- > 0 && has_code(memory, layout, entry.value, code);
  });
}

/// Writes what follows the last dot of the type's name.
template <memory::Memory M>
Result<StringPiece> read_type_name(const M& memory, const Layout& layout, Address type, std::span<char> out) noexcept {
  const auto name = memory::read_pointer(memory, type + layout.type.name);
  if (!name) return name.error();
  const auto piece = read_c_string(memory, *name, out);
  if (!piece) return piece.error();
  const std::string_view text{out.data(), piece->size};
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return piece;
  std::copy(text.begin() + static_cast<std::ptrdiff_t>(dot) + 1, text.end(), out.begin());
  return StringPiece{piece->size - dot - 1, piece->is_cut};
}

}  // namespace detail

/// Finds the class in which the method that runs in `frame` was written.
///
/// Shape:  first of all the class that has this very code, be it in a property, classmethod or staticmethod; else the
///         first one that has an entry of that name, as with decorators.
/// Errors: unreadable; not_found if there is no first argument `self` or `cls`, or it does not lead there.
template <memory::Memory M>
Result<Address> find_defining_class(const M& memory, const Layout& layout, Address frame, Address code,
                                    const RawCode& raw) noexcept {
  const Error none{Errc::not_found, code};
  if (raw.argcount == 0 || layout.frame_chain != FrameChain::frame_object) return none;
  const auto locals = detail::read_tuple(memory, layout, raw.names_of_locals);
  if (!locals) return locals.error();
  if (locals->size == 0) return none;
  const auto name = memory::read_pointer(memory, locals->items);
  if (!name) return name.error();
  const auto kind = detail::read_first_argument(memory, layout, *name);
  if (kind == detail::FirstArgument::other) return none;
  const auto object = detail::read_argument(memory, layout, frame, code, *locals, *name);
  if (!object) return object.error();
  if (!*object) return none;
  const auto type = memory::read_pointer(memory, *object + layout.object.type);
  if (!type) return type.error();

  if (kind == detail::FirstArgument::cls) {
    constexpr std::uint64_t tpflags_type_subclass = std::uint64_t{1} << 31;
    const auto flags = memory::read_value<std::uint64_t>(memory, *type + layout.type.flags);
    if (!flags) return flags.error();
    if ((*flags & tpflags_type_subclass) != 0)
      if (const auto found = detail::find_class_of_method(memory, layout, *object, code, raw.name)) return found;
    // What is left is a metaclass's method.
  }
  return detail::find_class_of_method(memory, layout, *type, code, raw.name);
}

/// Writes the name of the class in which the method that runs in `frame` was written, `Class`, to `out`.
///
/// Errors: as find_defining_class.
template <memory::Memory M>
Result<StringPiece> read_defining_class(const M& memory, const Layout& layout, Address frame, Address code,
                                        const RawCode& raw, std::span<char> out) noexcept {
  const auto type = find_defining_class(memory, layout, frame, code, raw);
  if (!type) return type.error();
  return detail::read_type_name(memory, layout, *type, out);
}

}  // namespace pyagent::inline v0::cpython
