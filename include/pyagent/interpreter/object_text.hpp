// Objects of the target as text, much as repr() would show them, without running anything there.
#pragma once

#include <algorithm>    // find, max, min
#include <array>        // array
#include <bit>          // bit_width
#include <cstddef>      // byte, size_t
#include <cstdint>      // int64_t, uint64_t
#include <cstring>      // memcpy
#include <optional>     // optional
#include <span>         // span
#include <string>       // string, u32string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/cpython/read_dict.hpp"
#include "pyagent/cpython/read_int.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/interpreter/literal.hpp"
#include "pyagent/interpreter/object_type.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/memory/limited_memory.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::interpreter {

/// How much of a value is shown. What is left out is marked by `...`.
struct TextLimits {
  std::size_t characters = 128;     ///< bytes of text; marks and closing brackets may come on top
  std::size_t items = 64;           ///< of one list, tuple, dict or set
  std::size_t depth = 6;            ///< of containers within containers
  std::size_t reads = 16384;        ///< of the target's memory for one text
  std::size_t all_reads = 1 << 18;  ///< for all texts of one ObjectWriter
};

/// Writes objects of one process as text. Types are read once and kept: for the objects of one moment, not for long.
template <memory::Memory M>
class ObjectWriter {
 public:
  ObjectWriter(const M& memory, const Runtime& runtime, const TextLimits& limits)
      : memory_(memory),
        layout_(runtime.layout),
        limits_(limits),
        types_(memory_, layout_),
        reads_left_(limits.all_reads) {}
  ObjectWriter(const ObjectWriter&) = delete;

  /// The text of one object; `<unreadable at 0x...>` if there is none.
  std::string text(Address object) {
    const std::size_t allowed = std::min(limits_.reads, reads_left_);
    memory_.allow(allowed);
    out_.clear();
    write(object);
    reads_left_ -= allowed - memory_.left();
    return std::move(out_);
  }

  /// What kind of value it is; `other` when it can't be read.
  ValueKind kind_of(Address object) {
    constexpr std::size_t reads_of_a_type = 128;
    memory_.allow(std::min(reads_of_a_type, reads_left_));
    const ObjectType* const type = find_type(object);
    return type != nullptr ? type->kind : ValueKind::other;
  }

 private:
  /// Items or bytes an object may have at most; more do not fit into an address space.
  static constexpr std::uint64_t max_size = std::uint64_t{1} << 47;

  bool is_full() const noexcept { return out_.size() >= limits_.characters || memory_.is_spent(); }
  std::size_t room() const noexcept { return limits_.characters - std::min(out_.size(), limits_.characters); }

  const ObjectType* find_type(Address object) {
    const auto type = memory::read_pointer(memory_, object + layout_.object.type);
    return type ? types_.find(*type) : nullptr;
  }

  void write_address(std::string_view what, Address object) {
    out_.append(1, '<').append(what).append(" at 0x");
    detail::append_hex(out_, object.value, 0);
    out_ += '>';
  }

  void write_unreadable(std::string_view name, Address object) {
    if (memory_.is_spent())
      out_ += "...";
    else
      write_address(std::string{name.empty() ? "unreadable" : "unreadable "}.append(name), object);
  }

  void write(Address object) {
    if (is_full()) {
      out_ += "...";
      return;
    }
    const ObjectType* const found = find_type(object);
    if (found == nullptr) return write_unreadable("", object);
    const ObjectType type = *found;
    const std::size_t start = out_.size();
    const bool is_open = is_wrapped(type);
    if (is_open) out_ += type.name + (type.kind == ValueKind::tuple ? "" : "(");
    if (!write_value(object, type)) {
      out_.resize(start);
      return write_unreadable(type.name, object);
    }
    if (is_open && type.kind != ValueKind::tuple) out_ += ')';
  }

  /// True for what is written as `Name(value)`; a tuple brings its own parentheses.
  static bool is_wrapped(const ObjectType& type) noexcept {
    switch (type.kind) {
      case ValueKind::integer:
      case ValueKind::floating:
      case ValueKind::complex:
      case ValueKind::string:
      case ValueKind::bytes:
      case ValueKind::list:
      case ValueKind::tuple: return !type.is_exact;
      case ValueKind::dict: return !type.is_exact || type.name != "dict";
      case ValueKind::bytearray:
      case ValueKind::numpy_bool:
      case ValueKind::numpy_signed:
      case ValueKind::numpy_unsigned:
      case ValueKind::numpy_float: return true;
      case ValueKind::other:
      case ValueKind::none:
      case ValueKind::ellipsis:
      case ValueKind::not_implemented:
      case ValueKind::boolean:
      case ValueKind::set:  // see write_set
      case ValueKind::type:
      case ValueKind::function:
      case ValueKind::module:
      case ValueKind::cell: return false;
    }
    return false;
  }

  /// False when the object can't be read; what has been written by then is for the caller to remove.
  bool write_value(Address object, const ObjectType& type) {
    switch (type.kind) {
      case ValueKind::none: out_ += "None"; return true;
      case ValueKind::ellipsis: out_ += "Ellipsis"; return true;
      case ValueKind::not_implemented: out_ += "NotImplemented"; return true;
      case ValueKind::boolean: return write_bool(object);
      case ValueKind::integer: return write_int(object);
      case ValueKind::floating: return write_float<double>(object + layout_.floating.value);
      case ValueKind::complex: return write_complex(object);
      case ValueKind::string: return write_string(object);
      case ValueKind::bytes: return write_bytes(object + layout_.bytes.data, object);
      case ValueKind::bytearray: return write_bytearray(object);
      case ValueKind::list: return write_list(object);
      case ValueKind::tuple: return write_tuple(object, type.is_exact);
      case ValueKind::dict: return write_dict(object, is_wrapped(type) ? "" : "{}");
      case ValueKind::set: return write_set(object, type);
      case ValueKind::type: return write_class(object);
      case ValueKind::function: return write_function(object);
      case ValueKind::module: return write_module(object);
      case ValueKind::numpy_bool:
      case ValueKind::numpy_signed:
      case ValueKind::numpy_unsigned:
      case ValueKind::numpy_float: return write_number(object, type);
      case ValueKind::cell:
      case ValueKind::other: write_address(type.name, object); return true;
    }
    return false;
  }

  // --- single values ---

  bool write_bool(Address object) {
    const auto head = cpython::read_int_head(memory_, layout_, object);
    if (head) out_ += head->digits != 0 ? "True" : "False";
    return bool{head};
  }

  bool write_int(Address object) {
    const auto head = cpython::read_int_head(memory_, layout_, object);
    if (!head) return false;
    if (decimal_digits(head->digits * bits_in_digit) > std::max<std::size_t>(room(), 40))
      return write_int_size(object, head->digits);
    std::vector<std::uint32_t> digits(static_cast<std::size_t>(head->digits));
    if (cpython::read_int_digits(memory_, layout_, object, digits) != Errc::ok) return false;
    append_int(out_, head->is_negative, digits);
    return true;
  }

  bool write_int_size(Address object, std::uint64_t digits) {
    const std::uint64_t above = 4 * (digits - 1);
    const auto top = memory::read_value<std::uint32_t>(memory_, object + layout_.integer.digits + above);
    if (top) out_ += "<int of " + std::to_string((digits - 1) * bits_in_digit + std::bit_width(*top)) + " bits>";
    return bool{top};
  }

  template <class Float>
  bool write_float(Address at) {
    const auto value = memory::read_value<Float>(memory_, at);
    if (value) append_float(out_, *value);
    return bool{value};
  }

  bool write_complex(Address object) {
    const auto value = memory::read_value<std::array<double, 2>>(memory_, object + layout_.floating.value);
    if (value) append_complex(out_, (*value)[0], (*value)[1]);
    return bool{value};
  }

  bool write_number(Address object, const ObjectType& type) {
    const Address at = object + layout_.object.size;
    if (type.kind == ValueKind::numpy_float) return type.size == 4 ? write_float<float>(at) : write_float<double>(at);
    std::array<std::byte, 8> bytes{};
    if (memory_.read(at, std::span{bytes}.first(type.size)) != Errc::ok) return false;
    const auto value = cpython::field_at<std::uint64_t>(bytes, 0);
    const unsigned unused = 64 - 8u * type.size;
    if (type.kind == ValueKind::numpy_bool)
      out_ += value != 0 ? "True" : "False";
    else if (type.kind == ValueKind::numpy_signed)
      out_ += std::to_string(static_cast<std::int64_t>(value << unused) >> unused);
    else
      out_ += std::to_string(value);
    return true;
  }

  /// Up to `most` characters; nothing when they can't be read.
  std::optional<std::u32string> read_characters(Address object, std::size_t most) const {
    const auto head = cpython::read_string_head(memory_, layout_, object);
    if (!head || head->length > max_size) return std::nullopt;
    const auto data = cpython::read_string_data(memory_, layout_, object, *head);
    if (!data) return std::nullopt;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(head->length, most));
    std::vector<std::byte> bytes(count * head->kind);
    if (count != 0 && memory_.read(*data, bytes) != Errc::ok) return std::nullopt;
    std::u32string characters(count, U'\0');
    for (std::size_t i = 0; i < count; ++i) std::memcpy(&characters[i], bytes.data() + i * head->kind, head->kind);
    return characters;
  }

  bool write_string(Address object) {
    const auto characters = read_characters(object, room() + 1);
    if (characters && !append_str(out_, *characters, limits_.characters)) out_ += "...";
    return characters.has_value();
  }

  /// How many items or bytes an object of varying size has.
  std::optional<std::uint64_t> read_size(Address object) const {
    const auto size = memory::read_value<std::uint64_t>(memory_, object + layout_.object.var_size);
    return size && *size <= max_size ? std::optional{*size} : std::nullopt;
  }

  /// The bytes at `data`, as many as the header of `object` says.
  bool write_bytes(Address data, Address object) {
    const auto size = read_size(object);
    if (!size) return false;
    std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(*size, room() + 1)));
    if (!bytes.empty() && memory_.read(data, bytes) != Errc::ok) return false;
    if (!append_bytes(out_, bytes, limits_.characters)) out_ += "...";
    return true;
  }

  bool write_bytearray(Address object) {
    const auto start = memory::read_pointer(memory_, object + layout_.bytearray.start);
    return start && write_bytes(*start, object);
  }

  bool write_class(Address object) {
    const ObjectType* const type = types_.find(object);
    if (type != nullptr) out_ += "<class '" + type->name + "'>";
    return type != nullptr;
  }

  /// A name, without quotes.
  std::optional<std::string> read_name(const Result<Address>& string) const {
    std::array<char, 128> buffer;
    if (!string || !*string) return std::nullopt;
    const auto piece = cpython::read_string(memory_, layout_, *string, buffer);
    if (!piece) return std::nullopt;
    return std::string{buffer.data(), piece->size};
  }

  bool write_function(Address object) {
    const auto name = read_name(memory::read_pointer(memory_, object + layout_.function.qualname));
    if (name) write_address("function " + *name, object);
    return name.has_value();
  }

  bool write_module(Address object) {
    const auto dict = memory::read_pointer(memory_, object + layout_.module.dict);
    if (!dict) return false;
    const auto name = read_name(cpython::find_in_dict(memory_, layout_, *dict, "__name__"));
    if (name)
      out_ += "<module '" + *name + "'>";
    else
      write_address("module", object);
    return true;
  }

  // --- containers ---

  /// Writes `open`, what `write_items` writes, and `close`; or `open...close` for what is being written already, or
  /// lies too deep.
  template <class WriteItems>
  bool write_container(Address object, std::uint64_t size, std::string_view open, std::string_view close,
                       const WriteItems& write_items) {
    const bool is_inside_itself = std::find(path_.begin(), path_.end(), object) != path_.end();
    out_ += open;
    bool is_written = true;
    if (is_inside_itself || (size != 0 && path_.size() >= limits_.depth)) {
      out_ += "...";
    } else {
      path_.push_back(object);
      is_written = write_items();
      path_.pop_back();
    }
    out_ += close;
    return is_written;
  }

  /// True when there is room for item number `i`; else says that there would be more.
  bool begin_item(std::size_t i) {
    if (i != 0) out_ += ", ";
    if (i < limits_.items && !is_full()) return true;
    out_ += "...";
    return false;
  }

  bool write_items(Address items, std::uint64_t size) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size, std::min(limits_.items, room() + 1)));
    std::vector<Address> addresses(count);
    if (count != 0 && memory_.read(items, std::as_writable_bytes(std::span{addresses})) != Errc::ok) return false;
    for (std::size_t i = 0; i < size && begin_item(i) && i < count; ++i) write(addresses[i]);
    return true;
  }

  bool write_list(Address object) {
    const auto size = read_size(object);
    const auto items = memory::read_pointer(memory_, object + layout_.list.items);
    if (!size || !items) return false;
    return write_container(object, *size, "[", "]", [&] { return write_items(*items, *size); });
  }

  bool write_tuple(Address object, bool is_exact) {
    const auto size = read_size(object);
    if (!size) return false;
    const std::string_view close = is_exact && *size == 1 ? ",)" : ")";
    return write_container(object, *size, "(", close, [&] { return write_items(object + layout_.tuple.items, *size); });
  }

  bool write_dict(Address object, std::string_view empty) {
    const auto used = memory::read_value<std::uint64_t>(memory_, object + layout_.dict.used);
    const auto table = cpython::read_dict_table(memory_, layout_, object);
    if (!used || !table) return false;
    if (*used == 0) {
      out_ += empty;
      return true;
    }
    return write_container(object, *used, "{", "}", [&] {
      std::size_t shown = 0;
      const auto end = cpython::find_entry(memory_, *table, [&](const cpython::DictEntry& entry) noexcept {
        const auto value = cpython::read_entry_value(memory_, *table, entry);
        if (!value || !*value) return false;
        if (!begin_item(shown)) return true;
        ++shown;
        write(entry.key);
        out_ += ": ";
        write(*value);
        return false;
      });
      return end || is_end(end.error().code);
    });
  }

  /// True when a scan came to its end: of the table, or of the reads that are allowed.
  bool is_end(Errc stop) {
    if (stop != Errc::unreadable) return true;
    if (memory_.is_spent()) out_ += "...";
    return memory_.is_spent();
  }

  /// The keys of a set, in the order of its table.
  bool write_keys(Address table, std::uint64_t slots, std::uint64_t used) {
    struct Slot {
      Address key;
      std::int64_t hash;
    };
    constexpr std::int64_t no_hash = -1;  // of the dummy that stands for a removed key
    std::array<Slot, 32> buffer;
    std::size_t shown = 0;
    for (std::uint64_t first = 0; first < slots && shown < used; first += buffer.size()) {
      const auto piece =
          std::span{buffer}.first(static_cast<std::size_t>(std::min<std::uint64_t>(slots - first, buffer.size())));
      const Errc failed = memory_.read(table + first * sizeof(Slot), std::as_writable_bytes(piece));
      if (failed != Errc::ok) return is_end(failed);
      for (const Slot& slot : piece) {
        if (!slot.key || slot.hash == no_hash) continue;
        if (!begin_item(shown)) return true;
        ++shown;
        write(slot.key);
      }
    }
    return true;
  }

  bool write_set(Address object, const ObjectType& type) {
    const auto used = memory::read_value<std::uint64_t>(memory_, object + layout_.set.used);
    const auto mask = memory::read_value<std::uint64_t>(memory_, object + layout_.set.mask);
    const auto table = memory::read_pointer(memory_, object + layout_.set.table);
    if (!used || !mask || !table) return false;
    if (*used == 0) {
      out_ += type.name + "()";
      return true;
    }
    if (*used >= *mask) return false;  // a table always has room
    const bool is_plain = type.is_exact && type.name == "set";
    return write_container(object, *used, is_plain ? "{" : type.name + "({", is_plain ? "}" : "})",
                           [&] { return write_keys(*table, *mask + 1, *used); });
  }

  memory::LimitedMemory<M> memory_;
  const cpython::Layout& layout_;
  const TextLimits limits_;
  ObjectTypes<memory::LimitedMemory<M>> types_;
  std::size_t reads_left_;
  std::string out_;
  std::vector<Address> path_;  ///< containers that are being written, the outermost first
};

/// The object at `object` as text, within `limits`: `[1, 'two', {...}]`, `Point(1, 2)`, `<Server at 0x7f12a4b3c5d0>`.
///
/// Shape: UTF-8; names and texts of the target's choice may hold control characters only where repr() would write them,
///        in names of classes and functions.
/// Errors: none; an object that can't be read is `<unreadable at 0x...>`.
template <memory::Memory M>
std::string object_text(const M& memory, const Runtime& runtime, Address object, const TextLimits& limits = {}) {
  return ObjectWriter<M>{memory, runtime, limits}.text(object);
}

}  // namespace pyagent::inline v0::interpreter
