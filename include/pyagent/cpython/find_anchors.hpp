// The anchors of 3.10's frames: variables of the evaluations on the C stack. signal-safe
#pragma once

#include <cstdint>   // int64_t
#include <optional>  // optional

#include "pyagent/cpython/cycle_check.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

namespace detail {

/// How many CFrames there are from `cframe` to the thread's own, or nothing when the list does not come there. The
/// thread's own has a link that is not set in threads other than the main one, so it must not be followed.
template <memory::Memory M>
std::optional<std::uint32_t> count_evaluations(const M& memory, const Layout& layout, Address cframe,
                                               Address root) noexcept {
  CycleCheck cycle;
  std::uint32_t count = 0;
  for (; cframe != root; ++count) {
    if (count == max_walk_depth || !cframe || cycle.sees_again(cframe)) return {};
    const auto outer = memory::read_pointer(memory, cframe + layout.cframe.previous);
    if (!outer) return {};
    cframe = *outer;
  }
  return count;
}

}  // namespace detail

/// Calls `take(depth, anchor)` for the frames that `walk` gave, 0 being the leaf, as far as anchors are known: in 3.10
/// each frame has an evaluation with a CFrame of its own, which the thread links beside the frames. From 3.11 on
/// anchors come with the frames; before 3.10 there are none.
///
/// An evaluation links its CFrame before its frame, and unlinks them in that order too, so for a moment there is one
/// more or one less of them. Then they are counted from the outermost one. A greenlet's list does not end at the
/// thread's own; that one is counted from the innermost.
/// Source: _PyEval_EvalFrameDefault, CPython 3.10 Python/ceval.c; CFrame, Include/cpython/pystate.h
template <memory::Memory M, class Take>
void find_anchors(const M& memory, const Layout& layout, const RawThread& thread, const Walk& walk,
                  Take&& take) noexcept {
  if (layout.thread.cframe == absent) return;
  const Address root = thread.thread + layout.thread.root_cframe;
  const auto count = detail::count_evaluations(memory, layout, thread.cframe, root);
  std::int64_t depth = count && walk.is_whole() ? std::int64_t{walk.depth} - *count : 0;
  for (Address cframe = thread.cframe; cframe && cframe != root && depth < walk.depth; ++depth) {
    if (depth >= 0) take(static_cast<std::uint32_t>(depth), cframe);
    cframe = memory::read_pointer(memory, cframe + layout.cframe.previous).value_or(Address{});
  }
}

}  // namespace pyagent::inline v0::cpython
