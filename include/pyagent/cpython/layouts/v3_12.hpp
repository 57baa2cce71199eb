// CPython 3.12: 3.11 except for the fields below. signal-safe
// Source: v3.12.1, Include/internal/{pycore_runtime,pycore_interp,pycore_frame,pycore_gil}.h,
// Include/cpython/{pystate,code,genobject,unicodeobject}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_11.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.12.
inline constexpr Layout layout_v3_12 = [] {
  Layout layout = layout_v3_11;
  layout.version = {3, 12};

  layout.entry_mark = EntryMark::shim;
  layout.gil_holder = GilHolder::interpreter;
  layout.instance_dict = InstanceDict::tagged_word;
  layout.int_header = IntHeader::tag;

  layout.runtime.main_thread = 64;
  layout.runtime.tstate_current = absent;
  layout.runtime.tss_key = 1544;

  layout.interpreter.size = 383552;
  layout.interpreter.id = 8;
  layout.interpreter.threads_head = 72;
  layout.interpreter.modules = 944;
  layout.interpreter.gil = 384;
  layout.interpreter.gc_collecting = 312;

  layout.gil.locked = 16;
  layout.gil.last_holder = 8;

  layout.thread.size = 288;
  layout.thread.thread_id = 136;
  layout.thread.native_thread_id = 144;
  layout.thread.id = 224;
  layout.thread.status = 24;
  layout.thread.root_cframe = 272;
  layout.thread.datastack_chunk = 232;
  layout.thread.datastack_top = 240;
  layout.thread.datastack_limit = 248;

  layout.cframe.current_frame = 0;
  layout.cframe.previous = 8;

  layout.frame.previous = 8;
  layout.frame.code = 0;
  layout.frame.globals = 24;
  layout.frame.scope = 40;
  layout.frame.owner = 70;
  layout.frame.is_entry = absent;

  layout.code.size = 200;
  layout.code.argcount = 52;
  layout.code.kwonlyargcount = 60;
  layout.code.firstlineno = 68;
  layout.code.adaptive = 192;
  layout.code.nlocalsplus = 72;
  layout.code.stacksize = 64;
  layout.code.framesize = 76;
  layout.code.firsttraceable = 176;
  layout.code.version = 92;

  layout.type.cached_keys = 880;

  layout.unicode.ascii_data = 40;
  layout.unicode.compact_data = 56;
  layout.unicode.data = 56;

  layout.generator.frame = 72;
  layout.generator.frame_state = 67;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
