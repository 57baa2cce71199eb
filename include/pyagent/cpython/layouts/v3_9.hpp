// CPython 3.9: 3.8 except for the fields below. signal-safe
// Source: v3.9.18, Include/internal/{pycore_runtime,pycore_interp}.h, Include/cpython/object.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_8.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.9.
inline constexpr Layout layout_v3_9 = [] {
  Layout layout = layout_v3_8;
  layout.version = {3, 9};

  layout.runtime.tstate_current = 568;
  layout.runtime.tss_key = 584;

  layout.interpreter.size = 5648;  // 5656 in 3.9.18
  layout.interpreter.id = 24;
  layout.interpreter.modules = 856;
  layout.interpreter.gc_collecting = 816;

  layout.type.cached_keys = 864;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
