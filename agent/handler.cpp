// The signal handler: one sample of the thread that it interrupts. No heap, no locks, no stdio, hardly any stack.
#include <pthread.h>   // pthread_self
#include <signal.h>    // siginfo_t
#include <ucontext.h>  // ucontext_t

#include <algorithm>  // min
#include <atomic>     // atomic
#include <cerrno>     // errno
#include <cstdint>    // uint64_t

#include "engine.hpp"
#include "native.hpp"
#include "pyagent/capture/own_process.hpp"
#include "pyagent/capture/thread_capture.hpp"
#include "pyagent/cpython/defining_class.hpp"
#include "pyagent/cpython/gil.hpp"
#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/cpython/thread_name.hpp"
#include "pyagent/recording/records.hpp"
#include "run_on_stack.hpp"
#include "sample.hpp"
#include "signals.hpp"
#include "state.hpp"

namespace pyagent::agent {

constinit State state{};
__attribute__((tls_model("initial-exec"))) thread_local Slot* own_slot = nullptr;

namespace {

using memory::LocalMemory;
using memory::ProvenMemory;
using recording::Counter;
using recording::SampleFlag;

constexpr std::uint32_t bit(SampleFlag flag) noexcept { return static_cast<std::uint32_t>(flag); }

capture::Registers registers_of(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  constexpr std::size_t general = 16;  // r8 to rsp, then rip: all of them but the segment words
  return {{machine.gregs, general}, {static_cast<std::uint64_t>(machine.gregs[REG_RSP])}};
#elif defined(__aarch64__)
  return {{reinterpret_cast<const long long*>(machine.regs), 31}, {machine.sp}};
#endif
}

/// The thread's value for CPython's thread-specific key. Read from where the C library keeps it rather than asked for:
/// pthread_getspecific repairs what it finds, which loses the program's value when it interrupts pthread_setspecific.
Address read_specific_thread_state() noexcept {
  const auto key_offset = state.target->layout.runtime.tss_key;
  if (state.thread_data_offset == 0 || key_offset == cpython::absent || !state.target->runtime) return {};
  // Source: Py_tss_t {int _is_initialized; pthread_key_t _key;}, CPython Include/cpython/pythread.h
  const ProvenMemory memory;
  const auto is_initialized = memory::read_value<std::int32_t>(memory, state.target->runtime + key_offset).value_or(0);
  const auto key = memory::read_value<std::uint32_t>(memory, state.target->runtime + key_offset + 4).value_or(0);
  constexpr std::uint32_t keys_inline = 32;  // glibc nptl/descr.h: PTHREAD_KEY_2NDLEVEL_SIZE
  if (is_initialized == 0 || key >= keys_inline) return {};
  const Address self{pthread_self()};
  return memory::read_pointer(memory, self + state.thread_data_offset + std::uint64_t{key} * 16).value_or(Address{});
}

/// The PyThreadState at `candidate` if it is this thread's.
bool read_own(const LocalMemory& memory, Slot& slot, Address candidate, cpython::RawThread& thread) noexcept {
  if (!candidate) return false;
  const auto read = cpython::read_thread(memory, state.target->layout, candidate, slot.scratch);
  if (!read || read->thread_id != slot.thread.thread_id || !read->interpreter) return false;
  thread = *read;
  return true;
}

/// The newest interpreter. Its address stands in static memory, which is always there.
Address newest_interpreter() noexcept {
  return memory::read_pointer(ProvenMemory{}, state.target->interpreter_head).value_or(Address{});
}

Address newest_thread(const LocalMemory& memory) noexcept {
  const Address interpreter = newest_interpreter();
  if (!interpreter) return {};
  return memory::read_pointer(memory, interpreter + state.target->layout.interpreter.threads_head).value_or(Address{});
}

/// Most thread states that one thread may have: one for each interpreter whose code is on its stack.
constexpr std::size_t max_states = 8;
using ThreadStates = FixedVector<Address, max_states>;

bool has_one_interpreter(const LocalMemory& memory) noexcept {
  const Address newest = newest_interpreter();
  return !newest || !memory::read_pointer(memory, newest + state.target->layout.interpreter.next).value_or(Address{});
}

/// Finds this thread's states by the interpreters' own lists.
__attribute__((noinline)) void search_states(const LocalMemory& memory, Slot& slot, ThreadStates& found) noexcept {
  cpython::visit_threads(memory, state.target->layout, state.target->interpreter_head, slot.scratch,
                         [&](const cpython::RawThread& thread) {
                           return thread.thread_id != slot.thread.thread_id || found.push_back(thread.thread);
                         });
}

/// The thread's states, the one that runs first.
__attribute__((noinline)) void find_states(const LocalMemory& memory, Slot& slot, ThreadStates& found) noexcept {
  if (has_one_interpreter(memory)) {
    cpython::RawThread thread;
    for (const Address candidate : {read_specific_thread_state(), slot.thread_state})
      if (read_own(memory, slot, candidate, thread)) {
        slot.thread_state = candidate;
        found.push_back(candidate);
        return;
      }
    // A thread that never ran Python is not looked for at each tick, since the list may be long: only when a thread
    // state was made since, and now and then, because one is in the list for a moment before it is bound to its thread.
    constexpr std::uint32_t period = 64;
    const Address head = newest_thread(memory);
    if (head == slot.searched_head && slot.skipped_searches++ % period != 0 && !read_own(memory, slot, head, thread))
      return;
    slot.searched_head = head;
    search_states(memory, slot, found);
    slot.thread_state = found.empty() ? Address{} : found[0];
    return;
  }
  search_states(memory, slot, found);
  // 3.12 on binds the key to the state that was attached last, which is the innermost one.
  const Address innermost = read_specific_thread_state();
  for (std::size_t i = 1; i < found.size(); ++i)
    if (found[i] == innermost) std::swap(found[0], found[i]);
}

/// Adds the marker of a text that was cut.
std::span<const char> finish_text(std::span<char> room, const Result<cpython::StringPiece>& piece) noexcept {
  if (!piece) return {};
  constexpr char marker[] = {'\xe2', '\x80', '\xa6'};  // an ellipsis
  std::size_t size = piece->size;
  if (piece->is_cut && size + sizeof marker <= room.size()) {
    std::copy(std::begin(marker), std::end(marker), room.begin() + static_cast<std::ptrdiff_t>(size));
    size += sizeof marker;
  }
  return room.first(size);
}

/// Room for a text, without that of the marker.
std::span<char> room_for_text(std::array<char, 4096>& text) noexcept { return std::span{text}.first(text.size() - 3); }

/// `memory` reads the code object; the classes that tell its owner are read guarded, because they may change at any
/// time.
template <memory::Memory M>
__attribute__((noinline)) std::uint32_t write_code(const M& memory, Slot& slot, const cpython::RawFrame& frame,
                                                   const cpython::RawCode& code, std::uint64_t identity) noexcept {
  const cpython::Layout& layout = state.target->layout;
  const auto read_text = [&](Address address, std::array<char, 4096>& text) {
    return finish_text(text, cpython::read_string(memory, layout, address, room_for_text(text)));
  };
  const auto name = read_text(code.name, slot.texts[0]);
  const auto filename = read_text(code.filename, slot.texts[1]);
  std::span<const char> qualified;
  if (code.qualname) {
    qualified = read_text(code.qualname, slot.texts[2]);
  } else if (const auto owner =
                 cpython::read_defining_class(LocalMemory{state.pid, state.can_read_by_call}, layout, frame.frame,
                                              frame.code, code, room_for_text(slot.texts[2]))) {
    auto& text = slot.texts[2];
    const std::size_t fits = std::min(name.size(), text.size() - owner->size - 1);
    text[owner->size] = '.';
    std::copy_n(name.begin(), fits, text.begin() + static_cast<std::ptrdiff_t>(owner->size) + 1);
    qualified = std::span{text}.first(owner->size + 1 + fits);
  }
  const auto lines = memory::read_value<std::uint64_t>(memory, code.lines + layout.object.var_size).value_or(0);
  const std::uint32_t id = state.next_code.fetch_add(1, std::memory_order_relaxed) + 1;
  const Errc failed = slot.writer.write_code(
      {.id = id, .first_line = code.first_line, .line_format = static_cast<std::uint8_t>(layout.line_table)}, name,
      qualified, filename, static_cast<std::size_t>(std::min<std::uint64_t>(lines, recording::max_record_size)),
      [&](std::span<std::byte> out) { return memory.read(code.lines + layout.bytes.data, out) == Errc::ok; });
  if (failed != Errc::ok) return 0;
  state.codes.insert(frame.code, identity, id);
  return id;
}

template <memory::Memory M>
std::uint32_t find_or_write_code(const M& memory, Slot& slot, const cpython::RawFrame& frame) noexcept {
  const auto code = cpython::read_raw_code(memory, state.target->layout, frame.code);
  if (!code) return 0;
  const std::uint64_t identity = cpython::code_identity(memory, state.target->layout, *code);
  const std::uint32_t known = state.codes.find(frame.code, identity);
  return known != 0 ? known : write_code(memory, slot, frame, *code, identity);
}

/// Writes the thread's name if it changed; looked at ever more rarely, since it hardly does.
__attribute__((noinline)) void update_name(const LocalMemory& memory, Slot& slot, Address interpreter) noexcept {
  auto& text = slot.texts[0];
  std::span<const char> name;
  if (slot.thread.is_main) {
    constexpr char main_name[] = {'M', 'a', 'i', 'n', 'T', 'h', 'r', 'e', 'a', 'd'};
    std::copy(std::begin(main_name), std::end(main_name), text.begin());
    name = std::span{text}.first(sizeof main_name);
  } else {
    name = finish_text(text, cpython::read_thread_name(memory, state.target->layout, interpreter, slot.thread.thread_id,
                                                       room_for_text(text)));
  }
  // The kernel tells a thread its own name only; of another one it is asked again at the next look.
  if (name.empty() && &slot == own_slot) name = read_kernel_name(text);
  if (name.empty()) return;
  std::uint64_t hash = 1;
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  if (hash == slot.name_hash) return;
  if (slot.writer.write_thread_name(slot.thread.index, name) == Errc::ok) slot.name_hash = hash;
}

capture::Wanted wanted() noexcept { return state.native ? capture::Wanted::anchors : capture::Wanted::python; }

/// Frames of all of the thread's states, innermost first.
struct Capture {
  capture::Outcome outcome = capture::Outcome::whole;
  bool holds_gil = false;
  Address interpreter;
};

__attribute__((noinline)) Capture capture_states(LocalMemory& memory, Slot& slot, const ThreadStates& states,
                                                 const void* context, capture::RawStack& stack) noexcept {
  Capture result;
  const capture::Registers registers = registers_of(context);
  const AddressRange stack_memory{registers.stack_pointer, std::max(registers.stack_pointer, slot.own_stack.end)};
  cpython::RawThread thread;
  for (const Address address : states) {
    if (!read_own(memory, slot, address, thread)) continue;
    if (!result.interpreter) result.interpreter = thread.interpreter;
    result.holds_gil = result.holds_gil || cpython::holds_gil(ProvenMemory{}, memory, state.target->layout, state.target->runtime,
                                                              state.target->current_thread, thread);
    capture::OwnProcess process{*state.target, memory, capture::Trust::own_thread, stack_memory};
    capture::ThreadCapture capture{*state.target, process, thread, wanted()};
    result.outcome = std::max(result.outcome, capture.run(registers, stack, !slot.is_second_look));
  }
  return result;
}

/// The self-check of a version that nobody described: nothing is recorded before one stack was whole, from a leaf to
/// the thread's base with a code object and an instruction inside it in each frame. What is not whole meanwhile is
/// dropped and counted.
bool passes_self_check(capture::Outcome outcome) noexcept {
  if (!state.is_doubted.load(std::memory_order_relaxed)) return true;
  if (outcome != capture::Outcome::whole) return false;
  state.is_doubted.store(false, std::memory_order_relaxed);
  return true;
}

/// Turns frames into what a sample stores; the number of them, or none if a code object could not be recorded.
std::span<const recording::CodedFrame> code_frames(const LocalMemory& memory, Slot& slot,
                                                   std::span<const cpython::RawFrame> frames, bool is_proven) noexcept {
  Address last_code;
  std::uint32_t last_id = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].code != last_code || i == 0) {
      last_id =
          is_proven ? find_or_write_code(ProvenMemory{}, slot, frames[i]) : find_or_write_code(memory, slot, frames[i]);
      if (last_id == 0) return {};
      last_code = frames[i].code;
    }
    slot.coded[i] = {.code = last_id * 2 + frames[i].is_entry, .instruction = frames[i].instruction};
  }
  return std::span{slot.coded}.first(frames.size());
}

/// How a sample is flagged and counted that was not simply whole.
struct Mark {
  std::uint32_t flag = 0;
  Counter counter{};
};

constexpr Mark mark_of(capture::Outcome outcome) noexcept {
  switch (outcome) {
    case capture::Outcome::whole:
      break;
    case capture::Outcome::repaired:
      return {bit(SampleFlag::repaired), Counter::repaired};
    case capture::Outcome::suspect:
      return {bit(SampleFlag::suspect), Counter::suspect};
    case capture::Outcome::unreadable:
      return {bit(SampleFlag::unreadable), Counter::unreadable};
  }
  return {};
}

__attribute__((noinline)) void write_sample(const LocalMemory& memory, Slot& slot, const Capture& captured,
                                            const capture::RawStack& stack, const void* context, std::uint64_t now,
                                            std::uint64_t cpu) noexcept {
  const bool is_proven = captured.outcome == capture::Outcome::whole || captured.outcome == capture::Outcome::repaired;
  if (!ensure_recording()) return count(Counter::dropped);
  const auto coded = code_frames(memory, slot, stack.frames(), is_proven);
  recording::SampleHead head{.time = now, .cpu = cpu, .elided = stack.elided(), .elided_at = stack.elided_at()};
  if (captured.holds_gil) head.flags |= bit(SampleFlag::holds_gil);
  if (stack.elided() != 0) head.flags |= bit(SampleFlag::elided);
  const Mark mark = mark_of(captured.outcome);
  head.flags |= mark.flag;
  NativeSample native;
  if (state.native) {
    native = capture_native_frames(memory, slot, unwind::registers_of(*static_cast<const ucontext_t*>(context)),
                                   stack.frames());
    head.flags |= native.flags;
  }
  if (coded.size() != stack.frames().size() || slot.writer.write_sample(head, coded, native.frames) != Errc::ok)
    return count(Counter::dropped);
  if (!native.frames.empty()) count(recording::native_counter(static_cast<std::uint16_t>(head.flags)));
  slot.sampled_cpu += cpu;
  ++slot.samples;
  count(Counter::samples);
  if (stack.elided() != 0) count(Counter::elided);
  if (mark.flag != 0) count(mark.counter);
  if ((slot.samples & (slot.samples - 1)) == 0) update_name(memory, slot, captured.interpreter);
}

__attribute__((noinline)) void take_sample(Slot& slot, const void* context) noexcept {
  const std::uint64_t clock = read_clock(state.clock == CLOCK_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
  const std::uint64_t used = clock - slot.last_cpu;
  LocalMemory memory{state.pid, state.can_read_by_call};
  ThreadStates states;
  find_states(memory, slot, states);
  capture::RawStack stack{slot.frames, kept_root_frames};
  const Capture captured = capture_states(memory, slot, states, context, stack);
  // What was caught between two frames is left to the next tick, with the time it stands for.
  if (captured.outcome == capture::Outcome::suspect && ask_for_second_look(slot)) return;
  slot.is_second_look = false;
  slot.last_cpu = clock;
  state.ticked_cpu.fetch_add(used, std::memory_order_relaxed);
  stack.finish();
  if (stack.depth() != 0 && !passes_self_check(captured.outcome)) return count(Counter::dropped);
  const bool is_whole = captured.outcome == capture::Outcome::whole;
  if (stack.depth() == 0 && !(state.native && is_whole))
    return count(is_whole ? Counter::without_python : Counter::unreadable);
  write_sample(memory, slot, captured, stack, context, read_clock(CLOCK_MONOTONIC), used);
}

/// What the handler's work is given on its own stack.
struct Tick {
  Slot& slot;
  const void* context;
};

void work(void* given) noexcept {
  const Tick& tick = *static_cast<const Tick*>(given);
  take_sample(tick.slot, tick.context);
  find_unsampled_threads();
}

/// The slot that a signal speaks of, if it is this thread's; `value` may be anything, since anybody can send a signal.
Slot* slot_of(const void* value) noexcept {
  if (own_slot != nullptr) return own_slot == value ? own_slot : nullptr;
  // A thread that was not seen starting got its timer from outside.
  const pid_t tid = current_tid();
  for (std::uint32_t chunk = 0; chunk < max_slot_chunks; ++chunk) {
    Slot* const slots = state.chunks[chunk].load(std::memory_order_acquire);
    if (slots == nullptr) break;
    for (std::uint32_t i = 0; i < slots_per_chunk; ++i)
      if (slots + i == value && state.owners[chunk * slots_per_chunk + i].load(std::memory_order_acquire) == tid)
        return own_slot = slots + i;
  }
  return nullptr;
}

}  // namespace

extern "C" void pyagent_on_signal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  Slot* const slot = info->si_code == SI_TIMER ? slot_of(info->si_value.sival_ptr) : nullptr;
  if (slot == nullptr) {
    forward_signal(signal, info, context);
  } else if (state.phase.load(std::memory_order_acquire) == Phase::sampling &&
             slot->is_armed.load(std::memory_order_acquire)) {
    if (slot->thread.thread_id == 0) slot->thread.thread_id = pthread_self();
    if (const Busy busy{*slot}; busy.got()) {
      Tick tick{*slot, context};
      run_on_stack(slot->stack.data() + slot->stack.size(), work, &tick);
    } else {
      count(Counter::dropped);
    }
    set_timer_anew(*slot);
  }
  errno = saved_errno;
}

bool capture_parked(Slot& slot) noexcept {
  slot.parked.depth = slot.parked.native_depth = 0;
  LocalMemory memory{state.pid, state.can_read_by_call};
  ThreadStates states;
  search_states(memory, slot, states);
  capture::RawStack stack{slot.frames, kept_root_frames};
  cpython::RawThread thread;
  for (const Address address : states) {
    if (!read_own(memory, slot, address, thread)) continue;
    capture::OwnProcess process{*state.target, memory, capture::Trust::nothing, {}};
    capture::ThreadCapture capture{*state.target, process, thread, wanted()};
    if (capture.run({{}, {}}, stack) != capture::Outcome::whole) return false;
  }
  stack.finish();
  if ((stack.depth() == 0 && !state.native) || !ensure_recording()) return false;
  const auto coded = code_frames(memory, slot, stack.frames(), false);
  if (coded.size() != stack.frames().size()) return false;
  std::copy(coded.begin(), coded.end(), slot.parked.stack.begin());
  slot.parked.depth = static_cast<std::uint32_t>(coded.size());
  slot.parked.elided = stack.elided();
  slot.parked.elided_at = stack.elided_at();
  if (state.native) {
    const NativeSample native = capture_waiting_native_frames(memory, slot, stack.frames());
    std::copy(native.frames.begin(), native.frames.end(), slot.parked.native.begin());
    slot.parked.native_depth = static_cast<std::uint32_t>(native.frames.size());
    slot.parked.native_flags = native.flags;
  }
  if (slot.name_hash == 0) update_name(memory, slot, thread.interpreter);
  return slot.parked.depth + slot.parked.native_depth != 0;
}

void write_parked_sample(Slot& slot) noexcept {
  const Parked& parked = slot.parked;
  const recording::SampleHead head{
      .time = read_clock(CLOCK_MONOTONIC),
      .wall = parked.wall,
      .flags = bit(SampleFlag::off_cpu) | (parked.elided != 0 ? bit(SampleFlag::elided) : 0) |
               (parked.native_depth != 0 ? parked.native_flags : 0),
      .elided = parked.elided,
      .elided_at = parked.elided_at};
  const auto native = std::span{parked.native}.first(parked.native_depth);
  if (slot.writer.write_sample(head, std::span{parked.stack}.first(parked.depth), native) != Errc::ok)
    return count(Counter::dropped);
  if (!native.empty()) count(recording::native_counter(head.flags));
  ++slot.samples;
  count(Counter::samples);
}

bool ensure_recording() noexcept {
  if (state.is_open.load(std::memory_order_acquire)) return true;
  if (state.open_error.load(std::memory_order_relaxed) != 0 ||
      state.is_opening.exchange(true, std::memory_order_acquire))
    return false;
  const Errc failed = state.spool.create(state.recording_path);
  if (failed == Errc::ok) {
    for (std::uint32_t i = 0; i < recording::counter_count; ++i)
      state.spool.count(static_cast<Counter>(i), state.counters[i].load(std::memory_order_relaxed));
    recording::StreamWriter writer{state.spool, max_slots, {}};
    writer.write_payload(recording::RecordKind::process, state.process_record);
    state.is_open.store(true, std::memory_order_release);
  } else {
    state.open_error.store(static_cast<int>(failed), std::memory_order_relaxed);
  }
  state.is_opening.store(false, std::memory_order_release);
  return failed == Errc::ok;
}

}  // namespace pyagent::agent
