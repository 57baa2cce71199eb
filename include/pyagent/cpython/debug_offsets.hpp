// The offsets that an interpreter since 3.13 tells about itself: _Py_DebugOffsets. signal-safe
//
// The table stands at the start of _PyRuntime, and as plain bytes in the section .PyRuntime of the file. It belongs to
// the target and so is not trusted: sizes have limits, each field lies within its structure, and is aligned.
#pragma once

#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <cstring>  // memcmp, memcpy
#include <span>     // span

#include "pyagent/base/address.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts.hpp"
#include "pyagent/cpython/layouts/debug_offsets_shape.hpp"
#include "pyagent/cpython/version.hpp"

namespace pyagent::inline v0::cpython {

/// First bytes of each table. Source: v3.13.0, Include/internal/pycore_runtime.h, _Py_Debug_Cookie
inline constexpr char debug_offsets_cookie[] = "xdebugpy";

/// No interpreter or runtime state is larger; the largest known, of 3.15t with Py_DEBUG, has 425,368 bytes.
inline constexpr std::uint64_t max_state_size = std::uint64_t{16} << 20;
/// No thread state, frame or object header is larger; the largest known, PyHeapTypeObject, has under 1,000 bytes.
inline constexpr std::uint64_t max_structure_size = 4096;

/// What a table says about the build it is part of.
struct DebugOffsetsHeader {
  Version version;
  bool free_threaded = false;
};

/// No table is longer, and every _PyRuntime that starts with one is: that many bytes are always there to be read.
inline constexpr std::size_t max_debug_offsets_size = 4096;

namespace detail {

/// Takes values out of a table. After the first one that cannot be true it takes no more, and keeps where that was.
class DebugOffsetsReader {
 public:
  explicit DebugOffsetsReader(std::span<const std::byte> table) noexcept : table_(table) {}

  bool ok() const noexcept { return ok_; }
  Error error() const noexcept { return {Errc::damaged, Address{damaged_at_}}; }

  std::uint64_t value(std::uint16_t position) const noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, table_.data() + position, sizeof(value));
    return value;
  }

  /// Size of a structure. One that this table has no entry for is bounded by the limit alone.
  std::uint64_t size(std::uint16_t position, std::uint64_t limit) noexcept {
    if (position == 0) return limit;
    const auto size = value(position);
    if (size == 0 || size > limit) fail(position);
    return size;
  }

  /// Where a field of `width` bytes is, within `begin` to `size` of its structure.
  std::uint64_t offset(std::uint16_t position, std::uint64_t begin, std::uint64_t size, std::uint64_t width) noexcept {
    const auto offset = value(position);
    if (offset < begin || offset > size || size - offset < width || offset % width != 0) fail(position);
    return offset;
  }

  /// As `offset`, into `field`. A table without that entry leaves the field as it is.
  void take(Offset& field, std::uint16_t position, std::uint64_t begin, std::uint64_t size,
            std::uint64_t width) noexcept {
    if (position == 0 || !ok_) return;
    if (const auto at = offset(position, begin, size, width); ok_) field = static_cast<Offset>(at);
  }

  void fail(std::uint16_t position) noexcept {
    if (ok_) damaged_at_ = position;
    ok_ = false;
  }

 private:
  std::span<const std::byte> table_;
  std::uint64_t damaged_at_ = 0;
  bool ok_ = true;
};

inline void take_states(DebugOffsetsReader& reader, const DebugOffsetsShape& shape, Layout& layout) noexcept {
  const auto& runtime = shape.runtime_state;
  const auto runtime_size = reader.size(runtime.size, max_state_size);
  reader.take(layout.runtime.finalizing, runtime.finalizing, 0, runtime_size, 8);
  reader.take(layout.runtime.interpreters_head, runtime.interpreters_head, 0, runtime_size, 8);

  const auto& interpreter = shape.interpreter_state;
  const auto size = reader.size(interpreter.size, max_state_size);
  if (reader.ok()) layout.interpreter.size = static_cast<Offset>(size);
  reader.take(layout.interpreter.id, interpreter.id, 0, size, 8);
  reader.take(layout.interpreter.next, interpreter.next, 0, size, 8);
  reader.take(layout.interpreter.threads_head, interpreter.threads_head, 0, size, 8);
  reader.take(layout.interpreter.modules, interpreter.imports_modules, 0, size, 8);
  reader.take(layout.interpreter.gil, interpreter.ceval_gil, 0, size, 8);
  reader.take(layout.interpreter.code_object_generation, interpreter.code_object_generation, 0, size, 8);

  // Of the GIL the table has places inside the interpreter's own one; `enabled` alone counts from the GIL's start.
  const auto gil = reader.offset(interpreter.gil_runtime_state, 0, size, 8);
  Offset locked = 0;
  Offset last_holder = 0;
  reader.take(locked, interpreter.gil_runtime_state_locked, gil, size, 4);
  reader.take(last_holder, interpreter.gil_runtime_state_holder, gil, size, 8);
  if (reader.ok()) {
    layout.gil.locked = locked - static_cast<Offset>(gil);
    layout.gil.last_holder = last_holder - static_cast<Offset>(gil);
  }
  if (layout.flags.free_threaded)
    reader.take(layout.gil.enabled, interpreter.gil_runtime_state_enabled, 0, size - gil, 4);

  const auto gc = reader.offset(interpreter.gc, 0, size, 8);
  Offset collecting = 0;
  const auto gc_size = reader.size(shape.gc.size, max_structure_size);
  if (reader.ok() && gc_size > size - gc) reader.fail(shape.gc.size);
  reader.take(collecting, shape.gc.collecting, 0, gc_size, 4);
  if (reader.ok()) layout.interpreter.gc_collecting = static_cast<Offset>(gc) + collecting;
}

inline void take_thread(DebugOffsetsReader& reader, const DebugOffsetsShape& shape, Layout& layout) noexcept {
  const auto& thread = shape.thread_state;
  const auto size = reader.size(thread.size, max_structure_size);
  if (reader.ok()) layout.thread.size = static_cast<Offset>(size);
  reader.take(layout.thread.prev, thread.prev, 0, size, 8);
  reader.take(layout.thread.next, thread.next, 0, size, 8);
  reader.take(layout.thread.interpreter, thread.interp, 0, size, 8);
  reader.take(layout.thread.frame, thread.current_frame, 0, size, 8);
  reader.take(layout.thread.base_frame, thread.base_frame, 0, size, 8);
  reader.take(layout.thread.thread_id, thread.thread_id, 0, size, 8);
  reader.take(layout.thread.native_thread_id, thread.native_thread_id, 0, size, 8);
  reader.take(layout.thread.datastack_chunk, thread.datastack_chunk, 0, size, 8);
  reader.take(layout.thread.status, thread.status, 0, size, 4);
}

inline void take_frame(DebugOffsetsReader& reader, const DebugOffsetsShape& shape, Layout& layout) noexcept {
  const auto& frame = shape.interpreter_frame;
  const auto size = reader.size(frame.size, max_structure_size);
  reader.take(layout.frame.previous, frame.previous, 0, size, 8);
  reader.take(layout.frame.code, frame.executable, 0, size, 8);
  reader.take(layout.frame.instruction, frame.instr_ptr, 0, size, 8);
  reader.take(layout.frame.locals, frame.localsplus, 8, size, 8);
  reader.take(layout.frame.owner, frame.owner, 0, size, 1);
  reader.take(layout.frame.stack_top, frame.stackpointer, 0, size, 8);
  if (layout.flags.free_threaded) reader.take(layout.frame.tlbc_index, frame.tlbc_index, 0, size, 4);
  layout.frame.size = layout.frame.locals;
}

inline void take_code(DebugOffsetsReader& reader, const DebugOffsetsShape& shape, Layout& layout) noexcept {
  const auto& code = shape.code_object;
  const auto size = reader.size(code.size, max_structure_size);
  const auto begin = layout.object.size;
  if (reader.ok()) layout.code.size = static_cast<Offset>(size);
  reader.take(layout.code.filename, code.filename, begin, size, 8);
  reader.take(layout.code.name, code.name, begin, size, 8);
  reader.take(layout.code.qualname, code.qualname, begin, size, 8);
  reader.take(layout.code.lines, code.linetable, begin, size, 8);
  reader.take(layout.code.firstlineno, code.firstlineno, begin, size, 4);
  reader.take(layout.code.argcount, code.argcount, begin, size, 4);
  reader.take(layout.code.names_of_locals, code.localsplusnames, begin, size, 8);
  reader.take(layout.code.kinds_of_locals, code.localspluskinds, begin, size, 8);
  reader.take(layout.code.adaptive, code.co_code_adaptive, begin, size, 2);
  if (layout.flags.free_threaded) reader.take(layout.code.tlbc, code.co_tlbc, begin, size, 8);
}

inline void take_objects(DebugOffsetsReader& reader, const DebugOffsetsShape& shape, Layout& layout) noexcept {
  const auto begin = layout.object.size;
  const auto type_size = reader.size(shape.type_object.size, max_structure_size);
  reader.take(layout.type.name, shape.type_object.tp_name, begin, type_size, 8);
  reader.take(layout.type.flags, shape.type_object.tp_flags, begin, type_size, 8);
  reader.take(layout.type.basicsize, shape.type_object.tp_basicsize, begin, type_size, 8);
  reader.take(layout.type.dictoffset, shape.type_object.tp_dictoffset, begin, type_size, 8);
  const auto heap_type_size = reader.size(shape.heap_type_object.size, max_structure_size);
  reader.take(layout.type.cached_keys, shape.heap_type_object.ht_cached_keys, begin, heap_type_size, 8);

  const auto tuple_size = reader.size(shape.tuple_object.size, max_structure_size);
  reader.take(layout.tuple.items, shape.tuple_object.ob_item, begin, tuple_size, 8);
  reader.take(layout.object.var_size, shape.tuple_object.ob_size, begin, tuple_size, 8);

  const auto list_size = reader.size(shape.list_object.size, max_structure_size);
  reader.take(layout.list.items, shape.list_object.ob_item, begin, list_size, 8);

  const auto set_size = reader.size(shape.set_object.size, max_structure_size);
  reader.take(layout.set.used, shape.set_object.used, begin, set_size, 8);
  reader.take(layout.set.mask, shape.set_object.mask, begin, set_size, 8);
  reader.take(layout.set.table, shape.set_object.table, begin, set_size, 8);

  const auto float_size = reader.size(shape.float_object.size, max_structure_size);
  reader.take(layout.floating.value, shape.float_object.ob_fval, begin, float_size, 8);
  const auto int_size = reader.size(shape.long_object.size, max_structure_size);
  reader.take(layout.integer.digits, shape.long_object.ob_digit, begin, int_size, 4);

  const auto dict_size = reader.size(shape.dict_object.size, max_structure_size);
  reader.take(layout.dict.keys, shape.dict_object.ma_keys, begin, dict_size, 8);
  reader.take(layout.dict.values, shape.dict_object.ma_values, begin, dict_size, 8);

  const auto bytes_size = reader.size(shape.bytes_object.size, max_structure_size);
  reader.take(layout.bytes.data, shape.bytes_object.ob_sval, begin, bytes_size, 1);

  // The characters of a compact string follow its header, so the headers' sizes are offsets as well.
  const auto& unicode = shape.unicode_object;
  const auto unicode_size = reader.size(unicode.size, max_structure_size);
  reader.take(layout.unicode.state, unicode.state, begin, unicode_size, 4);
  reader.take(layout.unicode.length, unicode.length, begin, unicode_size, 8);
  reader.take(layout.unicode.ascii_data, unicode.asciiobject_size, begin, unicode_size, 8);
  reader.take(layout.unicode.compact_data, unicode.compactunicodeobject_size, begin, unicode_size, 8);
  layout.unicode.data = layout.unicode.compact_data;

  const auto generator_size = reader.size(shape.gen_object.size, max_structure_size);
  reader.take(layout.generator.frame, shape.gen_object.gi_iframe, begin, generator_size, 8);
  reader.take(layout.generator.frame_state, shape.gen_object.gi_frame_state, begin, generator_size, 1);
}

}  // namespace detail

/// Version and build of the interpreter whose table starts with these bytes.
///
/// Errors: truncated for less than 24 bytes; damaged when they are not the start of a table.
[[nodiscard]] inline Result<DebugOffsetsHeader> read_debug_offsets_header(std::span<const std::byte> table) noexcept {
  if (table.size() < 24) return Error{Errc::truncated, Address{table.size()}};
  if (std::memcmp(table.data(), debug_offsets_cookie, 8) != 0) return Error{Errc::damaged};
  const detail::DebugOffsetsReader reader{table};
  const auto version = reader.value(8);
  if (version >> 32 != 0) return Error{Errc::damaged, Address{8}};
  const auto free_threaded = reader.value(16);
  if (free_threaded > 1) return Error{Errc::damaged, Address{16}};
  return DebugOffsetsHeader{Version::from_hex(static_cast<std::uint32_t>(version)), free_threaded == 1};
}

/// `layout` with every field that the table has taken from the table, which is right where the two disagree: it was
/// compiled into the target. Not for handlers; a Layout is larger than their stack has room for.
///
/// Units:  Error::where is the position in the table, in bytes.
/// Errors: truncated when `shape` is longer than `table`; damaged when the table is of another version or build than
///         `layout`, or has a size or an offset that cannot be true.
[[nodiscard]] inline Result<Layout> with_debug_offsets(Layout layout, const DebugOffsetsShape& shape,
                                                       std::span<const std::byte> table) noexcept {
  const auto header = read_debug_offsets_header(table);
  if (!header) return header.error();
  if (!layout.version.is_minor(header->version.major, header->version.minor)) return Error{Errc::damaged, Address{8}};
  if (header->free_threaded != layout.flags.free_threaded) return Error{Errc::damaged, Address{16}};
  if (table.size() < shape.size) return Error{Errc::truncated, Address{table.size()}};

  detail::DebugOffsetsReader reader{table};
  layout.version = header->version;
  const auto object_size = reader.size(shape.pyobject.size, max_structure_size);
  if (reader.ok()) layout.object.size = static_cast<Offset>(object_size);
  reader.take(layout.object.type, shape.pyobject.ob_type, 0, object_size, 8);
  detail::take_states(reader, shape, layout);
  detail::take_thread(reader, shape, layout);
  detail::take_frame(reader, shape, layout);
  detail::take_code(reader, shape, layout);
  detail::take_objects(reader, shape, layout);
  if (!reader.ok()) return reader.error();
  return layout;
}

/// As above, with the shape that layout_rows has for the version of `layout`; unsupported_version where it has none.
[[nodiscard]] inline Result<Layout> with_debug_offsets(Layout layout, std::span<const std::byte> table) noexcept {
  const LayoutRow* const row = find_layout_row(layout.version);
  if (row == nullptr || row->debug_offsets == nullptr) return Error{Errc::unsupported_version};
  return with_debug_offsets(layout, *row->debug_offsets, table);
}

/// Layout of the interpreter that this table is part of. Not for handlers.
///
/// A version newer than the last row is read as that row with the table's offsets over it. The table lacks much of what
/// readers need, so such a Layout is a guess, and find_layout_row knows no row for its version: the caller uses it only
/// after a self-check of the target has passed. A described version has no such condition.
///
/// Errors: as with_debug_offsets; unsupported_version for pre-releases, and for anything older than 3.13.
[[nodiscard]] inline Result<Layout> layout_from_debug_offsets(std::span<const std::byte> table) noexcept {
  const auto header = read_debug_offsets_header(table);
  if (!header) return header.error();
  const BuildFlags flags{.free_threaded = header->free_threaded};
  if (const auto known = find_layout(header->version, flags)) return with_debug_offsets(*known, table);

  const LayoutRow& newest = layout_rows.back();
  const Version version = header->version;
  const bool is_newer = version.major == newest.layout->version.major && version > newest.layout->version;
  if (!version.is_final() || !is_newer) return Error{Errc::unsupported_version};
  Layout layout = flags.free_threaded ? *newest.free_threaded : *newest.layout;
  layout.version = version;
  return with_debug_offsets(layout, *newest.debug_offsets, table);
}

}  // namespace pyagent::inline v0::cpython
