// Many pieces of another process's memory in one call. May allocate
#pragma once

#include <algorithm>      // min
#include <cerrno>         // errno
#include <limits.h>       // IOV_MAX
#include <cstddef>        // byte
#include <span>           // span
#include <sys/syscall.h>  // SYS_process_vm_readv
#include <sys/types.h>    // pid_t
#include <sys/uio.h>      // iovec
#include <unistd.h>       // syscall
#include <vector>         // vector

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::memory {

/// Collects reads and does them in the order in which they were added, with as few calls as the kernel allows. Keeps
/// its storage from one batch to the next. Source: process_vm_readv(2).
class ReadBatch {
 public:
  void clear() noexcept {
    local_.clear();
    remote_.clear();
    failed_.clear();
  }

  /// Adds a read into `out`, which must stay where it is until `run`; the number to ask about it.
  std::size_t add(Address address, std::span<std::byte> out) {
    local_.push_back({out.data(), out.size()});
    remote_.push_back({reinterpret_cast<void*>(address.value), out.size()});
    failed_.push_back(false);
    return local_.size() - 1;
  }

  /// Reads all that was added. One that fails does not keep the others from being read. Leaves errno as it was.
  void run(pid_t pid) noexcept {
    const int saved = errno;
    for (std::size_t next = 0; next < local_.size();) {
      const std::size_t count = std::min<std::size_t>(local_.size() - next, IOV_MAX);
      const long got = ::syscall(SYS_process_vm_readv, pid, local_.data() + next, count, remote_.data() + next, count, 0UL);
      if (got < 0 && errno != EFAULT) {  // the process is gone, or may not be read
        failed_.assign(failed_.size(), true);
        break;
      }
      std::size_t left = got > 0 ? static_cast<std::size_t>(got) : 0;
      const std::size_t end = next + count;
      while (next < end && left >= local_[next].iov_len && (left != 0 || local_[next].iov_len == 0))
        left -= local_[next++].iov_len;
      if (next < end) failed_[next++] = true;  // the kernel stops at the first piece that it can't read
    }
    errno = saved;
  }

  bool has_failed(std::size_t number) const noexcept { return failed_[number]; }

 private:
  std::vector<iovec> local_;
  std::vector<iovec> remote_;
  std::vector<bool> failed_;
};

}  // namespace pyagent::inline v0::memory
