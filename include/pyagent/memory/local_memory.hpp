// Our own memory, read from inside a signal handler without ever faulting. signal-safe
#pragma once

#include <cstddef>  // byte
#include <cstring>  // memcpy
#include <span>     // span

#include "pyagent/base/fixed_vector.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/memory/remote_memory.hpp"

namespace pyagent::inline v0::memory {

/// Memory of the calling process. Ranges that are known to stay mapped (the running thread's stack, the chunks of its
/// data stack) are copied directly; everything else goes through process_vm_readv, which answers instead of faulting.
/// Where the kernel forbids that call, rt_sigprocmask serves as the probe: it reads its argument before it looks at
/// `how`, so an impossible `how` gives EFAULT or EINVAL and changes nothing.
class LocalMemory {
 public:
  static constexpr bool is_signal_safe = true;

  /// `pid` is ours; `can_read_by_call` says whether process_vm_readv on it works (see `probe`).
  constexpr LocalMemory(pid_t pid, bool can_read_by_call) noexcept : remote_(pid), can_read_by_call_(can_read_by_call) {}

  /// True when the kernel lets us read ourselves by process_vm_readv; to be asked once, outside the handler.
  static bool probe(pid_t pid) noexcept {
    std::byte byte{};
    return RemoteMemory{pid}.read(Address{reinterpret_cast<std::uint64_t>(&byte)}, {&byte, 1}) == Errc::ok;
  }

  /// Declares `range` readable without asking the kernel. From the ninth on, the newest takes the last one's place: a deep
  /// data stack has hundreds of chunks, and a walk is done with one when it comes to the next.
  constexpr void trust(AddressRange range) noexcept {
    if (!trusted_.push_back(range)) trusted_.back() = range;
  }
  constexpr void trust_only(AddressRange range) noexcept {
    trusted_.clear();
    trust(range);
  }

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    for (const AddressRange& range : trusted_)
      if (range.contains(address, out.size())) {
        copy(address, out);
        return Errc::ok;
      }
    return read_guarded(address, out);
  }

  /// Reads as if nothing were trusted.
  Errc read_guarded(Address address, std::span<std::byte> out) const noexcept {
    if (can_read_by_call_) return remote_.read(address, out);
    constexpr std::uint64_t page = 4096;
    if (address.value + out.size() < address.value) return Errc::unreadable;
    for (std::uint64_t at = address.value & ~(page - 1); at < address.value + out.size(); at += page)
      if (!is_mapped(at)) return Errc::unreadable;
    copy(address, out);
    return Errc::ok;
  }

  /// Copies without any check: for memory that was proven to be alive, such as a code object that a validated frame runs.
  static void copy(Address address, std::span<std::byte> out) noexcept {
    std::memcpy(out.data(), reinterpret_cast<const void*>(address.value), out.size());
  }

 private:
  static bool is_mapped(std::uint64_t page) noexcept {
    const int saved = errno;
    constexpr int no_such_how = -1;
    // Null is no argument at all: then the call succeeds.
    const bool mapped = ::syscall(SYS_rt_sigprocmask, no_such_how, page, nullptr, 8UL) == -1 && errno == EINVAL;
    errno = saved;
    return mapped;
  }

  RemoteMemory remote_;
  bool can_read_by_call_;
  FixedVector<AddressRange, 8> trusted_;
};

/// Reads without any check what was proven to be alive; see LocalMemory::copy.
class ProvenMemory {
 public:
  static constexpr bool is_signal_safe = true;
  Errc read(Address address, std::span<std::byte> out) const noexcept {
    LocalMemory::copy(address, out);
    return Errc::ok;
  }
};

}  // namespace pyagent::inline v0::memory
