// CPython 3.5, the oldest one described; each later version names what it changed. signal-safe
// Source: py-spy 0.4, src/python_bindings/v3_5_5.rs, checked by reading a live 3.5.10. What neither of them touches
// (tp_dict, tp_mro, ht_cached_keys, ob_item, gi_frame, func_code) is as in v3.6.15; PyTypeObject is equally large there.
#pragma once

#include "pyagent/cpython/layout.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.5.
inline constexpr Layout layout_v3_5 = [] {
  Layout layout{};
  layout.version = {3, 5};

  layout.frame_chain = FrameChain::frame_object;
  layout.entry_mark = EntryMark::every_frame;
  layout.instruction_position = InstructionPosition::byte_index;
  layout.line_table = LineTable::lnotab_unsigned;
  layout.string_state = StringState::packed;
  layout.gil_holder = GilHolder::current_symbol;
  layout.interpreter_list = InterpreterList::head_variable;
  layout.dict_keys_shape = DictKeys::entries_only;
  layout.instance_dict = InstanceDict::dictoffset;
  layout.int_header = IntHeader::signed_size;

  layout.interpreter.size = 104;
  layout.interpreter.next = 0;
  layout.interpreter.threads_head = 8;
  layout.interpreter.modules = 16;

  layout.thread.size = 208;
  layout.thread.prev = 0;
  layout.thread.next = 8;
  layout.thread.interpreter = 16;
  layout.thread.frame = 24;
  layout.thread.thread_id = 152;

  layout.frame.size = 376;
  layout.frame.previous = 24;
  layout.frame.code = 32;
  layout.frame.instruction = 120;
  layout.frame.locals = 376;
  layout.frame.globals = 48;
  layout.frame.scope = 56;
  layout.frame.executing = 132;

  layout.code.size = 144;
  layout.code.argcount = 16;
  layout.code.kwonlyargcount = 20;
  layout.code.flags = 32;
  layout.code.firstlineno = 112;
  layout.code.filename = 96;
  layout.code.name = 104;
  layout.code.lines = 120;
  layout.code.code = 40;
  layout.code.names_of_locals = 64;
  layout.code.names_of_frees = 72;
  layout.code.names_of_cells = 80;
  layout.code.stacksize = 28;

  layout.object.size = 16;
  layout.object.type = 8;
  layout.object.var_size = 16;

  layout.type.name = 24;
  layout.type.basicsize = 32;
  layout.type.flags = 168;
  layout.type.dict = 264;
  layout.type.dictoffset = 288;
  layout.type.mro = 344;
  layout.type.cached_keys = 856;

  layout.unicode.length = 16;
  layout.unicode.hash = 24;
  layout.unicode.state = 32;
  layout.unicode.ascii_data = 48;
  layout.unicode.compact_data = 72;
  layout.unicode.data = 72;

  layout.bytes.data = 32;
  layout.bytes.hash = 24;

  layout.tuple.items = 24;

  layout.list.items = 24;

  layout.integer.digits = 24;

  layout.floating.value = 16;

  layout.bytearray.start = 40;

  layout.set.used = 24;
  layout.set.mask = 32;
  layout.set.table = 40;

  layout.dict.keys = 24;
  layout.dict.values = 32;
  layout.dict.used = 16;

  layout.dict_keys.size = 8;
  layout.dict_keys.indices = 32;

  layout.generator.frame = 16;

  layout.function.code = 16;
  layout.function.qualname = 104;
  layout.function.callable = 16;
  layout.function.property_get = 16;

  layout.cell.contents = 16;

  layout.module.dict = 16;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
