// The local variables of a frame, with their values as text.
//
// Source: up to 3.10 Objects/frameobject.c, PyFrame_FastToLocalsWithError; from 3.11 on Include/internal/pycore_code.h
// for the kinds of locals, Include/internal/pycore_stackref.h for the tags of 3.14
#pragma once

#include <algorithm>  // any_of, min
#include <array>      // array
#include <cstddef>    // byte, size_t
#include <cstdint>    // int64_t, uint8_t, uint64_t
#include <optional>   // optional
#include <span>       // span
#include <string>     // string, to_string
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/interpreter/object_text.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::interpreter {

/// A variable that has a value.
struct Local {
  std::string name;
  std::string value;  ///< as ObjectWriter::text gives it
  Address address;    ///< of the value; null for a number that the frame holds itself (3.14 on)
  bool is_argument = false;
};

/// Variables of one frame that are looked at.
inline constexpr std::uint64_t max_locals = 512;

namespace detail {

/// Kinds of locals. Source: v3.11.7, Include/internal/pycore_code.h, CO_FAST_CELL, CO_FAST_FREE
inline constexpr std::uint8_t local_is_cell = 0x40;
inline constexpr std::uint8_t local_is_free = 0x80;
/// Bits of co_flags. Source: Include/code.h
inline constexpr std::uint32_t co_optimized = 1;
inline constexpr std::uint32_t co_varargs = 4;
inline constexpr std::uint32_t co_varkeywords = 8;

/// One slot of a frame's locals.
struct Variable {
  Address name;
  std::uint8_t kind = 0;  ///< local_is_cell, local_is_free: the slot holds a cell, which holds the value
};

/// What a slot holds.
struct SlotValue {
  Address object;                      ///< null when the variable is unbound
  std::optional<std::int64_t> number;  ///< an int without object
};

/// Takes the tag off a slot; before 3.14 there is none. Unbound is 0, in 3.15 a tag alone.
/// Source: v3.14.0, Include/internal/pycore_stackref.h, Py_INT_TAG, PyStackRef_UntagInt
constexpr SlotValue decode_slot(const cpython::Layout& layout, std::uint64_t word) noexcept {
  constexpr std::uint64_t int_tag = 3;
  if (layout.executable_tag_mask != 0 && (word & int_tag) == int_tag) return {{}, static_cast<std::int64_t>(word) >> 2};
  return {{word & ~layout.executable_tag_mask}, std::nullopt};
}

/// Reads the items of a tuple, at most max_locals.
template <memory::Memory M>
std::vector<Address> read_items(const M& memory, const cpython::Layout& layout, Address tuple) {
  const auto size = memory::read_value<std::uint64_t>(memory, tuple + layout.object.var_size);
  if (!size) return {};
  std::vector<Address> items(static_cast<std::size_t>(std::min(*size, max_locals)));
  if (memory.read(tuple + layout.tuple.items, std::as_writable_bytes(std::span{items})) != Errc::ok) return {};
  return items;
}

/// Reads what the slots of a code object's frames are, in order.
template <memory::Memory M>
std::vector<Variable> read_variables(const M& memory, const cpython::Layout& layout, Address code) {
  std::vector<Variable> variables;
  const auto add = [&](cpython::Offset names, std::uint8_t kind) {
    if (names == cpython::absent) return;
    const auto tuple = memory::read_pointer(memory, code + names);
    if (!tuple) return;
    for (const Address name : read_items(memory, layout, *tuple))
      if (variables.size() < max_locals) variables.push_back({name, kind});
  };
  add(layout.code.names_of_locals, 0);
  add(layout.code.names_of_cells, local_is_cell);
  add(layout.code.names_of_frees, local_is_free);
  if (layout.code.kinds_of_locals == cpython::absent) return variables;

  const auto kinds = memory::read_pointer(memory, code + layout.code.kinds_of_locals);
  const auto object =
      kinds ? cpython::read_bytes_object(memory, layout, *kinds) : Result<cpython::BytesObject>{kinds.error()};
  if (!object || object->size < variables.size()) return {};
  std::vector<std::byte> bytes(variables.size());
  if (memory.read(object->data, bytes) != Errc::ok) return {};
  for (std::size_t i = 0; i < variables.size(); ++i) variables[i].kind = std::to_integer<std::uint8_t>(bytes[i]);
  return variables;
}

/// How many of the first locals are arguments.
template <memory::Memory M>
std::uint64_t read_argument_count(const M& memory, const cpython::Layout& layout, Address code, std::uint32_t flags) {
  const auto positional = memory::read_value<std::uint32_t>(memory, code + layout.code.argcount);
  const auto keyword_only = memory::read_value<std::uint32_t>(memory, code + layout.code.kwonlyargcount);
  if (!positional || !keyword_only) return 0;
  return std::uint64_t{*positional} + *keyword_only + ((flags & co_varargs) != 0) + ((flags & co_varkeywords) != 0);
}

template <memory::Memory M>
std::string read_name(const M& memory, const cpython::Layout& layout, Address string) {
  std::array<char, 256> buffer;
  const auto piece = cpython::read_string(memory, layout, string, buffer);
  return piece ? std::string{buffer.data(), piece->size} : "?";
}

/// Adds the locals that lie in the frame itself.
template <memory::Memory M>
void add_fast_locals(const M& memory, const cpython::Layout& layout, const cpython::RawFrame& frame,
                     std::uint32_t flags, ObjectWriter<M>& writer, std::vector<Local>& locals) {
  const auto variables = read_variables(memory, layout, frame.code);
  std::vector<std::uint64_t> slots(variables.size());
  const auto bytes = std::as_writable_bytes(std::span{slots});
  if (bytes.empty() || memory.read(frame.frame + layout.frame.locals, bytes) != Errc::ok) return;
  const std::uint64_t arguments = read_argument_count(memory, layout, frame.code, flags);
  // Up to 3.10 an argument that a closure uses has moved to a cell of the same name, behind the locals.
  const auto is_argument = [&](std::size_t index) {
    const auto end =
        variables.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(arguments, variables.size()));
    return index < arguments || ((variables[index].kind & local_is_cell) != 0 &&
                                 std::any_of(variables.begin(), end, [&](const Variable& argument) {
                                   return argument.name == variables[index].name;
                                 }));
  };
  for (std::size_t i = 0; i < variables.size(); ++i) {
    SlotValue value = decode_slot(layout, slots[i]);
    // A cell that is made when the function begins is not there yet in the very first instructions.
    const bool is_in_cell = (variables[i].kind & (local_is_cell | local_is_free)) != 0;
    if (is_in_cell && value.object && writer.kind_of(value.object) == ValueKind::cell)
      value.object = memory::read_pointer(memory, value.object + layout.cell.contents).value_or(Address{});
    if (!value.object && !value.number) continue;
    locals.push_back({read_name(memory, layout, variables[i].name),
                      value.number ? std::to_string(*value.number) : writer.text(value.object), value.object,
                      is_argument(i)});
  }
}

/// Adds the names of a class body, or of code that exec() runs with a scope of its own.
template <memory::Memory M>
void add_scope(const M& memory, const cpython::Layout& layout, Address frame, ObjectWriter<M>& writer,
               std::vector<Local>& locals) {
  const auto scope = memory::read_pointer(memory, frame + layout.frame.scope);
  const auto globals = memory::read_pointer(memory, frame + layout.frame.globals);
  if (!scope || !*scope || !globals || *scope == *globals || writer.kind_of(*scope) != ValueKind::dict) return;
  // Class bodies of 3.14 have it in a cell of their own too: __classdict__.
  std::erase_if(locals, [&](const Local& local) { return local.address == *scope; });
  const auto table = cpython::read_dict_table(memory, layout, *scope);
  if (!table) return;
  (void)cpython::find_entry(memory, *table, [&](const cpython::DictEntry& entry) noexcept {
    const auto value = cpython::read_entry_value(memory, *table, entry);
    if (value && *value) locals.push_back({read_name(memory, layout, entry.key), writer.text(*value), *value});
    return locals.size() >= max_locals;
  });
}

}  // namespace detail

/// Reads the variables of `frame` that have a value, arguments first; the globals of a module are not among them.
///
/// Shape:  in the order of the code object; comprehensions' own variables are there while they run.
/// Errors: none; what can't be read is left out, or says so in its value.
template <memory::Memory M>
std::vector<Local> read_locals(const M& memory, const Runtime& runtime, const cpython::RawFrame& frame,
                               ObjectWriter<M>& writer) {
  const cpython::Layout& layout = runtime.layout;
  std::vector<Local> locals;
  const auto flags = memory::read_value<std::uint32_t>(memory, frame.code + layout.code.flags);
  if (!flags) return locals;
  detail::add_fast_locals(memory, layout, frame, *flags, writer, locals);
  if ((*flags & detail::co_optimized) == 0) detail::add_scope(memory, layout, frame.frame, writer, locals);
  return locals;
}

/// The same for one frame alone.
template <memory::Memory M>
std::vector<Local> read_locals(const M& memory, const Runtime& runtime, const cpython::RawFrame& frame,
                               const TextLimits& limits = {}) {
  ObjectWriter<M> writer{memory, runtime, limits};
  return read_locals(memory, runtime, frame, writer);
}

}  // namespace pyagent::inline v0::interpreter
