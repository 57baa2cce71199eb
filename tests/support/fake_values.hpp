// Python values of the built-in types, with their types, for any Layout.
#pragma once

#include <algorithm>         // max
#include <cstdint>           // uint32_t, int64_t
#include <initializer_list>  // initializer_list
#include <map>               // map
#include <string>            // string
#include <string_view>       // string_view
#include <utility>           // pair
#include <vector>            // vector

#include "pyagent/interpreter/runtime.hpp"
#include "support/fake_objects.hpp"

namespace pyagent::test {

/// Bits of tp_flags. Source: Include/object.h
inline constexpr std::uint64_t heap_type = 1 << 9;
inline constexpr std::uint64_t int_subclass = 1 << 24;
inline constexpr std::uint64_t list_subclass = 1 << 25;
inline constexpr std::uint64_t tuple_subclass = 1 << 26;
inline constexpr std::uint64_t bytes_subclass = 1 << 27;
inline constexpr std::uint64_t str_subclass = 1 << 28;
inline constexpr std::uint64_t dict_subclass = 1 << 29;
inline constexpr std::uint64_t type_subclass = std::uint64_t{1} << 31;

/// Values that know what they are.
class FakeValues : public FakeObjects {
 public:
  explicit FakeValues(const cpython::Layout& layout) : FakeObjects(layout) { runtime_.layout = layout; }

  const interpreter::Runtime& runtime() const { return runtime_; }

  /// A built-in type, the same one for each name.
  Address builtin(std::string_view name, std::uint64_t flags = 0) {
    auto& known = builtins_[std::string{name}];
    if (!known) known = type(name, {}, flags);
    return known;
  }
  /// Makes `object` an instance of `type`.
  Address as(Address type, Address object) {
    memory().put(object + layout().object.type, type);
    return object;
  }

  Address none() { return object(builtin("NoneType")); }
  Address boolean(bool value) { return as(builtin("bool", int_subclass), raw_integer(false, {value ? 1u : 0u})); }
  /// An int by its digits of 30 bits, least first.
  Address integer(bool is_negative, std::vector<std::uint32_t> digits) {
    return as(builtin("int", int_subclass), raw_integer(is_negative, digits));
  }
  Address integer(std::uint32_t value) { return integer(false, {value}); }
  Address floating(double value) { return number("float", value); }
  /// An instance of a type whose value follows its header.
  template <class T>
  Address number(std::string_view type, T value) {
    const Address at = object(builtin(type), sizeof value);
    memory().put(at + layout().object.size, value);
    return at;
  }
  Address string(std::string_view text) { return string(std::u32string{text.begin(), text.end()}); }
  Address string(const std::u32string& text) { return as(builtin("str", str_subclass), str(text)); }
  Address byte_string(std::string_view data) { return as(builtin("bytes", bytes_subclass), bytes(data)); }
  Address list(std::initializer_list<Address> items) {
    const Address table = memory().add(8 * items.size());
    std::uint64_t at = 0;
    for (const Address item : items) memory().put(table + 8 * at++, item);
    return list(items.size(), table);
  }
  /// A list that says it has `size` items at `table`.
  Address list(std::uint64_t size, Address table) {
    const Address object = as(builtin("list", list_subclass), memory().add(layout().list.items + 8));
    memory().put(object + layout().object.var_size, size);
    memory().put(object + layout().list.items, table);
    return object;
  }
  Address typed_tuple(std::initializer_list<Address> items) {
    return as(builtin("tuple", tuple_subclass), tuple(items));
  }
  Address typed_dict(std::initializer_list<FakeEntry> entries, FakeTable form = FakeTable::general) {
    return as(builtin("dict", dict_subclass), dict(entries, form));
  }
  /// A set whose table holds a removed key and room beside these keys.
  Address set(std::initializer_list<Address> keys, std::string_view type = "set") {
    std::uint64_t slots = 8;
    while (slots < 2 * keys.size()) slots *= 2;
    const Address table = memory().add(16 * slots);
    std::uint64_t at = 0;
    for (const Address key : keys) memory().put(table + 16 * (at++ * 2 + 1), key);
    memory().put(table, builtin("object"));  // the dummy
    memory().put(table + 8, std::int64_t{-1});
    return set(keys.size(), slots - 1, table, type);
  }
  Address set(std::uint64_t used, std::uint64_t mask, Address table, std::string_view type = "set") {
    const Address object = as(builtin(type), memory().add(layout().set.table + 8));
    memory().put(object + layout().set.used, used);
    memory().put(object + layout().set.mask, mask);
    memory().put(object + layout().set.table, table);
    return object;
  }
  Address cell(Address contents) {
    const Address object = as(builtin("cell"), memory().add(layout().cell.contents + 8));
    memory().put(object + layout().cell.contents, contents);
    return object;
  }

 private:
  Address raw_integer(bool is_negative, const std::vector<std::uint32_t>& digits) {
    const Address object = memory().add(layout().integer.digits + 4 * std::max<std::size_t>(digits.size(), 1));
    std::size_t count = digits.size();
    while (count != 0 && digits[count - 1] == 0) --count;
    const auto size = static_cast<std::int64_t>(count);
    switch (layout().int_header) {
      case cpython::IntHeader::signed_size:
        memory().put(object + layout().object.var_size, is_negative ? -size : size);
        break;
      case cpython::IntHeader::tag:
        memory().put(object + layout().object.var_size, size << 3 |
                                                            (size == 0     ? 1
                                                             : is_negative ? 2
                                                                           : 0) |
                                                            4);  // 4: immortal
        break;
    }
    for (std::size_t i = 0; i < digits.size(); ++i) memory().put(object + layout().integer.digits + 4 * i, digits[i]);
    return object;
  }

  interpreter::Runtime runtime_;
  std::map<std::string, Address> builtins_;
};

}  // namespace pyagent::test
