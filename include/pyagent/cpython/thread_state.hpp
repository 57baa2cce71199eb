// One thread of an interpreter, as its PyThreadState shows it. signal-safe
#pragma once

#include <cstddef>  // byte
#include <span>     // span

#include "pyagent/cpython/cycle_check.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/memory/buffer_memory.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// What a walk and a thread list need of a PyThreadState.
struct RawThread {
  Address thread;  ///< the PyThreadState itself
  Address next;    ///< the interpreter's next thread
  Address interpreter;
  Address frame;                       ///< what Layout::frame_chain says: frame, cframe or current frame
  Address datastack_chunk;             ///< innermost chunk, 3.11 on
  Address datastack_top;               ///< first free word of the data stack, 3.11 on
  Address base_frame;                  ///< sentinel that ends the chain, 3.15 on
  Address cframe;                      ///< innermost CFrame, 3.10
  std::uint64_t thread_id = 0;         ///< pthread_t
  std::uint64_t native_thread_id = 0;  ///< kernel thread id, 3.11 on, else 0
  std::uint32_t state = 0;             ///< 3.13 on: 1 is attached
};

/// Bytes of a PyThreadState that hold the fields of RawThread.
constexpr std::size_t thread_prefix_size(const Layout& layout) noexcept {
  std::size_t size = 0;
  const auto& thread = layout.thread;
  for (const Offset offset :
       {thread.next, thread.interpreter, thread.frame, thread.cframe, thread.thread_id, thread.native_thread_id,
        thread.state, thread.base_frame, thread.datastack_chunk, thread.datastack_top})
    if (offset != absent && offset + 8 > size) size = offset + 8;
  return size;
}

/// Largest thread_prefix_size of any version.
inline constexpr std::size_t max_thread_prefix_size = 512;

/// Decodes the first thread_prefix_size bytes of the PyThreadState at `address`.
inline RawThread decode_thread(const Layout& layout, Address address, std::span<const std::byte> bytes) noexcept {
  const memory::BufferMemory copy{Address{0}, bytes};
  const auto word = [&](Offset offset) {
    return offset == absent ? 0 : memory::read_value<std::uint64_t>(copy, Address{offset}).value_or(0);
  };
  const auto& thread = layout.thread;
  return {.thread = address,
          .next = {word(thread.next)},
          .interpreter = {word(thread.interpreter)},
          .frame = {word(thread.frame)},
          .datastack_chunk = {word(thread.datastack_chunk)},
          .datastack_top = {word(thread.datastack_top)},
          .base_frame = {word(thread.base_frame)},
          .cframe = {word(thread.cframe)},
          .thread_id = word(thread.thread_id),
          .native_thread_id = word(thread.native_thread_id),
          .state = static_cast<std::uint32_t>(word(thread.state))};
}

/// Reads the PyThreadState at `address` in one read, through `scratch`.
///
/// Shape:  `scratch` has at least thread_prefix_size(layout) bytes, else too_large.
/// Errors: unreadable, too_large.
/// Source: PyThreadState, CPython Include/cpython/pystate.h (3.6: Include/pystate.h)
template <memory::Memory M>
[[nodiscard]] Result<RawThread> read_thread(const M& memory, const Layout& layout, Address address,
                                            std::span<std::byte> scratch) noexcept {
  const std::size_t size = thread_prefix_size(layout);
  if (size > scratch.size()) return Error{Errc::too_large, address};
  if (const Errc failed = memory.read(address, scratch.first(size)); failed != Errc::ok) return Error{failed, address};
  return decode_thread(layout, address, scratch.first(size));
}

/// Calls `visit(RawThread)` for each thread of each interpreter, newest first, until it returns false.
///
/// Shape:  bounded: 64 interpreters, 65,536 threads. A list that links back to itself ends soon, but not before some
///         of its entries were visited twice.
/// Errors: unreadable when a list could not be followed to its end; what was visited before stays visited.
/// Source: _PyRuntime.interpreters.head, PyInterpreterState.threads.head, CPython Include/internal/pycore_interp.h
template <memory::Memory M, class Visit>
Errc visit_threads(const M& memory, const Layout& layout, Address interpreter_head, std::span<std::byte> scratch,
                   Visit&& visit) noexcept {
  constexpr int max_interpreters = 64;
  constexpr int max_threads = 65'536;
  detail::CycleCheck interpreters;
  auto interpreter = memory::read_pointer(memory, interpreter_head);
  for (int i = 0; interpreter && *interpreter && i < max_interpreters && !interpreters.sees_again(*interpreter); ++i) {
    detail::CycleCheck threads;
    auto thread = memory::read_pointer(memory, *interpreter + layout.interpreter.threads_head);
    for (int t = 0; thread && *thread && t < max_threads && !threads.sees_again(*thread); ++t) {
      const auto raw = read_thread(memory, layout, *thread, scratch);
      if (!raw) return raw.error().code;
      if (!visit(*raw)) return Errc::ok;
      thread = raw->next;
    }
    if (!thread) return thread.error().code;
    interpreter = memory::read_pointer(memory, *interpreter + layout.interpreter.next);
  }
  return interpreter ? Errc::ok : interpreter.error().code;
}

}  // namespace pyagent::inline v0::cpython
