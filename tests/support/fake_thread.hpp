// A Python thread built byte by byte, for any Layout: thread state, frames, code objects, data stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/buffer_memory.hpp"

namespace pyagent::test {

using cpython::absent;
using cpython::EntryMark;
using cpython::FrameChain;
using cpython::InstructionPosition;
using cpython::Layout;
using cpython::Version;
using cpython::Offset;
using cpython::RawFrame;

/// Frames are pushed leaf first, as a walk gives them; the outermost is always called from C. What is pushed last is what
/// `from_c`, `first_in_chunk` and `at` speak of. The first question (`address`, `memory`, `frame`...) builds the thread;
/// from then on single words may be spoiled with `write`.
/// Its addresses are real pointers, so the process's own memory holds it too.
class FakeThread {
 public:
  static constexpr std::size_t chunk_size = 16 * 1024;

  explicit FakeThread(const Layout& layout, std::size_t bytes = 1 << 20)
      : layout_(layout), size_(bytes), arena_(static_cast<std::byte*>(std::calloc(1, bytes)), &std::free) {
    stack_ = allocate(bytes / 4);
    stack_used_ = stack_.begin;
    code_type_ = allocate(256).begin;
    none_ = allocate(64).begin;
  }

  /// A frame on the data stack (up to 3.10: a frame object).
  FakeThread& push_frame(const std::string& name, std::uint32_t locals = 3) { return push({.name = name, .locals = locals}); }
  /// A frame inside a generator object. In 3.11 generators run only when they are called from C.
  FakeThread& push_generator(const std::string& name) {
    return push({.name = name, .kind = Kind::generator, .from_c = layout_.entry_mark == EntryMark::is_entry});
  }
  /// Says of the generator pushed last that it was never resumed: 3.11 marks them as they enter.
  FakeThread& not_entered() { return last().from_c = false, *this; }
  /// A frame on the data stack that is not in the chain.
  FakeThread& push_hidden(const std::string& name, std::uint32_t locals = 3) {
    return push({.name = name, .kind = Kind::hidden, .locals = locals});
  }
  FakeThread& from_c() { return last().from_c = true, *this; }
  FakeThread& first_in_chunk() { return last().first_in_chunk = true, *this; }
  /// Byte offset of the running instruction.
  FakeThread& at(std::int32_t instruction) { return last().instruction = instruction, *this; }

  Address address() { return build(), thread_; }
  Address frame(const std::string& name) { return build(), find(name).address; }
  Address shim_below(const std::string& name) { return build(), find(name).shim; }
  Address cframe_of(const std::string& name) { return build(), find(name).cframe; }
  Address code(const std::string& name) { return build(), codes_.at(name); }
  Address code_type() const { return code_type_; }
  Address none() const { return none_; }
  Address innermost_cframe() { return build(), cframe_; }
  AddressRange c_stack() const { return stack_; }
  AddressRange all() const { return {real(arena_.get()), real(arena_.get()) + size_}; }

  pyagent::memory::BufferMemory memory() {
    build();
    return {real(arena_.get()), {arena_.get(), size_}};
  }

  cpython::RawThread raw() {
    std::byte scratch[cpython::max_thread_prefix_size];
    return *cpython::read_thread(memory(), layout_, address(), scratch);
  }

  cpython::WalkStart start() {
    const auto raw_thread = raw();
    if (layout_.frame_chain != FrameChain::cframe) return {.frame = raw_thread.frame, .cframe = {}, .none = none_};
    const auto current = read(raw_thread.frame + layout_.cframe.current_frame);
    return {.frame = {current}, .cframe = raw_thread.frame, .none = none_};
  }

  /// What a walk shall find: the chain as it was pushed. Frames of 3.10 get their anchors later.
  std::vector<RawFrame> chain() {
    build();
    std::vector<RawFrame> frames;
    for (const Frame& frame : frames_)
      if (frame.kind != Kind::hidden)
        frames.push_back({.frame = frame.address,
                          .code = codes_.at(frame.name),
                          .instruction = frame.instruction,
                          .is_entry = frame.from_c || layout_.entry_mark == EntryMark::every_frame,
                          .anchor = layout_.entry_mark == EntryMark::shim       ? frame.shim
                                    : layout_.entry_mark == EntryMark::is_entry ? frame.cframe
                                                                                : Address{}});
    return frames;
  }

  Result<cpython::CodeShape> shape(Address code) {
    build();
    for (const auto& [name, address] : codes_)
      if (address == code) return shapes_.at(name);
    return Error{Errc::wrong_type, code};
  }

  /// Makes `upper` link to `lower`, whatever that means for the chain.
  FakeThread& link(const std::string& upper, const std::string& lower) {
    return write(frame(upper) + layout_.frame.previous, frame(lower).value);
  }
  FakeThread& unlink(const std::string& upper) { return write(frame(upper) + layout_.frame.previous, std::uint64_t{0}); }

  /// Makes `top` the innermost frame.
  FakeThread& set_current(Address top) {
    build();
    const bool has_cframe = layout_.frame_chain == FrameChain::cframe;
    return write(has_cframe ? cframe_ + layout_.cframe.current_frame : thread_ + layout_.thread.frame, top.value);
  }
  /// Says that the data stack ends where the frame `name` begins.
  FakeThread& pop_down_to(const std::string& name) { return write(address() + layout_.thread.datastack_top, frame(name).value); }

  template <class T>
  FakeThread& write(Address where, T value) {
    build();
    return put(where, value);
  }

  std::uint64_t read(Address where) {
    build();
    std::uint64_t value;
    std::memcpy(&value, reinterpret_cast<const void*>(where.value), sizeof value);
    return value;
  }

  /// Zeroed memory of the target, 16-byte aligned.
  AddressRange allocate(std::size_t bytes) {
    const std::size_t rounded = (bytes + 15) / 16 * 16;
    if (rounded > size_ - used_) throw std::length_error{"FakeThread: its memory is full"};
    const Address begin = real(arena_.get()) + used_;
    used_ += rounded;
    return {begin, begin + bytes};
  }

 private:
  enum class Kind { data_stack, generator, hidden };
  struct Frame {
    std::string name;
    Kind kind = Kind::data_stack;
    std::uint32_t locals = 3;
    bool from_c = false;
    bool first_in_chunk = false;
    std::int32_t instruction = 4;
    Address address{};
    Address shim{};
    Address cframe{};
  };
  static constexpr std::uint32_t code_units = 32;

  static Address real(const std::byte* pointer) { return {reinterpret_cast<std::uint64_t>(pointer)}; }

  template <class T>
  FakeThread& put(Address where, T value) {
    if (!all().contains(where, sizeof value)) throw std::out_of_range{"FakeThread: not its memory"};
    std::memcpy(reinterpret_cast<void*>(where.value), &value, sizeof value);
    return *this;
  }
  template <class T>
  void put_field(Address structure, Offset offset, T value) {
    if (offset != absent) put(structure + offset, value);
  }

  FakeThread& push(Frame frame) {
    if (is_built_) throw std::logic_error{"FakeThread: pushed after it was built"};
    frames_.push_back(std::move(frame));
    return *this;
  }
  Frame& last() { return frames_.back(); }
  Frame& find(const std::string& name) {
    for (Frame& frame : frames_)
      if (frame.name == name) return frame;
    throw std::out_of_range{"FakeThread: no frame " + name};
  }

  bool has_data_stack() const { return layout_.frame_chain != FrameChain::frame_object; }

  void build() {
    if (std::exchange(is_built_, true)) return;
    thread_ = allocate(1024).begin;
    if (layout_.thread.base_frame != absent) {
      base_frame_ = allocate(layout_.frame.size).begin;
      put_field(base_frame_, layout_.frame.owner, std::uint8_t{3});
      put_field(base_frame_, layout_.frame.code, none_.value);
      put_field(thread_, layout_.thread.base_frame, base_frame_.value);
    }
    if (layout_.frame_chain == FrameChain::cframe) cframe_ = push_cframe({});
    if (layout_.thread.cframe != absent) {
      cframe_ = thread_ + layout_.thread.root_cframe;
      put(cframe_ + layout_.cframe.previous, std::uint64_t{0xdead0000});  // as in threads other than the main one
    }
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame)
      if (frame->kind != Kind::hidden) {
        frame->from_c = true;
        break;
      }
    if (has_data_stack()) open_chunk();
    Address previous = base_frame_;
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
      build_code(*frame);
      place(*frame);
      if (frame->kind == Kind::hidden) {
        put_field(frame->address, layout_.frame.code, codes_.at(frame->name).value);
        continue;
      }
      if (frame->from_c && has_data_stack()) previous = enter_from_c(*frame, previous);
      if (layout_.thread.cframe != absent) frame->cframe = cframe_ = push_cframe(cframe_);
      fill(*frame, previous);
      previous = frame->address;
      if (layout_.frame_chain == FrameChain::cframe) put(cframe_ + layout_.cframe.current_frame, previous.value);
    }
    if (has_data_stack()) {
      put(thread_ + layout_.thread.datastack_chunk, chunk_.value);
      put(thread_ + layout_.thread.datastack_top, top_.value);
    }
    put_field(thread_, layout_.thread.cframe, cframe_.value);
    put(thread_ + layout_.thread.frame, layout_.frame_chain == FrameChain::cframe ? cframe_.value : previous.value);
  }

  Address push_stack(std::size_t bytes) {
    const Address begin = stack_used_;
    stack_used_ = stack_used_ + (bytes + 15) / 16 * 16;
    if (stack_used_ > stack_.end) throw std::length_error{"FakeThread: its C stack is full"};
    return begin;
  }

  Address push_cframe(Address previous) {
    const Address made = push_stack(32);
    put(made + layout_.cframe.previous, previous.value);
    return made;
  }

  void open_chunk() {
    const Address made = allocate(chunk_size).begin;
    if (chunk_) put(chunk_ + layout_.stack_chunk.top, (top_ - chunk_ - layout_.stack_chunk.data) / 8);
    put(made + layout_.stack_chunk.previous, chunk_.value);
    put(made + layout_.stack_chunk.size, std::uint64_t{chunk_size});
    top_ = made + layout_.stack_chunk.data + (chunk_ ? 0 : 8);
    chunk_ = made;
  }

  std::uint32_t words(const Frame& frame) const { return layout_.frame.locals / 8 + frame.locals + 2; }

  void build_code(const Frame& frame) {
    if (codes_.contains(frame.name)) return;
    const Address made = allocate(layout_.code.size + 2 * code_units).begin;
    codes_[frame.name] = made;
    put(made + layout_.object.type, code_type_.value);
    shapes_[frame.name] = {};
    if (!has_data_stack()) return;
    put(made + layout_.object.var_size, std::uint64_t{code_units});
    put_field(made, layout_.code.nlocalsplus, frame.locals);
    put_field(made, layout_.code.stacksize, std::uint32_t{2});
    put_field(made, layout_.code.framesize, words(frame));
    const Address instructions = made + layout_.code.adaptive;
    shapes_[frame.name] = {.instructions = instructions, .instruction_bytes = 2 * code_units, .frame_words = words(frame)};
    if (layout_.code.tlbc == absent) return;
    const Address array = allocate(16).begin;
    put(array, std::uint64_t{1});
    put(array + 8, instructions.value);
    put(made + layout_.code.tlbc, array.value);
  }

  void place(Frame& frame) {
    if (!has_data_stack()) {
      frame.address = allocate(layout_.frame.size + 64).begin;
      return;
    }
    if (frame.kind == Kind::generator) {
      const Address generator = allocate(layout_.generator.frame + layout_.frame.size + 64).begin;
      frame.address = generator + layout_.generator.frame;
      put(generator + layout_.generator.frame_state, layout_.generator.executing);
      return;
    }
    const std::uint64_t bytes = std::uint64_t{words(frame)} * 8;
    if (frame.first_in_chunk || bytes > chunk_ + chunk_size - top_) open_chunk();
    frame.address = top_;
    top_ = top_ + bytes;
  }

  /// What stands between a frame and the C code that called it; gives what the frame links to.
  Address enter_from_c(Frame& frame, Address caller) {
    if (layout_.frame_chain == FrameChain::cframe) cframe_ = push_cframe(cframe_);
    frame.cframe = cframe_;
    if (layout_.entry_mark != EntryMark::shim) return caller;
    frame.shim = push_stack(layout_.frame.size);
    put(frame.shim + layout_.frame.previous, caller.value);
    put(frame.shim + layout_.frame.code, none_.value);
    put(frame.shim + layout_.frame.owner, std::uint8_t{3});
    return frame.shim;
  }

  void fill(const Frame& frame, Address previous) {
    const auto& offsets = layout_.frame;
    const Address code = codes_.at(frame.name);
    put(frame.address + offsets.previous, previous.value);
    put(frame.address + offsets.code, code.value | (layout_.executable_tag_mask & 1));
    switch (layout_.instruction_position) {
      case InstructionPosition::byte_index: put(frame.address + offsets.instruction, frame.instruction); break;
      case InstructionPosition::unit_index:
        put(frame.address + offsets.instruction, frame.instruction < 0 ? -1 : frame.instruction / 2);
        break;
      case InstructionPosition::pointer:
        put(frame.address + offsets.instruction,
            code.value + layout_.code.adaptive + static_cast<std::uint64_t>(std::int64_t{frame.instruction}));
        break;
    }
    if (!has_data_stack()) return;
    put(frame.address + offsets.owner, static_cast<std::uint8_t>(frame.kind == Kind::generator));
    put_field(frame.address, offsets.is_entry, static_cast<std::uint8_t>(frame.from_c));
    const bool is_suspended = &frame != &frames_.front();
    if (layout_.version < Version{3, 14})
      put(frame.address + offsets.stack_top, is_suspended ? 2 : -1);
    else
      put(frame.address + offsets.stack_top, is_suspended ? frame.address.value + 8 : 0);
  }

  Layout layout_;
  std::size_t size_;
  std::unique_ptr<std::byte, decltype(&std::free)> arena_;
  std::size_t used_ = 0;
  bool is_built_ = false;
  std::vector<Frame> frames_;
  std::map<std::string, Address> codes_;
  std::map<std::string, cpython::CodeShape> shapes_;
  AddressRange stack_{};
  Address stack_used_{};
  Address code_type_{};
  Address none_{};
  Address thread_{};
  Address base_frame_{};
  Address cframe_{};
  Address chunk_{};
  Address top_{};
};

}  // namespace pyagent::test
