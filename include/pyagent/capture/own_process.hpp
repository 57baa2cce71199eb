// How a capture reads the process that it runs in. signal-safe
#pragma once

#include <algorithm>  // min
#include <array>      // array
#include <cstddef>    // byte
#include <cstdint>    // uint32_t
#include <span>       // span

#include "pyagent/base/result.hpp"
#include "pyagent/capture/target.hpp"
#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/local_memory.hpp"

namespace pyagent::inline v0::capture {

/// What may be read without asking the kernel.
enum class Trust : std::uint8_t {
  own_thread,  ///< the thread itself captures, in its handler: its data stack and what its frames hold stay where they
               ///< are
  nothing,     ///< another thread captures, and this one may run on at any moment
};

/// Reads our own process. Code objects are vouched for: the first few of a chain are read as if they could be anything;
/// once frames that end where the next begins have proven the chain, what they run is alive and is read directly.
class OwnProcess {
 public:
  /// `stack_memory` is the part of the thread's own stack that is known to be mapped, or empty.
  OwnProcess(const Target& target, memory::LocalMemory& memory, Trust trust, AddressRange stack_memory) noexcept
      : target_(target), memory_(memory), trust_(trust), stack_memory_(stack_memory) {}

  const memory::LocalMemory& memory() const noexcept { return memory_; }
  AddressRange stack_memory() const noexcept { return stack_memory_; }

  void begin_walk() noexcept { memory_.trust_only(stack_memory_); }
  void enter_chunk(AddressRange chunk, Address) noexcept {
    if (trust_ == Trust::own_thread) memory_.trust(chunk);
  }

  Result<cpython::CodeShape> shape(Address code, std::uint32_t proven) noexcept {
    if (code == last_code_) return last_;
    if (!code || code.value % 8 != 0) return Error{Errc::wrong_type, code};
    std::array<std::byte, cpython::code_head_size> buffer;
    const auto head = std::span{buffer}.first(std::min<std::size_t>(target_.layout.code.size, buffer.size()));
    const Errc failed =
        is_enough(proven) ? memory::ProvenMemory{}.read(code, head) : memory_.read_guarded(code, head);
    if (failed != Errc::ok) return Error{failed, code};
    const auto result = decode(head, code);
    if (result) last_code_ = code, last_ = *result;
    return result;
  }

  /// Reads what the last of `proven` frames holds a reference to.
  Errc read_frame(Address address, std::span<std::byte> out, std::uint32_t proven) const noexcept {
    return is_enough(proven) ? memory::ProvenMemory{}.read(address, out) : memory_.read(address, out);
  }

 private:
  bool is_enough(std::uint32_t proven) const noexcept { return proven >= 3 && trust_ == Trust::own_thread; }

  Result<cpython::CodeShape> decode(std::span<const std::byte> head, Address code) const noexcept {
    const cpython::RawCode raw = cpython::decode_code(target_.layout, head);
    if (raw.type != target_.code_type) return Error{Errc::wrong_type, code};
    return cpython::shape_of(target_.layout, code, raw);
  }

  const Target& target_;
  memory::LocalMemory& memory_;
  Trust trust_;
  AddressRange stack_memory_;
  Address last_code_{};
  cpython::CodeShape last_{};
};
static_assert(Process<OwnProcess>);

}  // namespace pyagent::inline v0::capture
