// CPython 3.11: 3.10 except for the fields below. signal-safe
// Source: v3.11.7, Include/internal/{pycore_runtime,pycore_interp,pycore_frame,pycore_dict}.h,
// Include/cpython/{pystate,code,genobject}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_10.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.11.
inline constexpr Layout layout_v3_11 = [] {
  Layout layout = layout_v3_10;
  layout.version = {3, 11};

  layout.frame_chain = FrameChain::cframe;
  layout.entry_mark = EntryMark::is_entry;
  layout.instruction_position = InstructionPosition::pointer;
  layout.line_table = LineTable::locations;
  layout.dict_keys_shape = DictKeys::log2_indices;
  layout.instance_dict = InstanceDict::values_pointer;

  layout.runtime.finalizing = 24;
  layout.runtime.interpreters_head = 40;
  layout.runtime.interpreters_main = 48;
  layout.runtime.main_thread = 80;
  layout.runtime.tstate_current = 576;
  layout.runtime.tss_key = 592;

  layout.interpreter.size = 107752;
  layout.interpreter.id = 48;
  layout.interpreter.threads_head = 16;
  layout.interpreter.modules = 888;
  layout.interpreter.gc_collecting = 848;

  layout.thread.size = 360;
  layout.thread.frame = 56;
  layout.thread.thread_id = 152;
  layout.thread.native_thread_id = 160;
  layout.thread.id = 240;
  layout.thread.cframe = absent;
  layout.thread.root_cframe = 336;
  layout.thread.datastack_chunk = 296;
  layout.thread.datastack_top = 304;
  layout.thread.datastack_limit = 312;

  layout.cframe.current_frame = 8;
  layout.cframe.previous = 16;

  layout.stack_chunk.previous = 0;
  layout.stack_chunk.size = 8;
  layout.stack_chunk.top = 16;
  layout.stack_chunk.data = 24;

  layout.frame.size = 72;
  layout.frame.previous = 48;
  layout.frame.instruction = 56;
  layout.frame.locals = 72;
  layout.frame.globals = 8;
  layout.frame.scope = 24;
  layout.frame.stack_top = 64;
  layout.frame.owner = 69;
  layout.frame.is_entry = 68;
  layout.frame.executing = absent;

  layout.code.size = 192;
  layout.code.argcount = 56;
  layout.code.kwonlyargcount = 64;
  layout.code.flags = 48;
  layout.code.firstlineno = 72;
  layout.code.filename = 112;
  layout.code.name = 120;
  layout.code.qualname = 128;
  layout.code.lines = 136;
  layout.code.code = absent;
  layout.code.adaptive = 184;
  layout.code.names_of_locals = 96;
  layout.code.names_of_cells = absent;
  layout.code.names_of_frees = absent;
  layout.code.kinds_of_locals = 104;
  layout.code.nlocalsplus = 76;
  layout.code.stacksize = 68;
  layout.code.firsttraceable = 168;

  layout.dict_keys.index_bytes = 9;
  layout.dict_keys.kind = 10;
  layout.dict_keys.nentries = 24;
  layout.dict_keys.indices = 32;
  layout.dict_keys.values = 0;

  layout.generator.frame = 80;
  layout.generator.frame_state = 75;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
