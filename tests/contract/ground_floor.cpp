// Templates of the ground floor, instantiated: test_headers.py compiles this after all its headers and reads what
// symbols the object's functions need.
namespace pyagent::ground_floor {

using cpython::Layout;
using cpython::RawFrame;
using memory::LocalMemory;

static_assert(memory::SignalSafeMemory<LocalMemory>);

struct Visitor {
  capture::RawStack& stack;
  Result<cpython::CodeShape> shape(Address code, std::uint32_t) noexcept {
    if (!code) return Error{Errc::wrong_type, code};
    return cpython::CodeShape{};
  }
  void enter_chunk(AddressRange, Address) noexcept {}
  void push(const RawFrame& frame) noexcept { stack.push(frame); }
  void mark_entry(pyagent::Address anchor) noexcept { stack.mark_entry(anchor); }
};

Result<cpython::RawThread> thread(const LocalMemory& memory, const Layout& layout, Address address);
Result<cpython::RawThread> thread(const LocalMemory& memory, const Layout& layout, Address address) {
  std::byte scratch[cpython::max_thread_prefix_size];
  return cpython::read_thread(memory, layout, address, scratch);
}

Errc threads(const LocalMemory& memory, const Layout& layout, Address head, int& count);
Errc threads(const LocalMemory& memory, const Layout& layout, Address head, int& count) {
  std::byte scratch[cpython::max_thread_prefix_size];
  return cpython::visit_threads(memory, layout, head, scratch, [&](const cpython::RawThread&) noexcept { return ++count < 100; });
}

cpython::Walk old_frames(const LocalMemory& memory, const Layout& layout, Address frame, Visitor& visitor);
cpython::Walk old_frames(const LocalMemory& memory, const Layout& layout, Address frame, Visitor& visitor) {
  return cpython::walk_frame_objects(memory, layout, frame, visitor);
}

cpython::Walk new_frames(const LocalMemory& memory, const Layout& layout, const cpython::RawThread& thread,
                         const cpython::WalkStart& start, Visitor& visitor);
cpython::Walk new_frames(const LocalMemory& memory, const Layout& layout, const cpython::RawThread& thread,
                         const cpython::WalkStart& start, Visitor& visitor) {
  return cpython::walk_interpreter_frames(memory, layout, thread, start, visitor);
}

}  // namespace pyagent::ground_floor
