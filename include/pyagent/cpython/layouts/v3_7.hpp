// CPython 3.7: 3.6 except for the fields below. signal-safe
// Source: v3.7.16, Include/internal/pystate.h, Include/{pystate,frameobject}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_6.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.7.4 and later 3.7.
inline constexpr Layout layout_v3_7_4 = [] {
  Layout layout = layout_v3_6;
  layout.version = {3, 7, 4};

  layout.gil_holder = GilHolder::runtime;
  layout.interpreter_list = InterpreterList::runtime;

  layout.runtime.finalizing = 8;
  layout.runtime.interpreters_head = 24;
  layout.runtime.interpreters_main = 32;
  layout.runtime.tstate_current = 1480;
  layout.runtime.tss_key = 1504;

  layout.interpreter.size = 2568;
  layout.interpreter.id = 16;
  layout.interpreter.modules = 40;

  layout.thread.size = 280;
  layout.thread.thread_id = 176;
  layout.thread.id = 272;

  layout.frame.size = 360;
  layout.frame.instruction = 104;
  layout.frame.locals = 360;
  layout.frame.executing = 116;
  return layout;
}();

/// CPython 3.7.0 to 3.7.3, where `_PyRuntimeState.gilstate` begins 88 bytes earlier.
/// Source: py-spy 0.4, src/python_bindings/mod.rs, for tstate_current; autoTSSkey is as far behind it as in 3.7.4
inline constexpr Layout layout_v3_7 = [] {
  Layout layout = layout_v3_7_4;
  layout.version = {3, 7};
  layout.runtime.tstate_current = 1392;
  layout.runtime.tss_key = 1416;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
