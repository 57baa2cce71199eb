// What a sample says of how its native frames were found. signal-safe
#pragma once

#include <cstddef>  // size_t
#include <cstdint>  // uint16_t

#include "pyagent/capture/native_capture.hpp"
#include "pyagent/recording/sample_flag.hpp"

namespace pyagent::inline v0::recording {

/// SampleFlag bits for a walk of native frames, beside `evaluations` evaluations of Python's.
constexpr std::uint16_t native_sample_flags(const capture::NativeWalk& walk, std::size_t evaluations) noexcept {
  unsigned flags = 0;
  const auto set = [&](bool is_set, SampleFlag flag) { flags |= is_set ? static_cast<unsigned>(flag) : 0; };
  set(walk.resumed, SampleFlag::native_resumed);
  set(walk.scanned || walk.used_frame_pointer, SampleFlag::native_scanned);
  set(walk.claimed < evaluations, SampleFlag::python_tail);
  set(walk.end != capture::NativeEnd::root, SampleFlag::native_truncated);
  return static_cast<std::uint16_t>(flags);
}

}  // namespace pyagent::inline v0::recording
