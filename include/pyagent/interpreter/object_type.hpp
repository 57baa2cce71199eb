// What kind of value an object is, by its type.
#pragma once

#include <algorithm>      // min
#include <array>          // array
#include <cstdint>        // uint64_t
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // move

#include "pyagent/cpython/c_string.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::interpreter {

/// How the text of an object is made.
enum class ValueKind : std::uint8_t {
  other,  ///< nothing is known about what it holds
  none,
  ellipsis,
  not_implemented,
  boolean,
  integer,
  floating,
  complex,
  string,
  bytes,
  bytearray,
  list,
  tuple,
  dict,
  set,
  type,
  function,
  module,
  cell,
  numpy_bool,  ///< numpy's scalars: the value follows the object's header
  numpy_signed,
  numpy_unsigned,
  numpy_float,
};

/// A type of the target, as far as the text of its instances needs it.
struct ObjectType {
  std::string name;  ///< tp_name: "int", "Point", "collections.deque"
  ValueKind kind = ValueKind::other;
  bool is_exact = false;  ///< the built-in type itself and not a subclass
  std::uint8_t size = 0;  ///< of a numpy scalar's value, in bytes
};

namespace detail {

/// Bits of tp_flags. Source: Include/object.h, the same from 3.5 to 3.15
inline constexpr std::uint64_t tpflags_heap_type = 1 << 9;
struct SubclassFlag {
  std::uint64_t bit;
  ValueKind kind;
  std::string_view name;
};
inline constexpr SubclassFlag subclass_flags[] = {
    {1u << 24, ValueKind::integer, "int"}, {1u << 25, ValueKind::list, "list"},  {1u << 26, ValueKind::tuple, "tuple"},
    {1u << 27, ValueKind::bytes, "bytes"}, {1u << 28, ValueKind::string, "str"}, {1u << 29, ValueKind::dict, "dict"},
    {1u << 31, ValueKind::type, "type"}};

/// Built-in types that no flag tells, and numpy's scalars, which are static types as well.
struct NamedType {
  std::string_view name;
  ValueKind kind;
  std::uint8_t size = 0;
};
inline constexpr NamedType named_types[] = {{"NoneType", ValueKind::none},
                                            {"ellipsis", ValueKind::ellipsis},
                                            {"NotImplementedType", ValueKind::not_implemented},
                                            {"float", ValueKind::floating},
                                            {"complex", ValueKind::complex},
                                            {"bytearray", ValueKind::bytearray},
                                            {"set", ValueKind::set},
                                            {"frozenset", ValueKind::set},
                                            {"frozendict", ValueKind::dict},
                                            {"function", ValueKind::function},
                                            {"module", ValueKind::module},
                                            {"cell", ValueKind::cell},
                                            {"numpy.bool_", ValueKind::numpy_bool, 1},
                                            {"numpy.bool", ValueKind::numpy_bool, 1},
                                            {"numpy.int8", ValueKind::numpy_signed, 1},
                                            {"numpy.int16", ValueKind::numpy_signed, 2},
                                            {"numpy.int32", ValueKind::numpy_signed, 4},
                                            {"numpy.int64", ValueKind::numpy_signed, 8},
                                            {"numpy.longlong", ValueKind::numpy_signed, 8},
                                            {"numpy.uint8", ValueKind::numpy_unsigned, 1},
                                            {"numpy.uint16", ValueKind::numpy_unsigned, 2},
                                            {"numpy.uint32", ValueKind::numpy_unsigned, 4},
                                            {"numpy.uint64", ValueKind::numpy_unsigned, 8},
                                            {"numpy.ulonglong", ValueKind::numpy_unsigned, 8},
                                            {"numpy.float32", ValueKind::numpy_float, 4},
                                            {"numpy.float64", ValueKind::numpy_float, 8}};

constexpr const NamedType* find_named_type(std::string_view name) noexcept {
  for (const NamedType& named : named_types)
    if (named.name == name) return &named;
  return nullptr;
}

/// The kind that flags and name alone tell; `other` leaves the base classes to be looked at.
inline ObjectType classify_type(std::string name, std::uint64_t flags) {
  const bool is_static = (flags & tpflags_heap_type) == 0;
  for (const SubclassFlag& flag : subclass_flags) {
    if ((flags & flag.bit) == 0) continue;
    const bool is_bool = is_static && flag.kind == ValueKind::integer && name == "bool";
    const bool is_exact = is_bool || flag.kind == ValueKind::type || (is_static && name == flag.name);
    return {std::move(name), is_bool ? ValueKind::boolean : flag.kind, is_exact};
  }
  const NamedType* const named = is_static ? find_named_type(name) : nullptr;
  if (named == nullptr) return {std::move(name)};
  return {std::move(name), named->kind, true, named->size};
}

}  // namespace detail

/// The types met so far, each read once.
template <memory::Memory M>
class ObjectTypes {
 public:
  ObjectTypes(const M& memory, const cpython::Layout& layout) : memory_(memory), layout_(layout) {}

  /// The type at `address`, or null when it can't be read. Stays valid until the next call.
  const ObjectType* find(Address address) {
    if (const auto known = types_.find(address.value); known != types_.end()) return &known->second;
    auto type = read(address);
    if (!type) return nullptr;
    if (type->kind == ValueKind::other) inherit(*type, address);
    if (types_.size() >= max_types) types_.clear();
    return &types_.insert_or_assign(address.value, std::move(*type)).first->second;
  }

 private:
  static constexpr std::size_t max_types = 4096;
  static constexpr std::size_t max_name = 128;
  static constexpr std::uint64_t max_bases = 16;

  Result<ObjectType> read(Address address) const {
    const auto flags = memory::read_value<std::uint64_t>(memory_, address + layout_.type.flags);
    if (!flags) return flags.error();
    const auto name = memory::read_pointer(memory_, address + layout_.type.name);
    if (!name) return name.error();
    std::array<char, max_name> buffer;
    const auto text = cpython::read_c_string(memory_, *name, buffer);
    if (!text) return text.error();
    return detail::classify_type({buffer.data(), text->size}, *flags);
  }

  /// Takes the kind of a base class: a subclass of float or set has no flag that says so.
  void inherit(ObjectType& type, Address address) const {
    const auto mro = memory::read_pointer(memory_, address + layout_.type.mro);
    if (!mro || !*mro) return;
    const auto count = memory::read_value<std::uint64_t>(memory_, *mro + layout_.object.var_size);
    for (std::uint64_t i = 1; count && i + 1 < std::min(*count, max_bases); ++i) {
      const auto base = memory::read_pointer(memory_, *mro + layout_.tuple.items + 8 * i);
      const auto read_base = base ? read(*base) : Result<ObjectType>{base.error()};
      if (!read_base || read_base->kind == ValueKind::other) continue;
      type.kind = read_base->kind;
      type.size = read_base->size;
      return;
    }
  }

  const M& memory_;
  const cpython::Layout& layout_;
  std::unordered_map<std::uint64_t, ObjectType> types_;
};

}  // namespace pyagent::inline v0::interpreter
