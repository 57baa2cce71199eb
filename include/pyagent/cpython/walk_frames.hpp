// Walks the frames of one thread and proves, frame by frame, that the chain is whole. signal-safe
//
// Up to 3.10 frames are objects linked by f_back, and each holds a reference to the next: a chain is always whole.
// From 3.11 frames live on the thread's data stack, one behind the other, and in generator objects. A thread that is
// interrupted between linking and unlinking shows a chain with garbage on top or with its lower part missing
// (seen in 3.11, 3.12 and 3.14t). What can't lie is the data stack: its frames touch. So each frame there must end
// where the one above begins, the lowest must be the first of the first chunk, and the chain must end where chains end.
// A hole is legal only below a frame that was called from C: there a dying frame whose locals run __del__ may sit.
#pragma once

#include <concepts>  // same_as
#include <cstddef>   // byte
#include <cstdint>   // uint32_t
#include <cstring>   // memcpy
#include <span>      // span

#include "pyagent/cpython/cycle_check.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// Why a walk ended.
enum class Stop : std::uint8_t {
  base,               ///< at the thread's base: the stack is whole
  unreadable,         ///< a frame or code object could not be read
  wrong_code,         ///< a frame's code is no code object
  wrong_instruction,  ///< a frame's instruction lies outside its code
  misplaced,          ///< a frame does not lie where the data stack says
  wrong_eval,         ///< the chain and the C stack's list of evaluations disagree
  loose_end,          ///< the chain ends before the thread's base
  cycle,              ///< the chain links back to itself
  too_deep,           ///< beyond max_walk_depth
};

/// Frames a walk follows before it gives up.
inline constexpr std::uint32_t max_walk_depth = 65'536;

/// Stands for a gap that goes on over more than one chunk; nothing can be read there.
inline constexpr AddressRange several_chunks{{0}, {1}};

/// How far a walk came.
struct Walk {
  std::uint32_t depth = 0;  ///< frames given to the visitor
  Stop stop = Stop::base;
  Address at{};                  ///< the frame where it stopped, if it is not whole
  bool is_top_stopping = false;  ///< the topmost frame is a generator's that does not say it runs
  AddressRange top_gap{};        ///< words of the data stack above the topmost frame of the chain, or several_chunks

  constexpr bool is_whole() const noexcept { return stop == Stop::base; }
};

/// What a walk needs to know of a code object.
struct CodeShape {
  Address instructions;                 ///< first instruction, 3.11 on
  std::uint32_t instruction_bytes = 0;  ///< 3.11 on
  std::uint32_t frame_words = 0;        ///< words a frame of it takes on the data stack, 3.11 on
};

namespace detail {

template <class V>
concept TakesAnchors = requires(V& visitor, Address anchor) {
  { visitor.mark_entry(anchor) }
  noexcept;
};

}  // namespace detail

/// What a walk asks and tells: `shape` vouches for a code object (wrong_type if it is none; `depth` frames were proven
/// before it), `enter_chunk` names memory that is part of the data stack, and the end of what is used of it, `push`
/// takes a frame, `mark_entry` says that the frame pushed last was called from C. One that is interested in anchors has
/// a `mark_entry` that takes the frame's.
template <class V>
concept FrameVisitor = requires(V& visitor, Address code, std::uint32_t depth, AddressRange chunk, RawFrame frame) {
  { visitor.shape(code, depth) }
  noexcept->std::same_as<Result<CodeShape>>;
  { visitor.enter_chunk(chunk, code) }
  noexcept;
  { visitor.push(frame) }
  noexcept;
  requires detail::TakesAnchors<V> || requires {
    { visitor.mark_entry() }
    noexcept;
  };
};

/// Where a walk begins, and what tells a shim frame.
struct WalkStart {
  Address frame;   ///< innermost frame
  Address cframe;  ///< 3.11, 3.12: the evaluation it belongs to, or null to leave evaluations unchecked
  Address none;    ///< _Py_NoneStruct, or null if unknown
};

namespace detail {

/// A frame as it lies in memory, before anything is believed.
struct FrameHead {
  Address previous;
  Address code;
  std::uint64_t instruction = 0;
  std::uint8_t owner = 0;
  bool is_entry = false;
  bool is_suspended = true;
  std::uint32_t tlbc_index = 0;
};

inline constexpr std::size_t max_frame_head = 144;  // 3.5: f_executing at 132

/// The value at `offset`, or zero where the layout has none.
template <class T>
T load(std::span<const std::byte> bytes, Offset offset) noexcept {
  T value{};
  if (std::size_t{offset} + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// A frame keeps its stack pointer only while a Python function that it called runs.
/// Source: _PyFrame_GetStackPointer, CPython 3.11 and 3.14 Include/internal/{pycore_frame,pycore_interpframe}.h
inline bool has_stack_pointer(const Layout& layout, std::span<const std::byte> bytes) noexcept {
  const Offset offset = layout.frame.stack_top;
  if (offset == absent) return true;
  return layout.version < Version{3, 14} ? load<std::int32_t>(bytes, offset) >= 0
                                         : load<std::uint64_t>(bytes, offset) != 0;
}

inline FrameHead decode_interpreter_frame(const Layout& layout, std::span<const std::byte> bytes) noexcept {
  const auto& frame = layout.frame;
  return {.previous = {load<std::uint64_t>(bytes, frame.previous)},
          .code = {load<std::uint64_t>(bytes, frame.code) & ~layout.executable_tag_mask},
          .instruction = load<std::uint64_t>(bytes, frame.instruction),
          .owner = load<std::uint8_t>(bytes, frame.owner),
          .is_entry = load<std::uint8_t>(bytes, frame.is_entry) != 0,
          .is_suspended = has_stack_pointer(layout, bytes),
          .tlbc_index = load<std::uint32_t>(bytes, frame.tlbc_index)};
}

/// The first bytes of a _PyInterpreterFrame: in `buffer`, or where a memory holds them already. Empty if unreadable.
template <memory::Memory M>
std::span<const std::byte> read_frame_head(const M& memory, Address frame, std::span<std::byte> buffer) noexcept {
  if constexpr (requires { memory.view(frame, buffer.size()); })
    return memory.view(frame, buffer.size());
  else
    return memory.read(frame, buffer) == Errc::ok ? buffer : std::span<std::byte>{};
}

/// Chunks of a data stack, innermost first, and how much of them the walk has accounted for.
template <memory::Memory M, FrameVisitor V>
class DataStack {
 public:
  DataStack(const M& memory, const Layout& layout, const RawThread& thread, V& visitor) noexcept
      : memory_(memory), layout_(layout), visitor_(visitor) {
    if (!thread.datastack_chunk) return;
    open(thread.datastack_chunk, thread.datastack_top);
    top_data_ = data_;
    top_ = end_;
  }

  /// Accounts for a frame of `words` at `frame`. `may_skip` allows unaccounted words between it and the one above.
  bool take(Address frame, std::uint32_t words, bool may_skip) noexcept {
    while (ok_ && !AddressRange{data_, end_}.contains(frame)) {
      if (!may_skip && !is_drained()) return false;
      if (!previous_) return false;
      open(previous_, {});
    }
    if (!ok_ || words == 0) return false;
    const Address frame_end = frame + std::uint64_t{words} * 8;
    if (frame_end > end_ || (frame_end < end_ && !may_skip)) return false;
    if (!has_taken_) {
      // One frame above may be alone in the next chunk. A gap that goes on in this one, or over more, is several
      // frames.
      const bool is_next_chunk = chunks_ == 2 && frame_end == end_;
      top_gap_ = chunks_ == 1    ? AddressRange{frame_end, end_}
                 : is_next_chunk ? AddressRange{top_data_, top_}
                                 : several_chunks;
    }
    has_taken_ = true;
    end_ = frame;
    return true;
  }

  /// True when every frame down to the first slot of the first chunk was accounted for.
  bool is_finished() const noexcept { return ok_ && (!data_ || (is_drained() && !previous_)); }
  bool is_readable() const noexcept { return ok_; }
  AddressRange top_gap() const noexcept { return top_gap_; }

 private:
  // The first chunk's first slot stays empty, so that no frame has the address of a chunk's start.
  // Source: push_chunk, CPython 3.11 Python/pystate.c
  bool is_drained() const noexcept { return end_ <= data_ + (previous_ ? 0 : 8); }

  void open(Address chunk, Address top) noexcept {
    constexpr std::uint64_t max_chunk_size = std::uint64_t{1} << 32;
    const auto& layout = layout_.stack_chunk;
    std::byte header[24];
    if (ok_ = memory_.read(chunk, header) == Errc::ok; !ok_) return;
    const auto word = [&](Offset offset) { return load<std::uint64_t>(header, offset); };
    const std::uint64_t size = word(layout.size);
    if (ok_ = size <= max_chunk_size && word(layout.previous) != chunk.value; !ok_) return;
    previous_ = {word(layout.previous)};
    data_ = chunk + layout.data;
    end_ = top ? top : data_ + word(layout.top) * 8;
    const AddressRange whole{data_, chunk + size};
    ok_ = data_ <= end_ && end_ <= whole.end && ++chunks_ < max_walk_depth;
    if (ok_) visitor_.enter_chunk(whole, end_);
  }

  const M& memory_;
  const Layout& layout_;
  V& visitor_;
  Address previous_{};
  Address data_{};      ///< first word of the open chunk
  Address end_{};       ///< end of what is not yet accounted for
  Address top_data_{};  ///< the innermost chunk's first word
  Address top_{};
  AddressRange top_gap_{};
  std::uint32_t chunks_ = 0;
  bool has_taken_ = false;
  bool ok_ = true;
};

/// Byte offset of `ip` in the instructions of `code`; the thread's own copy of them on 3.14t and later.
template <memory::Memory M>
Result<std::int32_t> find_instruction(const M& memory, const Layout& layout, Address code, const CodeShape& shape,
                                      const FrameHead& head) noexcept {
  // A new frame of 3.11 and 3.12 points one unit before its first instruction.
  constexpr std::uint64_t unit = 2;
  const auto inside = [&](Address instructions) {
    return Address{head.instruction} + unit - instructions < shape.instruction_bytes + unit;
  };
  const auto offset = [&](Address instructions) {
    return static_cast<std::int32_t>(head.instruction - instructions.value);
  };
  if (inside(shape.instructions)) return offset(shape.instructions);
  if (layout.code.tlbc == absent) return Error{Errc::inconsistent, Address{head.instruction}};

  // Source: _PyCodeArray, CPython 3.14 Include/cpython/code.h. A generator that moved to another thread has its index
  // stored before its instruction, so all entries are looked at when the stated one does not fit.
  constexpr std::uint64_t max_entries = 65'536;
  const auto array = memory::read_pointer(memory, code + layout.code.tlbc);
  if (!array) return array.error();
  const auto size = memory::read_value<std::uint64_t>(memory, *array);
  if (!size) return size.error();
  if (const auto stated = memory::read_pointer(memory, *array + 8 + 8 * std::uint64_t{head.tlbc_index});
      head.tlbc_index < *size && stated && *stated && inside(*stated))
    return offset(*stated);
  for (std::uint64_t i = 0; i < *size && i < max_entries; ++i) {
    const auto entry = memory::read_pointer(memory, *array + 8 + 8 * i);
    if (!entry) return entry.error();
    if (*entry && inside(*entry)) return offset(*entry);
  }
  return Error{Errc::inconsistent, Address{head.instruction}};
}

/// Reads a PyFrameObject; a visitor that has `read_frame` may know a cheaper way once `depth` frames were proven, since
/// each holds a reference to the next.
template <memory::Memory M, FrameVisitor V>
Errc read_frame_object(const M& memory, Address frame, std::span<std::byte> out, std::uint32_t depth,
                       V& visitor) noexcept {
  if constexpr (requires { visitor.read_frame(frame, out, depth); })
    return visitor.read_frame(frame, out, depth);
  else
    return memory.read(frame, out);
}

/// Whether the generator around `frame` says that it runs. One in a chain does; only the topmost may be about to stop.
/// Source: gi_frame_state, CPython 3.11 Include/cpython/genobject.h
template <memory::Memory M>
bool is_running_generator(const M& memory, const Layout& layout, Address frame) noexcept {
  const auto state =
      memory::read_value<std::int8_t>(memory, frame - layout.generator.frame + layout.generator.frame_state);
  return state && *state == layout.generator.executing;
}

/// The frame that the evaluation around `cframe` was running when it called; moves `cframe` there.
template <memory::Memory M>
Result<Address> leave_evaluation(const M& memory, const Layout& layout, Address& cframe) noexcept {
  const auto outer = memory::read_pointer(memory, cframe + layout.cframe.previous);
  if (!outer) return outer.error();
  cframe = *outer;
  return memory::read_pointer(memory, cframe + layout.cframe.current_frame);
}

template <FrameVisitor V>
void mark_entry(V& visitor, Address anchor) noexcept {
  if constexpr (TakesAnchors<V>)
    visitor.mark_entry(anchor);
  else
    visitor.mark_entry();
}

constexpr Stop stop_for(Errc code) noexcept {
  return code == Errc::unreadable     ? Stop::unreadable
         : code == Errc::inconsistent ? Stop::wrong_instruction
                                      : Stop::wrong_code;
}

}  // namespace detail

/// Walks a chain of PyFrameObject, leaf first (up to 3.10).
///
/// Shape:  each frame goes to `visitor.push`; a stop other than base keeps the frames before it. Anchors are found
///         afterwards: see find_anchors.
/// Source: PyFrameObject, CPython 3.10 Include/cpython/frameobject.h
template <memory::Memory M, FrameVisitor V>
Walk walk_frame_objects(const M& memory, const Layout& layout, Address frame, V& visitor) noexcept {
  Walk walk;
  detail::CycleCheck cycle;
  const auto& offsets = layout.frame;
  const std::int32_t unit = layout.instruction_position == InstructionPosition::unit_index ? 2 : 1;
  for (; frame; ++walk.depth) {
    walk.at = frame;
    const auto fail = [&](Stop stop) { return walk.stop = stop, walk; };
    if (walk.depth == max_walk_depth) return fail(Stop::too_deep);
    if (cycle.sees_again(frame)) return fail(Stop::cycle);
    std::byte bytes[detail::max_frame_head];
    if (detail::read_frame_object(memory, frame, bytes, walk.depth, visitor) != Errc::ok) return fail(Stop::unreadable);
    const Address code{detail::load<std::uint64_t>(bytes, offsets.code)};
    const auto lasti = detail::load<std::int32_t>(bytes, offsets.instruction);
    if (const auto shape = visitor.shape(code, walk.depth); !shape) return fail(detail::stop_for(shape.error().code));
    visitor.push({.frame = frame, .code = code, .instruction = lasti < 0 ? -1 : lasti * unit, .is_entry = true});
    frame = {detail::load<std::uint64_t>(bytes, offsets.previous)};
  }
  walk.at = {};
  return walk;
}

/// Walks a chain of _PyInterpreterFrame, leaf first (3.11 on), and checks it against the data stack.
///
/// Shape:  each Python frame goes to `visitor.push`, shim frames only mark the one before; a stop other than base keeps
///         the frames before it.
/// Source: _PyInterpreterFrame, CPython Include/internal/pycore_frame.h (3.14: pycore_interpframe_structs.h);
///         _PyCFrame, 3.12 Include/cpython/pystate.h
template <memory::Memory M, FrameVisitor V>
Walk walk_interpreter_frames(const M& memory, const Layout& layout, const RawThread& thread, const WalkStart& start,
                             V& visitor) noexcept {
  enum Owner : std::uint8_t { thread_owned = 0, generator_owned = 1, c_stack_owned = 3 };
  Walk walk;
  detail::CycleCheck cycle;
  detail::DataStack<M, V> data_stack{memory, layout, thread, visitor};
  Address cframe = start.cframe;
  std::uint32_t proven = 0;  // frames of the data stack that end where the one above begins
  bool after_entry = true;   // what lies above the next frame was called from C, or nothing is known of it yet
  bool shim_above = true;
  for (Address frame = start.frame; frame && frame != thread.base_frame;) {
    walk.at = frame;
    const auto fail = [&](Stop stop) { return walk.stop = stop, walk; };
    if (walk.depth == max_walk_depth) return fail(Stop::too_deep);
    if (cycle.sees_again(frame)) return fail(Stop::cycle);
    if (frame.value % 8 != 0) return fail(Stop::misplaced);
    std::byte bytes[detail::max_frame_head];
    const auto head_bytes = detail::read_frame_head(memory, frame, std::span{bytes}.first(layout.frame.size));
    if (head_bytes.empty()) return fail(Stop::unreadable);
    const detail::FrameHead head = detail::decode_interpreter_frame(layout, head_bytes);

    // 3.14.0t publishes the shim one instruction before it stores its owner: None as code tells it all the same.
    const bool is_shim = layout.entry_mark == EntryMark::shim &&
                         (head.owner >= c_stack_owned || (start.none && head.code == start.none));
    if (!is_shim) {
      const auto shape = visitor.shape(head.code, proven);
      if (!shape) return fail(detail::stop_for(shape.error().code));
      const auto instruction = detail::find_instruction(memory, layout, head.code, *shape, head);
      if (!instruction) return fail(detail::stop_for(instruction.error().code));
      if (head.owner == thread_owned) {
        if (!data_stack.take(frame, shape->frame_words, after_entry)) return fail(Stop::misplaced);
        ++proven;
        after_entry = false;
      } else if (head.owner != generator_owned || (layout.entry_mark == EntryMark::is_entry && !head.is_entry)) {
        // 3.11 evaluates generators only when C calls them, and marks them before it links them. One that is not marked
        // stands where an evaluation has not stored its frame yet.
        // Source: _PyEval_EvalFrameDefault and RETURN_GENERATOR, CPython 3.11 Python/ceval.c
        return fail(Stop::misplaced);
      } else if (!detail::is_running_generator(memory, layout, frame)) {
        if (walk.depth != 0) return fail(Stop::misplaced);
        walk.is_top_stopping = true;
      }
      visitor.push({.frame = frame,
                    .code = head.code,
                    .instruction = *instruction,
                    .is_entry = head.is_entry,
                    .is_suspended = head.is_suspended,
                    .anchor = head.is_entry ? cframe : Address{}});
      ++walk.depth;
    } else {
      detail::mark_entry(visitor, frame);
    }
    shim_above = is_shim || head.is_entry;
    if (shim_above) {
      after_entry = true;
      if (cframe) {
        const auto caller = detail::leave_evaluation(memory, layout, cframe);
        if (!caller || *caller != head.previous) return fail(Stop::wrong_eval);
      }
    }
    frame = head.previous;
  }
  walk.top_gap = data_stack.top_gap();
  if (!shim_above || !data_stack.is_finished())
    walk.stop = data_stack.is_readable() ? Stop::loose_end : Stop::unreadable;
  return walk;
}

}  // namespace pyagent::inline v0::cpython
