// Tries a layout on its target: does what it leads to look like an interpreter?
#pragma once

#include <algorithm>    // find
#include <array>        // array
#include <cstring>      // memcmp
#include <string_view>  // string_view

#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::interpreter {

/// What the check has looked at, and the first thing that was wrong.
struct SelfCheck {
  Errc code = Errc::ok;
  const char* explanation = "";  ///< a sentence fragment, a string literal
  Address interpreter;           ///< the first one read
  Address thread;                ///< its first thread state
  Address code_object;           ///< of the thread's newest Python frame; null when it runs none
};

/// Offset of tid in struct pthread. Source: glibc 2.31 to 2.42, x86-64, nptl/descr.h
inline constexpr std::uint64_t pthread_tid_offset = 720;

/// Kernel id of the thread whose PyThreadState is `thread`, as the target's pid namespace counts.
template <memory::Memory M>
Result<pid_t> read_native_id(const M& memory, const cpython::Layout& layout, Address thread) noexcept {
  if (layout.thread.native_thread_id != cpython::absent)
    return memory::read_value<pid_t>(memory, thread + layout.thread.native_thread_id);
  const auto handle = memory::read_pointer(memory, thread + layout.thread.thread_id);
  if (!handle) return handle.error();
  return memory::read_value<pid_t>(memory, *handle + pthread_tid_offset);
}

namespace detail {

template <memory::Memory M>
bool is_named(const M& memory, const cpython::Layout& layout, Address type, std::string_view name) noexcept {
  const auto text = memory::read_pointer(memory, type + layout.type.name);
  std::array<char, 16> bytes{};
  return text && name.size() < bytes.size() &&
         memory.read(*text, std::as_writable_bytes(std::span{bytes}.first(name.size() + 1))) == Errc::ok &&
         std::string_view{bytes.data()} == name;
}

/// True when `id` is a thread of the process, or when the process counts its threads in a namespace of its own.
inline bool is_thread_of(pid_t pid, pid_t id) {
  const auto ours = process::read_link("/proc/self/ns/pid"), theirs = process::read_link(process::proc_path(pid, "ns/pid"));
  if (!ours || !theirs || *ours != *theirs) return true;
  const auto tasks = process::read_tasks(pid);
  return !tasks || std::find(tasks->begin(), tasks->end(), id) != tasks->end();
}

template <memory::Memory M>
Result<Address> read_newest_frame(const M& memory, const cpython::Layout& layout, Address thread) noexcept {
  const auto start = memory::read_pointer(memory, thread + layout.thread.frame);
  if (!start || layout.frame_chain != cpython::FrameChain::cframe) return start;
  return memory::read_pointer(memory, *start + layout.cframe.current_frame);
}

/// The first frame that has a code object; shims on the C stack may lie above it. Null when there is none.
template <memory::Memory M>
Result<Address> read_newest_code(const M& memory, const Runtime& runtime, Address thread) noexcept {
  constexpr int longest_run_of_shims = 8;
  const cpython::Layout& layout = runtime.layout;
  auto frame = read_newest_frame(memory, layout, thread);
  for (int i = 0; i < longest_run_of_shims && frame && *frame; ++i) {
    const auto executable = memory::read_value<std::uint64_t>(memory, *frame + layout.frame.code);
    if (!executable) return executable.error();
    const Address code{*executable & ~layout.executable_tag_mask};
    if (code && code != runtime.none) return code;
    frame = memory::read_pointer(memory, *frame + layout.frame.previous);
  }
  return frame ? Result<Address>{Address{}} : frame;
}

template <memory::Memory M>
SelfCheck check_once(const M& memory, pid_t pid, const Runtime& runtime) {
  const cpython::Layout& layout = runtime.layout;
  SelfCheck check;
  const auto fail = [&check](Errc code, const char* explanation) {
    check.code = code;
    check.explanation = explanation;
    return check;
  };
  const auto interpreter = memory::read_pointer(memory, runtime.interpreter_head);
  if (!interpreter) return fail(Errc::unreadable, "the list of interpreters can't be read");
  if (!*interpreter) return fail(Errc::not_found, "no interpreter has been started yet");
  check.interpreter = *interpreter;
  const auto thread = memory::read_pointer(memory, *interpreter + layout.interpreter.threads_head);
  if (!thread) return fail(Errc::unreadable, "the interpreter's threads can't be read");
  if (!*thread) return fail(Errc::not_found, "the interpreter has no thread yet");
  check.thread = *thread;
  const auto back = memory::read_pointer(memory, *thread + layout.thread.interpreter);
  if (!back || *back != *interpreter) return fail(Errc::wrong_type, "a thread state does not point back to its interpreter");
  const auto id = read_native_id(memory, layout, *thread);
  if (!id || !is_thread_of(pid, *id)) return fail(Errc::wrong_type, "a thread state's id is not one of the process's threads");
  if (runtime.code_type && !is_named(memory, layout, runtime.code_type, "code"))
    return fail(Errc::wrong_type, "the type of code objects is not named \"code\"");
  const auto code = read_newest_code(memory, runtime, *thread);
  if (!code) return fail(Errc::unreadable, "a thread's frame can't be read");
  if (!*code) return check;
  check.code_object = *code;
  const auto type = memory::read_pointer(memory, *code + layout.object.type);
  if (!type || (runtime.code_type ? *type != runtime.code_type : !is_named(memory, layout, *type, "code")))
    return fail(Errc::wrong_type, "a frame's code is not a code object");
  return check;
}

}  // namespace detail

/// Reads one thread of the target by the runtime's layout: links, thread id, and the newest frame's code object. A
/// target that runs may change while it is read, so a check that fails is repeated twice.
///
/// Errors: in SelfCheck::code: not_found when there is nothing to check yet; unreadable, wrong_type.
template <memory::Memory M>
SelfCheck self_check(const M& memory, pid_t pid, const Runtime& runtime) {
  constexpr int attempts = 3;
  SelfCheck check;
  for (int i = 0; i < attempts; ++i) {
    check = detail::check_once(memory, pid, runtime);
    if (check.code == Errc::ok || check.code == Errc::not_found) break;
  }
  return check;
}

}  // namespace pyagent::inline v0::interpreter
