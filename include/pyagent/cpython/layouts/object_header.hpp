// What a longer object header does to a Layout: Py_TRACE_REFS and Py_GIL_DISABLED. signal-safe
#pragma once

#include "pyagent/cpython/layout.hpp"

namespace pyagent::inline v0::cpython {

/// sizeof(PyObject) with the two list links of Py_TRACE_REFS, or with what Py_GIL_DISABLED keeps in each object.
/// Source: v3.6.15, Include/object.h (_PyObject_HEAD_EXTRA); v3.13.0, Include/object.h (_object, Py_GIL_DISABLED)
inline constexpr Offset long_object_header = 32;

/// `layout` for objects whose header has `size` bytes: fields of objects move, and ob_type stays the header's last.
///
/// Thread, interpreter and runtime states, dict keys and _PyInterpreterFrame are no objects and stay as they are.
constexpr Layout with_object_header(Layout layout, Offset size) noexcept {
  const Offset shift = size - layout.object.size;
  const auto move = [shift](auto&... fields) { ((fields += fields == absent ? 0 : shift), ...); };

  move(layout.object.size, layout.object.type, layout.object.var_size);
  auto& code = layout.code;
  move(code.size, code.argcount, code.kwonlyargcount, code.flags, code.firstlineno, code.filename, code.name);
  move(code.qualname, code.lines, code.code, code.adaptive, code.names_of_locals, code.names_of_cells);
  move(code.names_of_frees, code.kinds_of_locals, code.nlocalsplus);
  move(code.stacksize, code.framesize, code.firsttraceable, code.version, code.tlbc);
  auto& type = layout.type;
  move(type.name, type.basicsize, type.flags, type.dict, type.dictoffset, type.mro, type.cached_keys);
  auto& unicode = layout.unicode;
  move(unicode.length, unicode.hash, unicode.state, unicode.ascii_data, unicode.compact_data, unicode.data);
  move(layout.bytes.data, layout.bytes.hash, layout.bytearray.start);
  move(layout.tuple.items, layout.list.items, layout.integer.digits, layout.floating.value);
  move(layout.set.used, layout.set.mask, layout.set.table);
  move(layout.dict.keys, layout.dict.values, layout.dict.used);
  move(layout.generator.frame, layout.generator.frame_state);
  move(layout.function.code, layout.function.qualname, layout.function.callable, layout.function.property_get);
  move(layout.cell.contents, layout.module.dict);
  if (layout.frame_chain == FrameChain::frame_object) {  // PyFrameObject
    auto& frame = layout.frame;
    move(frame.size, frame.previous, frame.code, frame.instruction, frame.locals, frame.executing);
    move(frame.globals, frame.scope);
  }
  return layout;
}

/// `layout` as Py_GIL_DISABLED makes it, as far as that is the same in each version since 3.13.
///
/// Source: v3.13.0, Include/object.h, Include/internal/pycore_gil.h (Py_GIL_DISABLED)
constexpr Layout with_free_threading(Layout layout) noexcept {
  layout = with_object_header(layout, long_object_header);
  layout.flags.free_threaded = true;
  layout.gil_holder = GilHolder::attached;
  layout.gil.enabled = 0;
  layout.gil.last_holder = 16;
  layout.gil.locked = 24;
  return layout;
}

}  // namespace pyagent::inline v0::cpython
