// CPython 3.13: 3.12 except for the fields below. signal-safe
// Source: v3.13.0, Include/internal/{pycore_runtime,pycore_interp,pycore_gil,pycore_dict}.h,
// Include/cpython/{pystate,code}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/debug_offsets_shape.hpp"
#include "pyagent/cpython/layouts/object_header.hpp"
#include "pyagent/cpython/layouts/v3_12.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.13.
inline constexpr Layout layout_v3_13 = [] {
  Layout layout = layout_v3_12;
  layout.version = {3, 13};

  layout.frame_chain = FrameChain::thread_state;
  layout.instance_dict = InstanceDict::inline_values;

  layout.runtime.finalizing = 608;
  layout.runtime.interpreters_head = 632;
  layout.runtime.interpreters_main = 640;
  layout.runtime.main_thread = 656;
  layout.runtime.tss_key = 2160;

  layout.interpreter.size = 194968;
  layout.interpreter.next = 7264;
  layout.interpreter.id = 7272;
  layout.interpreter.threads_head = 7344;
  layout.interpreter.modules = 7656;
  layout.interpreter.gil = 16;
  layout.interpreter.gc_collecting = 7600;

  layout.thread.size = 304;  // 312 in 3.13.18
  layout.thread.frame = 72;
  layout.thread.thread_id = 152;
  layout.thread.native_thread_id = 160;
  layout.thread.status = 32;
  layout.thread.state = 40;
  layout.thread.root_cframe = absent;

  layout.cframe.current_frame = absent;
  layout.cframe.previous = absent;

  layout.code.size = 208;
  layout.code.adaptive = 200;
  layout.code.firsttraceable = 184;

  layout.dict_keys.values = 8;
  return layout;
}();

/// CPython 3.13 built with Py_GIL_DISABLED.
inline constexpr Layout layout_v3_13t = [] {
  Layout layout = with_free_threading(layout_v3_13);
  layout.interpreter.size = 215616;
  layout.interpreter.modules = 7664;
  return layout;
}();

/// Positions in the `_Py_DebugOffsets` of CPython 3.13.
/// Source: v3.13.0, Include/internal/pycore_runtime.h
inline constexpr DebugOffsetsShape debug_offsets_v3_13 = [] {
  DebugOffsetsShape shape{};
  shape.size = 584;

  shape.runtime_state.size = 24;
  shape.runtime_state.finalizing = 32;
  shape.runtime_state.interpreters_head = 40;

  shape.interpreter_state.size = 48;
  shape.interpreter_state.id = 56;
  shape.interpreter_state.next = 64;
  shape.interpreter_state.threads_head = 72;
  shape.interpreter_state.gc = 80;
  shape.interpreter_state.imports_modules = 88;
  shape.interpreter_state.ceval_gil = 112;
  shape.interpreter_state.gil_runtime_state = 120;
  shape.interpreter_state.gil_runtime_state_enabled = 128;
  shape.interpreter_state.gil_runtime_state_locked = 136;
  shape.interpreter_state.gil_runtime_state_holder = 144;

  shape.thread_state.size = 152;
  shape.thread_state.prev = 160;
  shape.thread_state.next = 168;
  shape.thread_state.interp = 176;
  shape.thread_state.current_frame = 184;
  shape.thread_state.thread_id = 192;
  shape.thread_state.native_thread_id = 200;
  shape.thread_state.datastack_chunk = 208;
  shape.thread_state.status = 216;

  shape.interpreter_frame.size = 224;
  shape.interpreter_frame.previous = 232;
  shape.interpreter_frame.executable = 240;
  shape.interpreter_frame.instr_ptr = 248;
  shape.interpreter_frame.localsplus = 256;
  shape.interpreter_frame.owner = 264;

  shape.code_object.size = 272;
  shape.code_object.filename = 280;
  shape.code_object.name = 288;
  shape.code_object.qualname = 296;
  shape.code_object.linetable = 304;
  shape.code_object.firstlineno = 312;
  shape.code_object.argcount = 320;
  shape.code_object.localsplusnames = 328;
  shape.code_object.localspluskinds = 336;
  shape.code_object.co_code_adaptive = 344;

  shape.pyobject.size = 352;
  shape.pyobject.ob_type = 360;

  shape.type_object.size = 368;
  shape.type_object.tp_name = 376;
  shape.type_object.tp_flags = 392;

  shape.tuple_object.size = 400;
  shape.tuple_object.ob_item = 408;
  shape.tuple_object.ob_size = 416;

  shape.list_object.size = 424;
  shape.list_object.ob_item = 432;

  shape.dict_object.size = 448;
  shape.dict_object.ma_keys = 456;
  shape.dict_object.ma_values = 464;

  shape.float_object.size = 472;
  shape.float_object.ob_fval = 480;

  shape.long_object.size = 488;
  shape.long_object.ob_digit = 504;

  shape.bytes_object.size = 512;
  shape.bytes_object.ob_sval = 528;

  shape.unicode_object.size = 536;
  shape.unicode_object.state = 544;
  shape.unicode_object.length = 552;
  shape.unicode_object.asciiobject_size = 560;

  shape.gc.size = 568;
  shape.gc.collecting = 576;
  return shape;
}();

}  // namespace pyagent::inline v0::cpython
