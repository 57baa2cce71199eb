// Captures the Python stack of a thread of our own process: from its own signal handler, or while it is parked.
// signal-safe
#pragma once

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/base/result.hpp"
#include "pyagent/capture/raw_stack.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/local_memory.hpp"

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

/// What may be read without asking the kernel.
enum class Trust : std::uint8_t {
  own_thread,  ///< the thread itself captures, in its handler: its data stack and what its frames hold stay where they
               ///< are
  nothing,     ///< another thread captures, and this one may run on at any moment
};

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

/// Bytes of a code object that `shape` looks at.
inline constexpr std::size_t code_prefix = 128;

/// Vouches for code objects. The first few of a chain are read as if they could be anything; once frames that end where
/// the next begins have proven the chain, what they run is alive and is read directly.
class CodeReader {
 public:
  CodeReader(const Target& target, const memory::LocalMemory& memory, Trust trust) noexcept
      : target_(target), memory_(memory), trust_(trust) {}

  Result<cpython::CodeShape> shape(Address code, std::uint32_t proven) noexcept {
    if (code == last_code_) return last_;
    if (!code || code.value % 8 != 0) return Error{Errc::wrong_type, code};
    const auto result = is_enough(proven) ? decode(memory::ProvenMemory{}, code) : shape_guarded(code);
    if (result) last_code_ = code, last_ = *result;
    return result;
  }

  /// Reads what the last of `proven` frames holds a reference to.
  Errc read_proven(Address address, std::span<std::byte> out, std::uint32_t proven) const noexcept {
    return is_enough(proven) ? memory::ProvenMemory{}.read(address, out) : memory_.read(address, out);
  }

 private:
  bool is_enough(std::uint32_t proven) const noexcept { return proven >= 3 && trust_ == Trust::own_thread; }

  Result<cpython::CodeShape> shape_guarded(Address code) noexcept {
    std::byte bytes[code_prefix];
    if (const Errc failed = memory_.read_guarded(code, bytes); failed != Errc::ok) return Error{failed, code};
    return decode(memory::BufferMemory{code, bytes}, code);
  }

  template <memory::Memory M>
  Result<cpython::CodeShape> decode(const M& memory, Address code) const noexcept {
    const cpython::Layout& layout = target_.layout;
    const auto type = memory::read_pointer(memory, code + layout.object.type);
    if (!type) return type.error();
    if (*type != target_.code_type) return Error{Errc::wrong_type, code};
    cpython::CodeShape shape;
    if (layout.code.adaptive == cpython::absent) return shape;
    const auto number = [&](cpython::Offset offset) {
      return memory::read_value<std::uint32_t>(memory, code + offset).value_or(0);
    };
    shape.instructions = code + layout.code.adaptive;
    shape.instruction_bytes = number(layout.object.var_size) * 2;
    // 3.11 does not store the sum. Source: _PyFrame_Push and FRAME_SPECIALS_SIZE, CPython 3.11 pycore_frame.h
    shape.frame_words = layout.code.framesize != cpython::absent
                            ? number(layout.code.framesize)
                            : number(layout.code.nlocalsplus) + number(layout.code.stacksize) + layout.frame.locals / 8;
    return shape;
  }

  const Target& target_;
  const memory::LocalMemory& memory_;
  Trust trust_;
  Address last_code_{};
  cpython::CodeShape last_{};
};

/// Takes frames into a RawStack, or only counts them when there is none.
class Visitor {
 public:
  /// `trusted` learns of the data stack's chunks; null when they may go away.
  Visitor(CodeReader& codes, memory::LocalMemory* trusted, RawStack* out) noexcept
      : codes_(codes), trusted_(trusted), out_(out) {}
  Result<cpython::CodeShape> shape(Address code, std::uint32_t depth) noexcept { return codes_.shape(code, depth); }
  void enter_chunk(AddressRange chunk) noexcept {
    if (trusted_ != nullptr) trusted_->trust(chunk);
  }
  Errc read_frame(Address frame, std::span<std::byte> out, std::uint32_t proven) const noexcept {
    return codes_.read_proven(frame, out, proven);
  }
  void push(const cpython::RawFrame& frame) noexcept {
    if (out_ != nullptr) out_->push(frame);
  }
  void mark_entry() noexcept {
    if (out_ != nullptr) out_->mark_entry();
  }

 private:
  CodeReader& codes_;
  memory::LocalMemory* trusted_;
  RawStack* out_;
};

}  // namespace detail

/// One capture. Make one per sample; it holds references only.
class ThreadCapture {
 public:
  /// `stack_memory` is the part of the thread's own stack that is known to be mapped, or empty.
  ThreadCapture(const Target& target, memory::LocalMemory& memory, const cpython::RawThread& thread, Trust trust,
                AddressRange stack_memory) noexcept
      : target_(target),
        memory_(memory),
        thread_(thread),
        trust_(trust),
        stack_memory_(stack_memory),
        codes_(target, memory, trust) {}

  /// Adds the thread's Python frames to `out`, leaf first; what `out` holds already are frames they called.
  /// `can_look_again` makes it strict: what is most probably whole, but not proven, is suspect.
  Outcome run(const Registers& registers, RawStack& out, bool can_look_again = false) noexcept {
    using cpython::Stop;
    const std::uint32_t mark = out.depth();
    const Candidate first = innermost();
    const cpython::Walk walk = follow(first, &out);
    if (walk.is_whole())
      return can_look_again && has_stale_tops() && !is_explained(walk.top_gap) ? Outcome::suspect : Outcome::whole;
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

  Candidate innermost() const noexcept {
    if (target_.layout.frame_chain != cpython::FrameChain::cframe) return {thread_.frame, {}};
    return evaluation(thread_.frame);
  }

  /// The evaluation whose _PyCFrame lies at `cframe`.
  Candidate evaluation(Address cframe) const noexcept {
    const auto frame = memory::read_pointer(memory_, cframe + target_.layout.cframe.current_frame);
    return {frame ? *frame : Address{1}, cframe};
  }

  cpython::Walk follow(const Candidate& start, RawStack* out) noexcept {
    memory_.trust_only(stack_memory_);
    detail::Visitor visitor{codes_, trust_ == Trust::own_thread ? &memory_ : nullptr, out};
    if (target_.layout.frame_chain == cpython::FrameChain::frame_object)
      return cpython::walk_frame_objects(memory_, target_.layout, start.frame, visitor);
    return cpython::walk_interpreter_frames(memory_, target_.layout, thread_,
                                            {.frame = start.frame, .cframe = start.cframe, .none = target_.none},
                                            visitor);
  }

  /// 3.11 and 3.12 publish an evaluation before they store its frame: what stands there may be a frame of long ago,
  /// whose chain is whole and yet not what runs. Then the data stack holds more than the chain; as it does for a moment
  /// whenever a frame is pushed.
  bool has_stale_tops() const noexcept { return target_.layout.frame_chain == cpython::FrameChain::cframe; }

  /// Above the topmost frame of a chain there may be one frame that is being pushed or popped, and nothing else.
  bool is_explained(AddressRange gap) noexcept {
    if (gap.size() == 0) return true;
    const auto code = memory::read_pointer(memory_, gap.begin + target_.layout.frame.code);
    if (!code) return false;
    const auto shape = codes_.shape({code->value & ~target_.layout.executable_tag_mask}, 0);
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
      if (const auto outer = memory::read_pointer(memory_, first.cframe + target_.layout.cframe.previous); outer)
        consider(evaluation(*outer));
    for (const long long value : registers.general) {
      const Address address{static_cast<std::uint64_t>(value)};
      consider({address, {}});
      if (has_cframes && stack_memory_.contains(address, 16)) consider(evaluation(address));
    }
    if (best_depth == 0) return false;
    out.truncate(mark);
    follow(best, &out);
    return true;
  }

  const Target& target_;
  memory::LocalMemory& memory_;
  const cpython::RawThread& thread_;
  Trust trust_;
  AddressRange stack_memory_;
  detail::CodeReader codes_;
};

}  // namespace pyagent::inline v0::capture
