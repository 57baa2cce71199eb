// Memory of a process by number, ours included, through process_vm_readv. signal-safe
#pragma once

#include <cerrno>         // errno
#include <cstddef>        // byte
#include <span>           // span
#include <sys/syscall.h>  // SYS_process_vm_readv
#include <sys/types.h>    // pid_t
#include <sys/uio.h>      // iovec
#include <unistd.h>       // syscall

#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::memory {

/// Reads another process's memory, or our own without ever faulting: the kernel answers EFAULT instead of a signal.
/// Leaves errno as it was. Source: process_vm_readv(2).
class RemoteMemory {
 public:
  static constexpr bool is_signal_safe = true;
  constexpr explicit RemoteMemory(pid_t pid) noexcept : pid_(pid) {}

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    const int saved = errno;
    iovec local{out.data(), out.size()};
    iovec remote{reinterpret_cast<void*>(address.value), out.size()};
    const long got = ::syscall(SYS_process_vm_readv, pid_, &local, 1UL, &remote, 1UL, 0UL);
    errno = saved;
    return got == static_cast<long>(out.size()) ? Errc::ok : Errc::unreadable;
  }

  constexpr pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_;
};

}  // namespace pyagent::inline v0::memory
