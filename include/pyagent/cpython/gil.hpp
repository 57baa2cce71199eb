// Who holds the GIL. signal-safe
#pragma once

#include <cstdint>  // int32_t

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// True when `thread` holds the GIL; in a free-threaded build, when it is attached.
///
/// Shape:  `runtime` is _PyRuntime (3.7 on), `current_thread` is _PyThreadState_Current (up to 3.6). They are static and
///         are read through `statics`, everything else through `memory`.
/// Errors: none; what can't be read is no holder.
/// Source: struct _gil_runtime_state, CPython Include/internal/pycore_gil.h
template <memory::Memory S, memory::Memory M>
bool holds_gil(const S& statics, const M& memory, const Layout& layout, Address runtime, Address current_thread,
               const RawThread& thread) noexcept {
  const auto is_thread = [&](Address variable) {
    return memory::read_pointer(statics, variable).value_or(Address{}) == thread.thread;
  };
  switch (layout.gil_holder) {
    case GilHolder::current_symbol: return is_thread(current_thread);
    case GilHolder::runtime: return is_thread(runtime + layout.runtime.tstate_current);
    case GilHolder::interpreter: {
      const auto gil = memory::read_pointer(memory, thread.interpreter + layout.interpreter.gil);
      if (!gil || !*gil) return false;
      const auto holder = memory::read_pointer(memory, *gil + layout.gil.last_holder);
      const auto locked = memory::read_value<std::int32_t>(memory, *gil + layout.gil.locked);
      return holder && locked && *holder == thread.thread && *locked == 1;
    }
    case GilHolder::attached: return thread.state == 1;
  }
  return false;
}

}  // namespace pyagent::inline v0::cpython
