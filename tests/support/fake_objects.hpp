// Python objects built by hand for any Layout, each in memory of its own: a read that leaves its object fails.
#pragma once

#include <algorithm>         // max
#include <cstdlib>           // abort
#include <cstring>           // memcpy
#include <initializer_list>  // initializer_list
#include <iterator>          // prev
#include <map>               // map
#include <span>              // span
#include <string>            // u32string
#include <string_view>       // string_view
#include <vector>            // vector

#include "pyagent/cpython/layout.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::test {

/// Blocks of bytes with nothing between them.
class BlockMemory {
 public:
  static constexpr bool is_signal_safe = true;

  /// `size` zero bytes; `before` of them lie before the address given back.
  Address add(std::size_t size, std::size_t before = 0) {
    const std::uint64_t begin = next_;
    next_ += (size + before + 4095) / 16 * 16;
    blocks_[begin].resize(size + before);
    return {begin + before};
  }

  template <class T>
  void put(Address address, T value) {
    std::memcpy(find(address, sizeof value), &value, sizeof value);
  }
  void put(Address address, Address value) { put(address, value.value); }
  void put(Address address, std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(find(address, bytes.size()), bytes.data(), bytes.size());
  }

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    auto after = blocks_.upper_bound(address.value);
    if (after == blocks_.begin()) return Errc::unreadable;
    const auto& [begin, bytes] = *std::prev(after);
    const std::uint64_t at = address.value - begin;
    if (at > bytes.size() || out.size() > bytes.size() - at) return Errc::unreadable;
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + at, out.size());
    return Errc::ok;
  }

 private:
  std::byte* find(Address address, std::size_t size) {
    auto& [begin, bytes] = *std::prev(blocks_.upper_bound(address.value));
    const auto at = static_cast<std::size_t>(address.value - begin);
    if (at + size > bytes.size()) std::abort();  // the fake object is too small: an error in the test
    return bytes.data() + at;
  }

  std::map<std::uint64_t, std::vector<std::byte>> blocks_;
  std::uint64_t next_ = 0x7f3200000010;
};

/// What a fake str shall be beside its text.
struct FakeStr {
  std::int64_t hash = -1;
  bool is_subclass = false;  ///< the characters lie apart from the object
  unsigned kind = 0;         ///< bytes per character; 0: as few as will do
};

struct FakeEntry {
  std::int64_t hash = 0;
  Address key{};
  Address value{};
};

enum class FakeTable { general, all_str, split };

struct FakeCode {
  Address name{}, qualname{}, filename{}, lines{}, names_of_locals{}, type{};
  std::int32_t first_line = 1;
  std::uint32_t argcount = 0, flags = 0, stacksize = 0, nlocalsplus = 0, framesize = 0;
  std::uint64_t units = 0;
};

/// Builds objects as CPython lays them out.
class FakeObjects {
 public:
  explicit FakeObjects(const cpython::Layout& layout) : layout_(layout) {}

  BlockMemory& memory() { return memory_; }
  const cpython::Layout& layout() const { return layout_; }

  Address str(std::u32string_view text, FakeStr as = {}) {
    char32_t largest = 0;
    for (const char32_t c : text) largest = c > largest ? c : largest;
    const unsigned kind = as.kind != 0 ? as.kind : largest < 0x100 ? 1 : largest < 0x10000 ? 2 : 4;
    const bool is_ascii = kind == 1 && largest < 0x80;
    const auto& at = layout_.unicode;
    const std::size_t head = as.is_subclass ? at.data + 8 : is_ascii ? at.ascii_data : at.compact_data;
    const std::size_t size = (text.size() + 1) * kind;
    const Address object = memory_.add(head + (as.is_subclass ? 0 : size));
    const Address data = as.is_subclass ? memory_.add(size) : object + head;
    if (as.is_subclass) memory_.put(object + at.data, data);
    memory_.put(object + at.length, std::uint64_t{text.size()});
    memory_.put(object + at.hash, as.hash);
    const bool is_wide = layout_.string_state == cpython::StringState::free_threaded;
    const std::uint32_t bits = kind | (as.is_subclass ? 0u : 8u) | (is_ascii ? 16u : 0u);
    const std::uint32_t garbage = is_wide ? 0xabcd4001u : 0xabcdef01u;  // seen above the flags in 3.5 and 3.14t
    memory_.put(object + at.state, garbage | bits << (is_wide ? 8 : 2));
    for (std::size_t i = 0; i < text.size(); ++i)
      memory_.put(data + i * kind, std::as_bytes(std::span{&text[i], 1}).first(kind));
    return object;
  }

  Address str(std::string_view ascii, FakeStr as = {}) { return str(std::u32string{ascii.begin(), ascii.end()}, as); }

  Address bytes(std::string_view data, std::int64_t hash = -1) {
    const Address object = memory_.add(layout_.bytes.data + data.size() + 1);
    memory_.put(object + layout_.object.var_size, std::uint64_t{data.size()});
    memory_.put(object + layout_.bytes.hash, hash);
    memory_.put(object + layout_.bytes.data, std::as_bytes(std::span{data}));
    return object;
  }

  Address tuple(std::span<const Address> items) {
    const Address object = memory_.add(layout_.tuple.items + 8 * items.size());
    memory_.put(object + layout_.object.var_size, std::uint64_t{items.size()});
    for (std::size_t i = 0; i < items.size(); ++i) memory_.put(object + layout_.tuple.items + 8 * i, items[i]);
    return object;
  }
  Address tuple(std::initializer_list<Address> items) { return tuple(std::span{items.begin(), items.size()}); }

  Address c_string(std::string_view text) {
    const Address at = memory_.add((text.size() + 8) / 8 * 8);
    memory_.put(at, std::as_bytes(std::span{text}));
    return at;
  }

  /// A PyDictKeysObject of these entries; those of a split table hold no values.
  Address dict_keys(std::span<const FakeEntry> entries, FakeTable form) {
    using cpython::DictKeys;
    const auto& at = layout_.dict_keys;
    std::size_t log2 = 3;
    while ((std::size_t{1} << log2) < entries.size() * 3 / 2) ++log2;
    const std::size_t slots = std::size_t{1} << log2;
    const std::size_t width = slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4;
    const bool is_short = layout_.dict_keys_shape == DictKeys::log2_indices && form != FakeTable::general;
    const std::size_t entry_size = is_short ? 16 : 24;
    const std::size_t index_bytes = layout_.dict_keys_shape == DictKeys::entries_only ? 0 : slots * width;
    const Address keys = memory_.add(at.indices + index_bytes + slots * entry_size);
    switch (layout_.dict_keys_shape) {
      case DictKeys::entries_only: memory_.put(keys + at.size, std::uint64_t{slots}); break;
      case DictKeys::sized_indices:
        memory_.put(keys + at.size, std::uint64_t{slots});
        memory_.put(keys + at.nentries, std::uint64_t{entries.size()});
        break;
      case DictKeys::log2_indices:
        memory_.put(keys + at.size, static_cast<std::uint8_t>(log2));
        memory_.put(keys + at.index_bytes, static_cast<std::uint8_t>(log2 + (width == 1 ? 0 : width == 2 ? 1 : 2)));
        memory_.put(keys + at.kind, static_cast<std::uint8_t>(form));
        memory_.put(keys + at.nentries, std::uint64_t{entries.size()});
        break;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const Address behind = keys + at.indices + index_bytes + (i + 1) * entry_size;
      if (!is_short) memory_.put(behind - 24, entries[i].hash);
      memory_.put(behind - 16, entries[i].key);
      if (form != FakeTable::split) memory_.put(behind - 8, entries[i].value);
    }
    return keys;
  }

  /// A PyDictValues of the entries' values.
  Address dict_values(std::span<const FakeEntry> entries) {
    const std::uint64_t head = layout_.dict_keys.values == cpython::absent ? 0 : layout_.dict_keys.values;
    const Address values = memory_.add(head + 8 * entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) memory_.put(values + head + 8 * i, entries[i].value);
    return values;
  }

  Address dict(std::span<const FakeEntry> entries, FakeTable form = FakeTable::general) {
    const auto& at = layout_.dict;
    const Address object = memory_.add(std::max(at.keys, at.values) + 8);
    memory_.put(object + at.used, std::uint64_t{entries.size()});
    memory_.put(object + at.keys, dict_keys(entries, form));
    if (form == FakeTable::split) memory_.put(object + at.values, dict_values(entries));
    return object;
  }
  Address dict(std::initializer_list<FakeEntry> entries, FakeTable form = FakeTable::general) {
    return dict(std::span{entries.begin(), entries.size()}, form);
  }

  Address code(const FakeCode& values) {
    const auto& at = layout_.code;
    const Address object = memory_.add(at.size + 2 * values.units);
    const auto put = [&](cpython::Offset offset, auto value) {
      if (offset != cpython::absent) memory_.put(object + offset, value);
    };
    put(layout_.object.type, values.type);
    if (at.adaptive != cpython::absent) put(layout_.object.var_size, values.units);
    put(at.name, values.name);
    put(at.qualname, values.qualname);
    put(at.filename, values.filename);
    put(at.lines, values.lines);
    put(at.names_of_locals, values.names_of_locals);
    put(at.firstlineno, values.first_line);
    put(at.argcount, values.argcount);
    put(at.flags, values.flags);
    put(at.stacksize, values.stacksize);
    put(at.nlocalsplus, values.nlocalsplus);
    put(at.framesize, values.framesize);
    return object;
  }

  /// A type without base classes; `set_mro` gives it some.
  Address type(std::string_view name, Address dict = {}, std::uint64_t flags = 0, std::uint64_t basicsize = 0) {
    const auto& at = layout_.type;
    const Address object = memory_.add(std::max({at.cached_keys, at.mro, at.dictoffset}) + 8);
    memory_.put(object + at.name, c_string(name));
    memory_.put(object + at.dict, dict);
    memory_.put(object + at.flags, flags);
    memory_.put(object + at.basicsize, basicsize);
    memory_.put(object + at.mro, tuple({object}));
    return object;
  }
  void set_mro(Address type, std::initializer_list<Address> classes) { memory_.put(type + layout_.type.mro, tuple(classes)); }

  /// An object of `size` bytes behind its header, with `before` bytes before it.
  Address object(Address type, std::size_t size = 0, std::size_t before = 0) {
    const Address address = memory_.add(layout_.object.size + size, before);
    memory_.put(address + layout_.object.type, type);
    return address;
  }

 private:
  const cpython::Layout& layout_;
  BlockMemory memory_;
};

}  // namespace pyagent::test
