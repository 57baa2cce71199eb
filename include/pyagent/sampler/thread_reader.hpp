// Reads the Python stack of a thread of another process: stopped, blocked, or running on.
#pragma once

#include <sys/syscall.h>  // SYS_futex

#include <algorithm>  // any_of, max, min, none_of
#include <array>      // array
#include <chrono>     // microseconds
#include <cstddef>    // byte
#include <cstdint>    // uint16_t
#include <memory>     // make_unique, unique_ptr
#include <optional>   // optional
#include <span>       // as_writable_bytes, span
#include <utility>    // exchange, move, swap
#include <vector>     // vector

#include "pyagent/capture/raw_stack.hpp"
#include "pyagent/capture/thread_capture.hpp"
#include "pyagent/cpython/gil.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/interpreter/code_record.hpp"
#include "pyagent/memory/read_batch.hpp"
#include "pyagent/memory/snapshot.hpp"
#include "pyagent/process/reaper.hpp"
#include "pyagent/process/task_files.hpp"
#include "pyagent/process/tracee.hpp"
#include "pyagent/sampler/code_cache.hpp"
#include "pyagent/sampler/native_reader.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/remote_process.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/sampled_thread.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::inline v0::sampler {

/// What became of an attempt to read a thread.
enum class Verdict : std::uint8_t {
  taken,       ///< ThreadReader::record holds its stack
  changed,     ///< it changed each time it was read
  invalid,     ///< what was read is no whole chain of frames
  unreadable,  ///< memory could not be read
  not_mine,    ///< the thread states are not this thread's any more
  gone,        ///< the thread has ended
};

/// Reads threads of one process, one after the other, and names the code objects they run to a sink.
class ThreadReader {
 public:
  ThreadReader(const Target& target, const Options& options);

  /// Stops the thread, reads it and lets it go on.
  Verdict read_stopped(SampledThread& thread, SampleSink& sink);
  /// Reads the thread while it runs: everything at once, its frames twice. Both must be whole, and one prove the other.
  Verdict read_running(SampledThread& thread, SampleSink& sink);
  /// Reads the thread while it waits in `call`; `changed` when it ran meanwhile.
  Verdict read_blocked(SampledThread& thread, const process::SystemCall& call, SampleSink& sink);

  /// What was taken: frames and flags.
  recording::SampleRecord& record() noexcept { return record_; }
  /// False of a running thread that was ready to run, but had no processor: it may stand where it waited before.
  bool had_processor() const noexcept { return had_processor_; }
  /// The interpreter of the innermost frames.
  Address interpreter() const noexcept { return captured_.interpreter; }

  bool has_gil(const SampledThread& thread) const;

 private:
  /// What one capture gave, besides frames.
  struct Captured {
    capture::Outcome outcome = capture::Outcome::whole;
    std::uint16_t flags = 0;
    Address interpreter;
    bool is_own = true;  ///< the thread states that were read are still this thread's
  };

  static constexpr std::size_t most_frames = 2048;
  static constexpr std::uint32_t root_frames = 64;
  static constexpr int most_tries = 3;
  static constexpr std::uint16_t bit(recording::SampleFlag flag) noexcept { return static_cast<std::uint16_t>(flag); }

  bool ensure_tracee(SampledThread& thread, SampleSink& sink);
  Verdict capture_stopped(SampledThread& thread, bool is_last_try, SampleSink& sink);
  void fetch(SampledThread& thread, bool twice, Address stack_pointer = {});
  void unwind(const unwind::Registers& start, SampleSink& sink);
  Captured capture(const memory::Snapshot& memory, SampledThread& thread, const capture::Registers& registers,
                   bool is_running, bool is_strict, capture::RawStack& stack);
  std::uint16_t flags_of(const cpython::RawThread& thread) const;
  static bool calls_agree(const capture::RawStack& stack) noexcept;
  bool confirm_stack() noexcept;
  bool name_frames(SampleSink& sink, bool may_run);
  bool ensure_known(KnownCode& code, const cpython::RawFrame& frame, SampleSink& sink, bool may_run);

  const Target& target_;
  Options options_;
  capture::Target capture_target_;
  CodeCache codes_;
  recording::CodeId last_code_ = 0;
  bool has_seized_ = false;
  bool had_processor_ = true;
  memory::ReadBatch batch_;
  memory::Snapshot frames_memory_, again_memory_, rest_memory_, text_memory_;
  Address top_between_;
  std::vector<cpython::RawFrame> storage_, again_storage_;
  capture::RawStack stack_, again_;
  recording::SampleRecord record_;
  Captured captured_;
  std::unique_ptr<NativeReader> native_;  ///< with Options::native
};

inline ThreadReader::ThreadReader(const Target& target, const Options& options)
    : target_(target),
      options_(options),
      capture_target_{.layout = target.runtime().layout,
                      .code_type = target.runtime().code_type,
                      .none = target.runtime().none,
                      .interpreter_head = target.runtime().interpreter_head,
                      .runtime = target.runtime().runtime,
                      .current_thread = target.runtime().current_thread_symbol},
      codes_(target.runtime()),
      frames_memory_(target.memory()),
      again_memory_(target.memory()),
      rest_memory_(target.memory()),
      text_memory_(target.memory()),
      storage_(most_frames),
      again_storage_(most_frames),
      stack_(storage_, root_frames),
      again_(again_storage_, root_frames),
      native_(options.native ? std::make_unique<NativeReader>(target, options.module_files) : nullptr) {}

/// False when the thread can't be stopped. Said once, for each thread.
inline bool ThreadReader::ensure_tracee(SampledThread& thread, SampleSink& sink) {
  if (thread.tracee || thread.cannot_be_stopped) return bool{thread.tracee};
  if (process::Leftovers::of_this_thread().contains(thread.tid)) return false;  // ours still: it is about to be let go
  std::optional<process::Reaper> reaper;
  if (has_seized_) reaper.emplace(target_.pid());
  auto seized = process::Tracee::seize(thread.tid);
  if (seized) {
    has_seized_ = true;
    thread.tracee.emplace(std::move(*seized));
  } else if (seized.error().code == Errc::no_process) {
    thread.has_ended = true;
  } else if (seized.error().code != Errc::inconsistent) {  // else it executes a program: next time
    thread.cannot_be_stopped = true;
    sink.count(recording::Counter::unstopped_threads, 1);
  }
  return bool{thread.tracee};
}

inline Verdict ThreadReader::read_stopped(SampledThread& thread, SampleSink& sink) {
  had_processor_ = true;
  if (!ensure_tracee(thread, sink)) return thread.has_ended ? Verdict::gone : read_running(thread, sink);
  for (int i = 1;; ++i) {
    // One that is on a processor stops within some microseconds. One that is not is ready to run, and will stop before
    // it runs on: it stands still already, and waiting for it to be given a processor is of no use.
    constexpr std::chrono::microseconds patience{500};
    auto stop = thread.tracee->stop(std::min<std::chrono::nanoseconds>(patience, options_.stop_budget));
    had_processor_ = stop != process::Tracee::Stop::timeout;
    if (!had_processor_) {
      // Its registers are seen only when it stops.
      if (native_ == nullptr && read_running(thread, sink) == Verdict::taken) return Verdict::taken;
      stop = thread.tracee->stop(options_.stop_budget);
    }
    if (stop == process::Tracee::Stop::timeout) {
      sink.count(recording::Counter::stop_timeouts, 1);
      return read_running(thread, sink);
    }
    if (stop == process::Tracee::Stop::gone) {
      thread.tracee.reset();
      thread.has_ended = true;
      return Verdict::gone;
    }
    const Verdict verdict = capture_stopped(thread, i == most_tries, sink);
    thread.tracee->resume();
    // One that had none was given one to stop. What it did by then, it did in user mode, unless it waited.
    if (had_processor_ && process::is_in_call(thread.tracee->registers()))
      if (const auto after = thread.files.read_schedule(); after)
        had_processor_ = after->timeslices == thread.timeslices;
    if (verdict == Verdict::taken && native_ != nullptr)
      unwind(unwind::registers_of_ptrace(std::span<const long long>{thread.tracee->registers().general}), sink);
    if (verdict != Verdict::changed || i == most_tries) return verdict;
    // What was half linked is looked at again a moment later.
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{20};
    while (std::chrono::steady_clock::now() < until) continue;
  }
}

inline Verdict ThreadReader::capture_stopped(SampledThread& thread, bool is_last_try, SampleSink& sink) {
  const process::Registers& registers = thread.tracee->registers();
  fetch(thread, false, registers.stack_pointer);
  captured_ =
      capture(frames_memory_, thread, {registers.general, registers.stack_pointer}, false, !is_last_try, stack_);
  if (!captured_.is_own) return Verdict::not_mine;
  if (captured_.outcome >= capture::Outcome::suspect && !is_last_try) return Verdict::changed;
  return name_frames(sink, false) ? Verdict::taken : Verdict::changed;
}

inline Verdict ThreadReader::read_running(SampledThread& thread, SampleSink& sink) {
  Verdict verdict = Verdict::changed;
  for (int i = 0; i < most_tries; ++i) {
    fetch(thread, true);
    captured_ = capture(frames_memory_, thread, {}, true, true, stack_);
    if (!captured_.is_own) return Verdict::not_mine;
    verdict = captured_.outcome == capture::Outcome::unreadable ? Verdict::unreadable : Verdict::invalid;
    if (captured_.outcome != capture::Outcome::whole) continue;
    verdict = Verdict::changed;
    const Captured again = capture(again_memory_, thread, {}, true, true, again_);
    // What was read later than the rest is of another moment, in both readings. The next try has it with the rest.
    if (!frames_memory_.is_complete() || !again_memory_.is_complete()) continue;
    if (again.outcome == capture::Outcome::whole && again.is_own && confirm_stack() && name_frames(sink, true))
      return Verdict::taken;
  }
  return verdict;
}

inline Verdict ThreadReader::read_blocked(SampledThread& thread, const process::SystemCall& call, SampleSink& sink) {
  using recording::SampleFlag;
  Verdict verdict = Verdict::changed;
  for (int i = 0; i < most_tries; ++i) {
    fetch(thread, false, call.stack_pointer);
    captured_ = capture(frames_memory_, thread, {}, false, true, stack_);
    const auto after = thread.files.read_schedule();
    if (!after || after->timeslices != thread.timeslices) return Verdict::changed;
    if (!captured_.is_own) return Verdict::not_mine;
    verdict = captured_.outcome == capture::Outcome::unreadable ? Verdict::unreadable : Verdict::invalid;
    if (captured_.outcome != capture::Outcome::whole || !name_frames(sink, false)) continue;
    // The GIL's condition variable is static; locks of Python programs are not.
    const bool waits = call.number == SYS_futex && target_.runtime().image.contains(Address{call.arguments[0]});
    if (waits && !record_.has(SampleFlag::holds_gil)) record_.flags |= bit(SampleFlag::waits_for_gil);
    record_.flags |= bit(SampleFlag::off_cpu);
    if (native_ != nullptr && call.stack_pointer)
      unwind(unwind::registers_of_blocked(call.program_counter, call.stack_pointer), sink);
    return Verdict::taken;
  }
  return verdict;
}

/// Copies what the last sample of this thread needed; with `twice`, its frames twice in a row, as shortly after each
/// other as can be: there, which frame is the innermost, and back. A program that goes round in a loop in the time
/// between two reads would else be torn in the same way twice. What is no frame comes last, and with native frames the
/// stack from `stack_pointer` on.
inline void ThreadReader::fetch(SampledThread& thread, bool twice, Address stack_pointer) {
  batch_.clear();
  frames_memory_.plan(thread.frames_plan, batch_);
  top_between_ = {};
  if (twice) {
    if (thread.top) batch_.add(thread.top, std::as_writable_bytes(std::span{&top_between_, 1}));
    again_memory_.plan(thread.frames_plan, batch_, true);
  }
  rest_memory_.plan(thread.rest_plan, batch_);
  if (native_ != nullptr && stack_pointer) native_->plan(stack_pointer, thread.record.thread_id, batch_);
  batch_.run(target_.pid());
  frames_memory_.take(batch_);
  if (twice) again_memory_.take(batch_);
  rest_memory_.take(batch_);
}

/// Reads the frames of all of the thread's states through `memory`, innermost first.
inline ThreadReader::Captured ThreadReader::capture(const memory::Snapshot& memory, SampledThread& thread,
                                                    const capture::Registers& registers, bool is_running,
                                                    bool is_strict, capture::RawStack& stack) {
  const cpython::Layout& layout = target_.runtime().layout;
  constexpr std::uint64_t most_stack = std::uint64_t{1} << 20;
  const AddressRange stack_memory{registers.stack_pointer,
                                  registers.stack_pointer ? registers.stack_pointer + most_stack : Address{}};
  Captured result;
  stack.clear();
  bool has_begun = false;
  for (const Address state : thread.states) {
    std::array<std::byte, cpython::max_thread_prefix_size> scratch;
    const auto raw = cpython::read_thread(memory, layout, state, scratch);
    if (!raw || raw->thread_id != thread.record.thread_id || !raw->interpreter) {
      result.is_own = false;
      return result;
    }
    if (!std::exchange(has_begun, true) && &memory == &frames_memory_) codes_.begin(rest_memory_, raw->interpreter);
    if (!result.interpreter) {
      result.interpreter = raw->interpreter;
      thread.top = layout.frame_chain == cpython::FrameChain::cframe ? raw->frame + layout.cframe.current_frame
                                                                     : state + layout.thread.frame;
    }
    if (&memory == &frames_memory_) result.flags |= flags_of(*raw);
    RemoteProcess process{layout, memory, codes_, stack_memory, is_running};
    capture::ThreadCapture capture{capture_target_, process, *raw,
                                   native_ != nullptr ? capture::Wanted::anchors : capture::Wanted::python};
    result.outcome = std::max(result.outcome, capture.run(registers, stack, is_strict));
  }
  if (&memory == &frames_memory_) {
    memory.learn(thread.frames_plan);
    rest_memory_.learn(thread.rest_plan);
  }
  return result;
}

inline std::uint16_t ThreadReader::flags_of(const cpython::RawThread& thread) const {
  using recording::SampleFlag;
  const interpreter::Runtime& runtime = target_.runtime();
  if (!cpython::holds_gil(rest_memory_, rest_memory_, runtime.layout, runtime.runtime, runtime.current_thread_symbol,
                          thread))
    return 0;
  const auto collecting = runtime.layout.interpreter.gc_collecting;
  const bool collects =
      collecting != cpython::absent &&
      memory::read_value<std::int32_t>(rest_memory_, thread.interpreter + collecting).value_or(0) == 1;
  return static_cast<std::uint16_t>(bit(SampleFlag::holds_gil) | (collects ? bit(SampleFlag::collects) : 0));
}

/// Whether each frame that called another says so. One that has gone on since, says that it runs.
inline bool ThreadReader::calls_agree(const capture::RawStack& stack) noexcept {
  const auto frames = stack.elided() != 0 ? stack.frames().first(stack.elided_at()) : stack.frames();
  for (std::size_t i = 1; i < frames.size(); ++i)
    if (!frames[i - 1].is_entry && !frames[i].is_suspended) return false;
  return true;
}

/// Whether one of both readings is proven by the other; then it is `stack_`. Called before they are put in order.
///
/// All frames of the shorter one must be in the longer one too, at the same instructions, but for its innermost one,
/// which may have gone on: what it called had just ended in the second reading, or had not begun in the first. Of a
/// longer one only these frames are proven: where it was torn, its innermost one may be another call's. Between both
/// readings one of the frames that were innermost by then must have been so.
inline bool ThreadReader::confirm_stack() noexcept {
  if (!calls_agree(stack_) || !calls_agree(again_)) return false;
  if (again_.depth() < stack_.depth()) std::swap(stack_, again_);
  if (again_.depth() != stack_.depth() && again_.elided() != 0) return false;
  const auto shorter = stack_.frames(), longer = again_.frames();
  const auto tops = longer.first(std::min(longer.size(), longer.size() - shorter.size() + 1));
  if (std::none_of(tops.begin(), tops.end(), [&](const cpython::RawFrame& top) { return top.frame == top_between_; }))
    return false;
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    const cpython::RawFrame &one = shorter[i], &other = longer[longer.size() - shorter.size() + i];
    if (one.frame != other.frame || one.code != other.code || (i != 0 && one.instruction != other.instruction))
      return false;
  }
  return true;
}

/// Turns the captured frames into those of the record; code objects that are new go to the sink. False when one of them
/// changed while it was read. `may_run` says that the thread runs.
inline bool ThreadReader::name_frames(SampleSink& sink, bool may_run) {
  using recording::SampleFlag;
  stack_.finish();
  record_.frames.clear();
  record_.native.clear();
  record_.elided = stack_.elided();
  record_.elided_at = stack_.elided_at();
  record_.flags = static_cast<std::uint16_t>(captured_.flags | (record_.elided != 0 ? bit(SampleFlag::elided) : 0));
  switch (captured_.outcome) {
    case capture::Outcome::whole:
      break;
    case capture::Outcome::repaired:
      record_.flags |= bit(SampleFlag::repaired);
      break;
    case capture::Outcome::suspect:
      record_.flags |= bit(SampleFlag::suspect);
      break;
    case capture::Outcome::unreadable:
      record_.flags |= bit(SampleFlag::unreadable);
      break;
  }
  KnownCode* known = nullptr;
  for (const cpython::RawFrame& frame : stack_.frames()) {
    if (known == nullptr || known->address != frame.code) known = codes_.find(frame.code);
    if (known == nullptr || !ensure_known(*known, frame, sink, may_run)) return false;
    record_.frames.push_back({known->id, frame.instruction, frame.is_entry});
  }
  sink.look(stack_.frames());
  return true;
}

/// Adds the native frames to the record, when its Python frames are there.
inline void ThreadReader::unwind(const unwind::Registers& start, SampleSink& sink) {
  native_->unwind(start, stack_.frames(), batch_, record_, sink);
}

inline bool ThreadReader::ensure_known(KnownCode& known, const cpython::RawFrame& frame, SampleSink& sink,
                                       bool may_run) {
  if (known.id != 0) return true;
  text_memory_.clear();
  auto code = interpreter::read_code_record(text_memory_, target_.runtime().layout, frame, known.raw);
  if (may_run) {
    text_memory_.clear();
    if (!codes_.is_same(known, text_memory_)) return false;
  }
  code.id = known.id = ++last_code_;
  sink.add_code(code);
  return true;
}

inline bool ThreadReader::has_gil(const SampledThread& thread) const {
  const interpreter::Runtime& runtime = target_.runtime();
  std::array<std::byte, cpython::max_thread_prefix_size> scratch;
  return std::any_of(thread.states.begin(), thread.states.end(), [&](Address state) {
    const auto raw = cpython::read_thread(target_.memory(), runtime.layout, state, scratch);
    return raw && cpython::holds_gil(target_.memory(), target_.memory(), runtime.layout, runtime.runtime,
                                     runtime.current_thread_symbol, *raw);
  });
}

}  // namespace pyagent::inline v0::sampler
