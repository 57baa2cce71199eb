// CPython 3.15: 3.14 except for the fields below. signal-safe
// Source: v3.15.2, Include/internal/{pycore_runtime_structs,pycore_interp_structs}.h,
// Include/cpython/{pystate,object}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/debug_offsets_shape.hpp"
#include "pyagent/cpython/layouts/object_header.hpp"
#include "pyagent/cpython/layouts/v3_14.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.15.
inline constexpr Layout layout_v3_15 = [] {
  Layout layout = layout_v3_14;
  layout.version = {3, 15};

  layout.runtime.finalizing = 912;
  layout.runtime.interpreters_head = 936;
  layout.runtime.interpreters_main = 944;
  layout.runtime.main_thread = 960;
  layout.runtime.tss_key = absent;

  layout.interpreter.size = 226232;  // 226240 with the JIT
  layout.interpreter.next = 7264;
  layout.interpreter.id = 7272;
  layout.interpreter.threads_head = 7336;
  layout.interpreter.modules = 7592;
  layout.interpreter.gc_collecting = 7512;
  layout.interpreter.code_object_generation = 7944;

  layout.thread.size = 888;
  layout.thread.thread_id = 176;
  layout.thread.native_thread_id = 184;
  layout.thread.id = 248;
  layout.thread.state = 48;
  layout.thread.base_frame = 80;
  layout.thread.datastack_chunk = 256;
  layout.thread.datastack_top = 264;
  layout.thread.datastack_limit = 272;

  layout.type.cached_keys = 888;

  layout.generator.executing = 4;
  return layout;
}();

/// CPython 3.15 built with Py_GIL_DISABLED.
inline constexpr Layout layout_v3_15t = [] {
  Layout layout = with_thread_local_bytecode(with_free_threading(layout_v3_15));
  layout.interpreter.size = 250328;
  layout.interpreter.code_object_generation = 7952;
  return layout;
}();

/// Positions in the `_Py_DebugOffsets` of CPython 3.15.
/// Source: v3.15.2, Include/internal/pycore_debug_offsets.h
inline constexpr DebugOffsetsShape debug_offsets_v3_15 = [] {
  DebugOffsetsShape shape = debug_offsets_v3_14;
  shape.size = 888;

  shape.thread_state.base_frame = 216;
  shape.thread_state.thread_id = 240;
  shape.thread_state.native_thread_id = 248;
  shape.thread_state.datastack_chunk = 256;
  shape.thread_state.status = 264;

  shape.interpreter_frame.size = 312;
  shape.interpreter_frame.previous = 320;
  shape.interpreter_frame.executable = 328;
  shape.interpreter_frame.instr_ptr = 336;
  shape.interpreter_frame.localsplus = 344;
  shape.interpreter_frame.owner = 352;
  shape.interpreter_frame.stackpointer = 360;
  shape.interpreter_frame.tlbc_index = 368;

  shape.code_object.size = 376;
  shape.code_object.filename = 384;
  shape.code_object.name = 392;
  shape.code_object.qualname = 400;
  shape.code_object.linetable = 408;
  shape.code_object.firstlineno = 416;
  shape.code_object.argcount = 424;
  shape.code_object.localsplusnames = 432;
  shape.code_object.localspluskinds = 440;
  shape.code_object.co_code_adaptive = 448;
  shape.code_object.co_tlbc = 456;

  shape.pyobject.size = 464;
  shape.pyobject.ob_type = 472;

  shape.type_object.size = 480;
  shape.type_object.tp_name = 488;
  shape.type_object.tp_flags = 504;
  shape.type_object.tp_basicsize = 512;
  shape.type_object.tp_dictoffset = 520;

  shape.heap_type_object.size = 528;
  shape.heap_type_object.ht_cached_keys = 536;

  shape.tuple_object.size = 544;
  shape.tuple_object.ob_item = 552;
  shape.tuple_object.ob_size = 560;

  shape.list_object.size = 568;
  shape.list_object.ob_item = 576;

  shape.set_object.size = 592;
  shape.set_object.used = 600;
  shape.set_object.table = 608;
  shape.set_object.mask = 616;

  shape.dict_object.size = 624;
  shape.dict_object.ma_keys = 632;
  shape.dict_object.ma_values = 640;

  shape.float_object.size = 648;
  shape.float_object.ob_fval = 656;

  shape.long_object.size = 664;
  shape.long_object.ob_digit = 680;

  shape.bytes_object.size = 688;
  shape.bytes_object.ob_sval = 704;

  shape.unicode_object.size = 712;
  shape.unicode_object.state = 720;
  shape.unicode_object.length = 728;
  shape.unicode_object.asciiobject_size = 736;
  shape.unicode_object.compactunicodeobject_size = 744;

  shape.gc.size = 752;
  shape.gc.collecting = 760;

  shape.gen_object.size = 792;
  shape.gen_object.gi_iframe = 808;
  shape.gen_object.gi_frame_state = 816;
  return shape;
}();

}  // namespace pyagent::inline v0::cpython
