// What a capture has to know of an interpreter, and how it reads its process. signal-safe
#pragma once

#include <concepts>  // same_as
#include <cstdint>   // uint32_t

#include "pyagent/base/result.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::capture {

/// The interpreter that is sampled, as far as a capture needs it.
struct Target {
  cpython::Layout layout;
  Address code_type;         ///< PyCode_Type
  Address none;              ///< _Py_NoneStruct
  Address interpreter_head;  ///< where the pointer to the newest interpreter lies
  Address runtime;           ///< _PyRuntime, 3.7 on
  Address current_thread;    ///< _PyThreadState_Current, up to 3.6
};

/// A process as a capture reads it: its memory, the part of the thread's own stack that is there, what a walk is told
/// (`begin_walk`, `enter_chunk`), and what vouches for code objects, after `proven` frames were proven (`shape`). One that
/// has `read_frame` knows a cheaper way to read frame objects.
template <class P>
concept Process = requires(P& process, Address address, std::uint32_t proven, AddressRange chunk) {
  { process.memory() };
  { process.stack_memory() } -> std::same_as<AddressRange>;
  { process.begin_walk() } noexcept;
  { process.enter_chunk(chunk, address) } noexcept;
  { process.shape(address, proven) } noexcept -> std::same_as<Result<cpython::CodeShape>>;
};

}  // namespace pyagent::inline v0::capture
