// What recordings remark on samples, as bits. signal-safe
#pragma once

#include <cstdint>  // uint16_t

#include "pyagent/recording/file_format.hpp"

namespace pyagent::inline v0::recording {

/// Remarks on one sample; bits may be combined.
enum class SampleFlag : std::uint16_t {
  holds_gil = 1,         ///< the thread held the GIL (free-threaded: was attached)
  off_cpu = 2,           ///< the thread was not running; the weight is a duration of wall time
  repaired = 4,          ///< a half-linked chain was completed by proof
  suspect = 8,           ///< the stack failed validation and could not be repaired: it may lack frames
  unreadable = 16,       ///< memory of the chain could not be read; frames end early
  elided = 32,           ///< the middle of a deep stack was left out: see SampleRecord::elided
  waits_for_gil = 64,    ///< the thread was blocked until it gets the GIL
  collects = 128,        ///< the thread held the GIL and its interpreter was collecting garbage
  native_resumed = 256,  ///< code without unwind rules was crossed by an anchor of Python's: frames are missing there
  native_scanned = 512,  ///< a return address was found by searching the stack
  python_tail = 1024,    ///< native frames end before the Python ones do, which follow below them
  native_truncated = 2048,  ///< native frames end before the thread's first function
};

/// The counter of a sample with native frames, by its SampleFlag bits: the worst that is true of it.
constexpr Counter native_counter(std::uint32_t flags) noexcept {
  const auto has = [&](SampleFlag flag) { return (flags & static_cast<std::uint32_t>(flag)) != 0; };
  return has(SampleFlag::native_truncated) ? Counter::native_truncated
         : has(SampleFlag::python_tail)    ? Counter::native_python_tail
         : has(SampleFlag::native_scanned) ? Counter::native_scanned
         : has(SampleFlag::native_resumed) ? Counter::native_resumed
                                           : Counter::native_exact;
}

}  // namespace pyagent::inline v0::recording
