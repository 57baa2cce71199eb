// CPython 3.14: 3.13 except for the fields below. signal-safe
// Source: v3.14.0 and v3.14.10,
// Include/internal/{pycore_runtime_structs,pycore_interp_structs,pycore_interpframe_structs}.h,
// Include/cpython/{pystate,code,tupleobject}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/debug_offsets_shape.hpp"
#include "pyagent/cpython/layouts/object_header.hpp"
#include "pyagent/cpython/layouts/v3_13.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.14.
inline constexpr Layout layout_v3_14 = [] {
  Layout layout = layout_v3_13;
  layout.version = {3, 14};

  layout.executable_tag_mask = 3;

  layout.runtime.finalizing = 784;
  layout.runtime.interpreters_head = 808;
  layout.runtime.interpreters_main = 816;
  layout.runtime.main_thread = 832;
  layout.runtime.tss_key = 2336;

  layout.interpreter.size = 225864;
  layout.interpreter.next = 7272;
  layout.interpreter.id = 7280;
  layout.interpreter.modules = 7688;
  layout.interpreter.code_object_generation = 7992;

  layout.thread.size = 824;  // 832 in 3.14.10
  layout.thread.state = 44;

  layout.frame.size = 80;
  layout.frame.locals = 80;
  layout.frame.owner = 74;

  layout.code.size = 216;
  layout.code.adaptive = 208;
  layout.code.firsttraceable = 192;

  layout.tuple.items = 32;
  return layout;
}();

/// What thread-local bytecode adds to a free-threaded build: an index in the frame, an array in the code object.
/// Source: v3.14.0, Include/internal/pycore_interpframe_structs.h, Include/cpython/code.h (Py_GIL_DISABLED)
constexpr Layout with_thread_local_bytecode(Layout layout) noexcept {
  layout.string_state = StringState::free_threaded;
  layout.frame.tlbc_index = 72;
  layout.frame.owner = 78;
  layout.code.size = 240;
  layout.code.tlbc = 224;
  layout.code.adaptive = 232;
  return layout;
}

/// CPython 3.14 built with Py_GIL_DISABLED.
inline constexpr Layout layout_v3_14t = [] {
  Layout layout = with_thread_local_bytecode(with_free_threading(layout_v3_14));
  layout.interpreter.size = 246656;  // 249976 in 3.14.10
  layout.interpreter.modules = 7712;
  layout.interpreter.code_object_generation = 8024;
  return layout;
}();

/// Positions in the `_Py_DebugOffsets` of CPython 3.14.
/// Source: v3.14.10, Include/internal/pycore_debug_offsets.h
inline constexpr DebugOffsetsShape debug_offsets_v3_14 = [] {
  DebugOffsetsShape shape = debug_offsets_v3_13;
  shape.size = 760;

  shape.interpreter_state.gc = 88;
  shape.interpreter_state.imports_modules = 96;
  shape.interpreter_state.ceval_gil = 120;
  shape.interpreter_state.gil_runtime_state = 128;
  shape.interpreter_state.gil_runtime_state_enabled = 136;
  shape.interpreter_state.gil_runtime_state_locked = 144;
  shape.interpreter_state.gil_runtime_state_holder = 152;
  shape.interpreter_state.code_object_generation = 160;

  shape.thread_state.size = 176;
  shape.thread_state.prev = 184;
  shape.thread_state.next = 192;
  shape.thread_state.interp = 200;
  shape.thread_state.current_frame = 208;
  shape.thread_state.thread_id = 216;
  shape.thread_state.native_thread_id = 224;
  shape.thread_state.datastack_chunk = 232;
  shape.thread_state.status = 240;

  shape.interpreter_frame.size = 248;
  shape.interpreter_frame.previous = 256;
  shape.interpreter_frame.executable = 264;
  shape.interpreter_frame.instr_ptr = 272;
  shape.interpreter_frame.localsplus = 280;
  shape.interpreter_frame.owner = 288;
  shape.interpreter_frame.stackpointer = 296;
  shape.interpreter_frame.tlbc_index = 304;

  shape.code_object.size = 312;
  shape.code_object.filename = 320;
  shape.code_object.name = 328;
  shape.code_object.qualname = 336;
  shape.code_object.linetable = 344;
  shape.code_object.firstlineno = 352;
  shape.code_object.argcount = 360;
  shape.code_object.localsplusnames = 368;
  shape.code_object.localspluskinds = 376;
  shape.code_object.co_code_adaptive = 384;
  shape.code_object.co_tlbc = 392;

  shape.pyobject.size = 400;
  shape.pyobject.ob_type = 408;

  shape.type_object.size = 416;
  shape.type_object.tp_name = 424;
  shape.type_object.tp_flags = 440;

  shape.tuple_object.size = 448;
  shape.tuple_object.ob_item = 456;
  shape.tuple_object.ob_size = 464;

  shape.list_object.size = 472;
  shape.list_object.ob_item = 480;

  shape.set_object.size = 496;
  shape.set_object.used = 504;
  shape.set_object.table = 512;
  shape.set_object.mask = 520;

  shape.dict_object.size = 528;
  shape.dict_object.ma_keys = 536;
  shape.dict_object.ma_values = 544;

  shape.float_object.size = 552;
  shape.float_object.ob_fval = 560;

  shape.long_object.size = 568;
  shape.long_object.ob_digit = 584;

  shape.bytes_object.size = 592;
  shape.bytes_object.ob_sval = 608;

  shape.unicode_object.size = 616;
  shape.unicode_object.state = 624;
  shape.unicode_object.length = 632;
  shape.unicode_object.asciiobject_size = 640;

  shape.gc.size = 648;
  shape.gc.collecting = 656;

  shape.gen_object.size = 664;
  shape.gen_object.gi_iframe = 680;
  shape.gen_object.gi_frame_state = 688;
  return shape;
}();

}  // namespace pyagent::inline v0::cpython
