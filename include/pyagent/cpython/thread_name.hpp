// Names that Python's threading module gives to threads. signal-safe
#pragma once

#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/cpython/find_attribute.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/read_dict.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// Finds the Thread object of `thread_id`: sys.modules["threading"]._active[thread_id].
///
/// Errors: not_found if threading is not imported, or does not know the thread (yet).
template <memory::Memory M>
Result<Address> find_thread_object(const M& memory, const Layout& layout, Address interpreter,
                                   std::uint64_t thread_id) noexcept {
  const auto modules = memory::read_pointer(memory, interpreter + layout.interpreter.modules);
  if (!modules) return modules.error();
  const auto threading = find_in_dict(memory, layout, *modules, "threading");
  if (!threading) return threading.error();
  // md_dict is the first field of a module. Source: PyModuleObject, Objects/moduleobject.c, 3.5 to 3.15
  const auto globals = memory::read_pointer(memory, *threading + layout.object.size);
  if (!globals) return globals.error();
  const auto active = find_in_dict(memory, layout, *globals, "_active");
  if (!active) return active.error();
  return find_in_dict(memory, layout, *active, thread_id);
}

/// Reads the name of the thread `thread_id` (threading.get_ident(), PyThreadState.thread_id) into `out` as UTF-8.
///
/// Errors: unreadable; not_found, as it is for a moment in a thread that has just begun.
template <memory::Memory M>
Result<StringPiece> read_thread_name(const M& memory, const Layout& layout, Address interpreter,
                                     std::uint64_t thread_id, std::span<char> out) noexcept {
  const auto thread = find_thread_object(memory, layout, interpreter, thread_id);
  if (!thread) return thread.error();
  const auto name = find_attribute(memory, layout, *thread, "_name");
  if (!name) return name.error();
  return read_string(memory, layout, *name, out);
}

}  // namespace pyagent::inline v0::cpython
