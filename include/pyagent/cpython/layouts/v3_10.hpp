// CPython 3.10: 3.9 except for the fields below. signal-safe
// Source: v3.10.13, Include/cpython/{pystate,frameobject,object}.h, Include/funcobject.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_9.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.10.
inline constexpr Layout layout_v3_10 = [] {
  Layout layout = layout_v3_9;
  layout.version = {3, 10};

  layout.instruction_position = InstructionPosition::unit_index;
  layout.line_table = LineTable::ranges;

  layout.interpreter.size = 113528;

  layout.thread.size = 280;
  layout.thread.cframe = 48;
  layout.thread.root_cframe = 264;

  layout.cframe.previous = 8;

  layout.frame.size = 352;
  layout.frame.instruction = 96;
  layout.frame.locals = 352;
  layout.frame.executing = 108;
  layout.frame.executing_value = 0;  // FRAME_EXECUTING

  layout.type.cached_keys = 872;

  layout.function.code = 48;
  layout.function.qualname = 40;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
