// Captures the Python stack of a thread that does not run: from its own signal handler, or while it is stopped or
// parked. signal-safe
#pragma once

#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/base/result.hpp"
#include "pyagent/capture/raw_stack.hpp"
#include "pyagent/capture/target.hpp"
#include "pyagent/cpython/find_anchors.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/cpython/walk_frames.hpp"

namespace pyagent::inline v0::capture {

/// What became of a capture.
enum class Outcome : std::uint8_t {
  whole,       ///< the chain was proven whole
  repaired,    ///< it was half linked and its caller was found and proven
  suspect,     ///< it was half linked and its caller was not found: frames may be missing
  unreadable,  ///< memory could not be read: frames below are missing
};

/// The interrupted thread's general registers and stack pointer.
struct Registers {
  std::span<const long long> general;
  Address stack_pointer;
};

namespace detail {

/// Takes frames into a RawStack, or only counts them when there is none.
template <Process P>
class Visitor {
 public:
  Visitor(P& process, RawStack* out) noexcept : process_(process), out_(out) {}
  Result<cpython::CodeShape> shape(Address code, std::uint32_t proven) noexcept { return process_.shape(code, proven); }
  void enter_chunk(AddressRange chunk, Address end) noexcept { process_.enter_chunk(chunk, end); }
  Errc read_frame(Address frame, std::span<std::byte> out, std::uint32_t proven) const noexcept {
    if constexpr (requires { process_.read_frame(frame, out, proven); })
      return process_.read_frame(frame, out, proven);
    else
      return process_.memory().read(frame, out);
  }
  void push(const cpython::RawFrame& frame) noexcept {
    if (out_ != nullptr) out_->push(frame);
  }
  void mark_entry(Address anchor) noexcept {
    if (out_ != nullptr) out_->mark_entry(anchor);
  }

 private:
  P& process_;
  RawStack* out_;
};

}  // namespace detail

/// What of a thread a capture is for.
enum class Wanted : std::uint8_t {
  python,   ///< the Python stack
  anchors,  ///< the Python stack, with what joins it to the native one: RawFrame::anchor of its entry frames
};

/// One capture. Make one per sample; it holds references only.
template <Process P>
class ThreadCapture {
 public:
  ThreadCapture(const Target& target, P& process, const cpython::RawThread& thread,
                Wanted wanted = Wanted::python) noexcept
      : target_(target), process_(process), thread_(thread), wanted_(wanted) {}

  /// Adds the thread's Python frames to `out`, leaf first; what `out` holds already are frames they called.
  /// `can_look_again` makes it strict: what is most probably whole, but not proven, is suspect.
  Outcome run(const Registers& registers, RawStack& out, bool can_look_again = false) noexcept {
    using cpython::Stop;
    const std::uint32_t mark = out.depth();
    const Candidate first = innermost();
    const cpython::Walk walk = follow(first, &out);
    set_anchors(walk, out, mark);
    if (walk.is_whole() && walk.is_top_stopping && is_running()) return Outcome::suspect;
    if (walk.is_whole())
      return can_look_again && has_stale_tops() && (walk.is_top_stopping || !is_explained(walk.top_gap))
                 ? Outcome::suspect
                 : Outcome::whole;
    if (walk.stop == Stop::too_deep) return Outcome::unreadable;
    if (target_.layout.frame_chain != cpython::FrameChain::frame_object && repair(first, registers, out, mark))
      return Outcome::repaired;
    out.truncate(mark);
    follow(first, &out);
    return walk.stop == Stop::unreadable && walk.depth != 0 ? Outcome::unreadable : Outcome::suspect;
  }

 private:
  struct Candidate {
    Address frame;
    Address cframe;
  };

  /// The thread goes on meanwhile: a generator that has stopped may have left the chain long ago.
  bool is_running() const noexcept {
    if constexpr (requires { process_.is_running(); })
      return process_.is_running();
    else
      return false;
  }

  Candidate innermost() const noexcept {
    if (target_.layout.frame_chain != cpython::FrameChain::cframe) return {thread_.frame, {}};
    return evaluation(thread_.frame);
  }

  /// The evaluation whose _PyCFrame lies at `cframe`.
  Candidate evaluation(Address cframe) const noexcept {
    const auto frame = memory::read_pointer(process_.memory(), cframe + target_.layout.cframe.current_frame);
    return {frame ? *frame : Address{1}, cframe};
  }

  cpython::Walk follow(const Candidate& start, RawStack* out) noexcept {
    process_.begin_walk();
    detail::Visitor visitor{process_, out};
    if (target_.layout.frame_chain == cpython::FrameChain::frame_object)
      return cpython::walk_frame_objects(process_.memory(), target_.layout, start.frame, visitor);
    return cpython::walk_interpreter_frames(process_.memory(), target_.layout, thread_,
                                            {.frame = start.frame, .cframe = start.cframe, .none = target_.none},
                                            visitor);
  }

  void set_anchors(const cpython::Walk& walk, RawStack& out, std::uint32_t mark) const noexcept {
    if (wanted_ == Wanted::anchors)
      cpython::find_anchors(process_.memory(), target_.layout, thread_, walk,
                            [&](std::uint32_t depth, Address anchor) { out.set_anchor(mark + depth, anchor); });
  }

  /// 3.11 and 3.12 publish an evaluation before they store its frame: what stands there may be a frame of long ago,
  /// whose chain is whole and yet not what runs. Then the data stack holds more than the chain; as it does for a moment
  /// whenever a frame is pushed.
  bool has_stale_tops() const noexcept { return target_.layout.frame_chain == cpython::FrameChain::cframe; }

  /// Above the topmost frame of a chain there may be one frame that is being pushed or popped, and nothing else.
  bool is_explained(AddressRange gap) noexcept {
    if (gap.size() == 0) return true;
    const auto code = memory::read_pointer(process_.memory(), gap.begin + target_.layout.frame.code);
    if (!code) return false;
    const auto shape = process_.shape({code->value & ~target_.layout.executable_tag_mask}, 0);
    return shape && std::uint64_t{shape->frame_words} * 8 == gap.size();
  }

  /// Finds the caller of a half-linked top. It is stored, or about to be: the processor holds it in a register between
  /// the two stores that unlink a frame, and an evaluation that is being entered or left has its caller's one below. A
  /// caller counts only if its own chain is whole, its generators run, and the data stack holds nothing that is not in
  /// it: registers also hold what is long gone (seen in 3.11.7: a generator that had ended).
  ///
  /// A top that has lost its link is left out: it is a generator that has just yielded, or one that stood there long
  /// ago (3.11 shows such a one between publishing an evaluation and storing its frame), and what it left is the
  /// caller.
  bool repair(const Candidate& first, const Registers& registers, RawStack& out, std::uint32_t mark) noexcept {
    Candidate best{};
    std::uint32_t best_depth = 0;
    const auto consider = [&](const Candidate& candidate) {
      if (candidate.frame.value < 4096 || candidate.frame.value % 8 != 0 || candidate.frame == first.frame) return;
      const cpython::Walk found = follow(candidate, nullptr);
      if (!found.is_whole() || found.is_top_stopping || found.depth <= best_depth || !is_explained(found.top_gap))
        return;
      best = candidate;
      best_depth = found.depth;
    };
    const bool has_cframes = target_.layout.frame_chain == cpython::FrameChain::cframe;
    if (has_cframes)
      if (const auto outer = memory::read_pointer(process_.memory(), first.cframe + target_.layout.cframe.previous);
          outer)
        consider(evaluation(*outer));
    // A register may as well hold a frame that is about to be entered, whose link is one of long ago. In 3.11 nothing
    // but the list of evaluations tells (seen in 3.11.7: an awaitable's __await__ on top of its caller's caller).
    const bool has_evaluations = target_.layout.entry_mark == cpython::EntryMark::is_entry;
    for (const long long value : registers.general) {
      const Address address{static_cast<std::uint64_t>(value)};
      consider({address, has_evaluations ? first.cframe : Address{}});
      if (has_cframes && process_.stack_memory().contains(address, 16)) consider(evaluation(address));
    }
    if (best_depth == 0) return false;
    out.truncate(mark);
    follow(best, &out);
    return true;
  }

  const Target& target_;
  P& process_;
  const cpython::RawThread& thread_;
  Wanted wanted_;
};

}  // namespace pyagent::inline v0::capture
