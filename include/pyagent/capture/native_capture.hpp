// The native stack of one thread, with the eval loops of its Python frames marked. signal-safe
#pragma once

#include <algorithm>  // min
#include <cstdint>    // uint32_t
#include <span>       // span

#include "pyagent/capture/native_frame.hpp"
#include "pyagent/capture/python_anchors.hpp"
#include "pyagent/capture/spilled_frames.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/chain.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/frame_pointer.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/stack_scan.hpp"
#include "pyagent/unwind/step.hpp"

namespace pyagent::inline v0::capture {

template <class R>
concept CodeMap = unwind::CodeMap<R>;

/// Where a native walk ended.
enum class NativeEnd : std::uint8_t {
  root,       ///< at the outermost frame
  truncated,  ///< at a frame whose caller could not be found; NativeWalk::stop says why
  too_deep,   ///< there was no room for more
};

/// What a native walk came to.
struct NativeWalk {
  std::uint32_t depth = 0;
  NativeEnd end = NativeEnd::truncated;
  unwind::StepResult stop = unwind::StepResult::ok;  ///< the last step's, when truncated
  std::uint32_t claimed = 0;  ///< frames with is_eval: so many of the first anchors have their place
  std::uint32_t skipped = 0;  ///< of these, eval loops that were not found themselves (their pc is null)
  bool used_frame_pointer = false;
  bool scanned = false;
  bool resumed = false;  ///< at an anchor: what lies between is not known
};

/// Another stack that a thread runs on now and then (sigaltstack, a coroutine's) is followed so far at most.
inline constexpr std::uint64_t max_other_stack = std::uint64_t{1} << 20;

namespace detail {

template <memory::Memory M, CodeMap R, class Arch>
class NativeCapture {
 public:
  using Registers = unwind::BasicRegisters<Arch>;
  using StepResult = unwind::StepResult;

  NativeCapture(const M& memory, R& code, const Registers& start, AddressRange stack, const PythonAnchors& python,
                AnchorDistance& learned, std::span<NativeFrame> out) noexcept
      : memory_(memory),
        code_(code),
        start_(start),
        stack_(stack),
        python_(python),
        learned_(learned),
        anchors_(python.are_spilled ? std::span<const Address>{} : python.anchors, stack),
        frames_(out),
        registers_(start) {
    limits_.authentication_mask = Arch::authentication_mask;
    choose_stack();
  }

  NativeWalk run() noexcept {
    walk_.end = walk();
    walk_.claimed = anchors_.taken();
    if (python_.are_spilled) {
      SpilledFrames<M, Arch> spilled{memory_, python_, start_, frames_};
      walk_.claimed = spilled.pair(walk_.end == NativeEnd::root);
      walk_.skipped = spilled.skipped();
    }
    walk_.depth = frames_.depth();
    return walk_;
  }

 private:
  static constexpr unsigned max_stack_changes = 8;
  static constexpr unsigned max_scans = 4;
  static constexpr unsigned max_guessed_steps = 1024;  // of all chains that are followed only to see where they lead

  NativeEnd walk() noexcept {
    if (!push(registers_.program_counter(), FoundBy::registers, true)) return NativeEnd::too_deep;
    for (;;) {
      const NativeFrame& frame = frames_.back();
      const unwind::UnwindRule rule = code_.find_rule(unwind::lookup_address(frame.pc, frame.is_exact));
      unwind::Caller caller = unwind::find_caller(memory_, rule, registers_, limits_);
      if (caller.result == StepResult::end || (caller.result == StepResult::null_return && is_clean_))
        return NativeEnd::root;
      Progress progress = Progress::stuck;
      if (is_sure(rule, caller)) {
        progress = enter(caller, FoundBy::rules, &rule);
      } else if (rule.cfa == unwind::CfaRule::unknown && is_first_function(frame)) {
        return NativeEnd::root;
      } else {
        is_clean_ = false;
        progress = climb(rule.cfa != unwind::CfaRule::unknown);
      }
      if (progress == Progress::full) return NativeEnd::too_deep;
      if (progress == Progress::stuck) {
        walk_.stop = caller.result == StepResult::ok ? StepResult::implausible : caller.result;
        return NativeEnd::truncated;
      }
    }
  }

  /// A program's first function has a frame pointer of zero, whether it has call frame information (a Python 3.5 was
  /// seen without) or not. Source: System V ABI, AMD64 supplement, 3.4.1
  bool is_first_function(const NativeFrame& frame) const noexcept {
    return is_clean_ && !frame.is_exact && registers_.is_exact(Arch::frame_pointer) && !registers_.frame_pointer() &&
           anchors_.find_above(registers_.stack_pointer()).count == 0;
  }

  enum class Progress : std::uint8_t { made, stuck, full };

  bool push(Address pc, FoundBy found_by, bool is_exact) noexcept {
    return frames_.push({.pc = pc, .found_by = found_by, .is_exact = is_exact});
  }

  /// The thread's own stack, or the one that it is on instead.
  void choose_stack() noexcept {
    const Address sp = registers_.stack_pointer();
    const std::uint64_t rest = ~std::uint64_t{0} - sp.value;
    limits_.stack = is_on_own_stack() ? stack_ : AddressRange{sp, sp + std::min(rest, max_other_stack)};
  }

  bool is_on_own_stack() const noexcept { return stack_.contains(registers_.stack_pointer()); }

  unwind::Goal goal() const noexcept {
    if (!is_on_own_stack()) return {};
    const auto next = anchors_.find_above(registers_.stack_pointer());
    return next.count == 0 ? unwind::Goal{} : unwind::Goal{next.anchor, learned_.distance()};
  }

  /// From the last frame to `caller`, which is pushed. `rule` is the last frame's, when it was found by one.
  Progress enter(const unwind::Caller& caller, FoundBy found_by, const unwind::UnwindRule* rule = nullptr) noexcept {
    if (caller.has_context && ++stack_changes_ > max_stack_changes) return Progress::stuck;
    frames_.back().cfa = caller.cfa;
    if (is_on_own_stack() && !claim(caller, rule)) return Progress::full;
    callee_sp_ = registers_.stack_pointer();
    if (!unwind::enter_caller(memory_, caller, registers_)) return Progress::stuck;
    if (caller.has_context) choose_stack();
    return push(caller.program_counter, found_by, caller.is_interrupted) ? Progress::made : Progress::full;
  }

  /// The last frame ends at the caller's stack pointer: if anchors lie in it, it is an eval loop.
  bool claim(const unwind::Caller& caller, const unwind::UnwindRule* rule) noexcept {
    const auto found = anchors_.find(registers_.stack_pointer(), caller.cfa);
    if (found.count == 0) return true;
    const std::uint32_t unfound = found.skipped + found.count - 1;
    if (!frames_.insert_unfound_evals(frames_.depth() - 1, unfound)) return false;
    anchors_.take(found);
    walk_.skipped += unfound;
    frames_.back().is_eval = true;
    if (is_clean_ && unfound == 0 && rule != nullptr) learn(caller.cfa - found.anchor, *rule);
    return true;
  }

  void learn(std::uint64_t distance, const unwind::UnwindRule& rule) noexcept {
    using unwind::SavedRule;
    // Where the frame pointer is saved isn't seen in the first and last instructions of the function.
    if (rule.frame_pointer.rule != SavedRule::at_cfa || rule.return_address.rule != SavedRule::at_cfa) return;
    learned_.learn({static_cast<std::uint32_t>(distance), rule.frame_pointer.offset, rule.return_address.offset});
  }

  /// What the rule says is exact, or leads on to the goal.
  bool is_sure(const unwind::UnwindRule& rule, unwind::Caller& caller) noexcept {
    if (caller.result == StepResult::ok && !caller.is_presumed) return true;
    const bool is_found = unwind::is_believable(code_, caller) && leads_on(caller, goal());
    return find_kept_register(rule, caller, is_found) || is_found;
  }

  /// A CFA by a register that the callee has to keep (rbx in ld.so's _dl_runtime_resolve): its value is among the words
  /// that the callee pushed first, below the return address. Other words there point further out; so of those that lead
  /// on the nearest CFA is the one, be it by what the register holds now (`is_found`) or by a word.
  bool find_kept_register(const unwind::UnwindRule& rule, unwind::Caller& caller, bool is_found) noexcept {
    const unsigned number = rule.cfa_register;
    if (rule.cfa != unwind::CfaRule::offset || registers_.is_exact(number)) return false;
    if (number >= Arch::count || (Arch::kept_registers >> number & 1) == 0) return false;
    const Address sp = registers_.stack_pointer();
    Registers candidate = registers_;
    bool is_better = false;
    for (Address at = sp - 16; at >= callee_sp_ && at >= sp - Arch::saved_area; at = at - 8) {
      const auto word = memory::read_value<std::uint64_t>(memory_, at);
      if (!word) return is_better;
      if (Address{*word} < sp || !limits_.stack.contains(Address{*word})) continue;
      candidate.presume(number, *word);
      const unwind::Caller found = unwind::find_caller(memory_, rule, candidate, limits_);
      if (!unwind::is_believable(code_, found) || ((is_found || is_better) && found.cfa >= caller.cfa)) continue;
      if (!leads_on(found, goal())) continue;
      caller = found;
      is_better = true;
    }
    return is_better;
  }

  /// From a frame whose rule doesn't help to some caller.
  Progress climb(bool has_rule) noexcept {
    const unwind::Goal wanted = goal();
    const unwind::Caller by_pointer = unwind::find_caller_by_frame_pointer(memory_, code_, registers_, limits_);
    const bool has_pointer = by_pointer.result == StepResult::ok && fits(by_pointer, wanted);
    if (has_pointer && leads_on(by_pointer, wanted)) return enter_by_frame_pointer(by_pointer);
    if (scans_ < max_scans && scan(wanted, has_rule)) {
      walk_.scanned = true;
      return push(registers_.program_counter(), FoundBy::scan, false) ? Progress::made : Progress::full;
    }
    if (const Progress progress = resume(); progress != Progress::stuck) return progress;
    return has_pointer ? enter_by_frame_pointer(by_pointer) : Progress::stuck;
  }

  /// The frame doesn't go beyond the next anchor, unless it is the eval loop.
  static bool fits(const unwind::Caller& caller, const unwind::Goal& wanted) noexcept {
    return !wanted.anchor || caller.cfa <= wanted.anchor || wanted.distance == 0 ||
           caller.cfa - wanted.anchor == wanted.distance;
  }

  bool leads_on(const unwind::Caller& caller, unwind::Goal wanted) noexcept {
    Registers next = registers_;
    if (!unwind::enter_caller(memory_, caller, next)) return false;
    if (wanted.anchor && wanted.anchor < caller.cfa) {
      const auto beyond = anchors_.find_above(caller.cfa);
      wanted.anchor = beyond.count != 0 ? beyond.anchor : Address{};
    }
    return unwind::follow_chain(memory_, code_, next, limits_, wanted, guessed_steps_).end != unwind::ChainEnd::broken;
  }

  Progress enter_by_frame_pointer(const unwind::Caller& caller) noexcept {
    walk_.used_frame_pointer = true;
    return enter(caller, FoundBy::frame_pointer);
  }

  bool scan(const unwind::Goal& wanted, bool has_rule) noexcept {
    ++scans_;
    if (!unwind::scan_for_caller(memory_, code_, registers_, has_rule, limits_, wanted, guessed_steps_)) return false;
    frames_.back().cfa = callee_sp_ = registers_.stack_pointer();
    return true;
  }

  /// Goes on with the caller of the next eval loop, wherever the last frame is.
  Progress resume() noexcept {
    if (!is_on_own_stack() || !learned_.is_known()) return Progress::stuck;
    const auto next = anchors_.find_above(registers_.stack_pointer());
    if (next.count == 0) return Progress::stuck;
    const EvalShape& shape = learned_.shape();
    const auto from = [](Address base, std::int32_t offset) {
      return base + static_cast<std::uint64_t>(std::int64_t{offset});
    };
    unwind::Caller caller;
    caller.cfa = next.anchor + shape.distance;
    if (caller.cfa <= registers_.stack_pointer() || caller.cfa > limits_.stack.end) return Progress::stuck;
    const auto pc = memory::read_pointer(memory_, from(caller.cfa, shape.return_address));
    const auto frame_pointer = memory::read_pointer(memory_, from(caller.cfa, shape.frame_pointer));
    if (!pc || !frame_pointer) return Progress::stuck;
    caller.program_counter = Address{pc->value & ~limits_.authentication_mask};
    if (!unwind::is_plausible_code(caller.program_counter, limits_.stack)) return Progress::stuck;
    if (!code_.follows_call(caller.program_counter)) return Progress::stuck;
    caller.has_frame_pointer = caller.is_frame_pointer_exact = true;
    caller.frame_pointer = frame_pointer->value;
    return enter_beyond(next, caller);
  }

  Progress enter_beyond(const AnchorQueue::Claim& next, const unwind::Caller& caller) noexcept {
    const std::uint32_t unfound = next.skipped + next.count;
    if (!frames_.insert_unfound_evals(frames_.depth(), unfound)) return Progress::full;
    anchors_.take(next);
    walk_.skipped += unfound;
    walk_.resumed = true;
    frames_.back().cfa = callee_sp_ = caller.cfa;
    (void)unwind::enter_caller(memory_, caller, registers_);  // reads nothing: there is no context
    return push(caller.program_counter, FoundBy::anchor, false) ? Progress::made : Progress::full;
  }

  const M& memory_;
  R& code_;
  const Registers& start_;
  AddressRange stack_;
  const PythonAnchors& python_;
  AnchorDistance& learned_;
  AnchorQueue anchors_;
  NativeFrames frames_;
  Registers registers_;  // of the last frame
  Address callee_sp_{~std::uint64_t{0}};
  unwind::StepLimits limits_;
  NativeWalk walk_;
  unsigned stack_changes_ = 0;
  unsigned scans_ = 0;
  unsigned guessed_steps_ = max_guessed_steps;
  bool is_clean_ = true;  // all frames so far were found by rules
};

}  // namespace detail

/// Unwinds a thread's native stack from its registers.
///
/// Shape:  fills `out` from the front, leaf first. The innermost frame is `start` itself. By the rules of `code`; where
///         there is no rule that helps, by the frame pointer, by a scan of the stack, or from the next of Python's
///         anchors.
/// Errors: none; a stop keeps the frames before it. Time and depth are bounded whatever the memory holds.
///
/// `stack` is the thread's. `memory` may have less than all of it. `learned` is the interpreter's, kept from walk to
/// walk.
template <memory::Memory M, CodeMap R, class Arch>
NativeWalk capture_native(const M& memory, R& code, const unwind::BasicRegisters<Arch>& start, AddressRange stack,
                          const PythonAnchors& python, AnchorDistance& learned, std::span<NativeFrame> out) noexcept {
  return detail::NativeCapture<M, R, Arch>{memory, code, start, stack, python, learned, out}.run();
}

}  // namespace pyagent::inline v0::capture
