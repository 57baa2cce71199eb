// Another process as a capture reads it: through a snapshot, with code objects vouched for by a cache.
#pragma once

#include <algorithm>  // min
#include <cstdint>    // int8_t
#include <cstring>    // memcpy
#include <span>       // span

#include "pyagent/capture/target.hpp"
#include "pyagent/memory/snapshot.hpp"
#include "pyagent/sampler/code_cache.hpp"

namespace pyagent::inline v0::sampler {

/// For one capture; see capture::Process.
class RemoteProcess {
 public:
  /// `stack_memory` is the used part of the thread's own stack, or empty. `is_running` says that the thread may go on
  /// meanwhile: frame objects must then say of themselves that they run, because freed ones are linked in the same way.
  RemoteProcess(const cpython::Layout& layout, const memory::Snapshot& memory, CodeCache& codes,
                AddressRange stack_memory, bool is_running) noexcept
      : layout_(layout), memory_(memory), codes_(codes), stack_memory_(stack_memory), is_running_(is_running) {}

  const memory::Snapshot& memory() const noexcept { return memory_; }
  AddressRange stack_memory() const noexcept { return stack_memory_; }
  bool is_running() const noexcept { return is_running_; }
  void begin_walk() const noexcept {}
  void enter_chunk(AddressRange chunk, Address end) const noexcept {
    constexpr std::uint64_t slack = 1024;  // room for the frames of the next sample
    memory_.cover({chunk.begin, std::min(chunk.end, end + slack)});
  }
  Result<cpython::CodeShape> shape(Address code, std::uint32_t) const noexcept { return codes_.shape(code); }

  Errc read_frame(Address frame, std::span<std::byte> out, std::uint32_t) const noexcept {
    if (const Errc failed = memory_.read(frame, out); failed != Errc::ok || !is_running_) return failed;
    std::int8_t executing = 0;
    std::memcpy(&executing, out.data() + layout_.frame.executing, sizeof executing);
    return executing == layout_.frame.executing_value ? Errc::ok : Errc::inconsistent;
  }

 private:
  const cpython::Layout& layout_;
  const memory::Snapshot& memory_;
  CodeCache& codes_;
  AddressRange stack_memory_;
  bool is_running_;
};
static_assert(capture::Process<RemoteProcess>);

}  // namespace pyagent::inline v0::sampler
