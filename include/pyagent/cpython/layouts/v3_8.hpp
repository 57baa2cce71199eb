// CPython 3.8: 3.7 except for the fields below. signal-safe
// Source: v3.8.18, Include/internal/pycore_pystate.h, Include/cpython/pystate.h, Include/{code,object}.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_7.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.8.
inline constexpr Layout layout_v3_8 = [] {
  Layout layout = layout_v3_7_4;
  layout.version = {3, 8};

  layout.runtime.finalizing = 16;
  layout.runtime.interpreters_head = 32;
  layout.runtime.interpreters_main = 40;
  layout.runtime.main_thread = 72;
  layout.runtime.tstate_current = 1368;
  layout.runtime.tss_key = 1392;

  layout.interpreter.size = 2720;
  layout.interpreter.modules = 56;

  layout.thread.size = 264;
  layout.thread.id = 256;

  layout.code.size = 176;
  layout.code.kwonlyargcount = 24;
  layout.code.flags = 36;
  layout.code.firstlineno = 40;
  layout.code.filename = 104;
  layout.code.name = 112;
  layout.code.lines = 120;
  layout.code.code = 48;
  layout.code.names_of_locals = 72;
  layout.code.names_of_frees = 80;
  layout.code.names_of_cells = 88;
  layout.code.stacksize = 32;

  layout.type.cached_keys = 872;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
