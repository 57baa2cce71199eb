// The file behind a recording: grows by fallocated extents, is written through shared mappings, keeps no descriptor.
// signal-safe
#pragma once

#include <fcntl.h>         // open flags
#include <sys/mman.h>      // PROT_READ
#include <sys/resource.h>  // rlimit
#include <sys/stat.h>      // struct stat
#include <sys/syscall.h>
#include <unistd.h>  // syscall

#include <array>    // array
#include <atomic>   // atomic, atomic_ref
#include <cerrno>   // errno
#include <cstddef>  // byte
#include <cstring>  // memcpy
#include <span>     // span

#include "pyagent/base/result.hpp"
#include "pyagent/recording/file_format.hpp"

namespace pyagent::inline v0::recording {

/// A block to write records into.
struct Block {
  BlockHeader* header = nullptr;
  std::span<std::byte> records;  ///< room after the header
};

/// The growing file. `acquire` may be called from signal handlers of any thread at once; everything else from one
/// thread, while no handler can call. Growing is done by whoever needs it; a second one that needs it meanwhile is
/// refused (and counts a dropped sample) rather than made to wait inside a handler.
///
/// Space is allocated before it is mapped, so a full disk is an error here and never a SIGBUS there. The file is opened
/// anew by its path for each extent and compared with the one that was created, because a program may close every
/// descriptor at any time and a number kept could by then be a file of its own.
class Spool {
 public:
  static constexpr std::uint32_t blocks_per_extent = 64;
  static constexpr std::uint32_t max_extents = 16'384;  // 16 GiB
  static constexpr std::size_t extent_size = std::size_t{blocks_per_extent} * block_size;

  /// Creates `path` (absolute, ended by NUL; stays the caller's and must outlive the spool), 0600, never following a
  /// link and never opening a file that exists already.
  Errc create(const char* path) noexcept {
    path_ = path;
    const long fd = ::syscall(SYS_openat, AT_FDCWD, path_, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDWR, 0600);
    if (fd < 0) return errno == ENOSPC || errno == EDQUOT ? Errc::no_space : Errc::io_error;
    struct stat status {};
    const bool known = ::fstat(static_cast<int>(fd), &status) == 0;
    device_ = status.st_dev;
    inode_ = status.st_ino;
    const Errc grown = known ? map_extent(static_cast<int>(fd), 0) : Errc::io_error;
    ::syscall(SYS_close, fd);
    if (grown != Errc::ok) {
      ::syscall(SYS_unlinkat, AT_FDCWD, path_, 0);
      return grown;
    }
    header_ = reinterpret_cast<FileHeader*>(extents_[0].load(std::memory_order_relaxed));
    std::memcpy(header_->magic, file_magic, sizeof file_magic);
    header_->version = file_version;
    header_->block_size = block_size;
    blocks().store(1, std::memory_order_release);
    return Errc::ok;
  }

  bool is_open() const noexcept { return header_ != nullptr; }
  FileHeader* header() const noexcept { return header_; }

  /// A new block of `span` consecutive ones for `stream`.
  Result<Block> acquire(std::uint32_t stream, std::uint32_t span) noexcept {
    if (span == 0 || span > blocks_per_extent) return Error{Errc::too_large};
    for (;;) {
      std::uint64_t first = blocks().load(std::memory_order_relaxed);
      const std::uint64_t room = blocks_per_extent - first % blocks_per_extent;
      const std::uint64_t start = span <= room ? first : first + room;  // never across two extents
      if (const Errc failed = ensure_extent(start / blocks_per_extent); failed != Errc::ok) return Error{failed};
      if (!blocks().compare_exchange_weak(first, start + span, std::memory_order_relaxed)) continue;
      std::byte* bytes =
          extents_[start / blocks_per_extent].load(std::memory_order_acquire) + start % blocks_per_extent * block_size;
      auto* header = reinterpret_cast<BlockHeader*>(bytes);
      header->span = span;
      header->stream = stream;
      header->committed = 0;
      std::atomic_ref{header->magic}.store(block_magic, std::memory_order_release);
      return Block{header, {bytes + sizeof(BlockHeader), std::size_t{span} * block_size - sizeof(BlockHeader)}};
    }
  }

  /// Adds to a counter in the file.
  void count(Counter counter, std::uint64_t amount = 1) noexcept {
    std::atomic_ref{header_->counters[static_cast<std::size_t>(counter)]}.fetch_add(amount, std::memory_order_relaxed);
  }

  /// Forgets the file without touching it: after a fork it is the parent's.
  void abandon() noexcept {
    for (auto& extent : extents_)
      if (std::byte* bytes = extent.exchange(nullptr, std::memory_order_relaxed))
        ::syscall(SYS_munmap, bytes, extent_size);
      else
        break;
    header_ = nullptr;
    is_growing_.store(false, std::memory_order_relaxed);
  }

  /// Cuts the file to what was handed out. To be called when no handler writes any more.
  Errc trim() noexcept {
    const int fd = reopen();
    if (fd < 0) return Errc::io_error;
    const long cut = ::syscall(SYS_ftruncate, fd, blocks().load(std::memory_order_relaxed) * block_size);
    ::syscall(SYS_close, fd);
    return cut == 0 ? Errc::ok : Errc::io_error;
  }

 private:
  std::atomic_ref<std::uint64_t> blocks() const noexcept { return std::atomic_ref{header_->blocks}; }

  Errc ensure_extent(std::uint64_t index) noexcept {
    if (index >= max_extents) return Errc::too_large;
    if (extents_[index].load(std::memory_order_acquire) != nullptr) return Errc::ok;
    if (is_growing_.exchange(true, std::memory_order_acquire)) return Errc::inconsistent;
    Errc result = Errc::ok;
    if (extents_[index].load(std::memory_order_acquire) == nullptr) {
      const int fd = reopen();
      result = fd < 0 ? Errc::io_error : map_extent(fd, index);
      if (fd >= 0) ::syscall(SYS_close, fd);
    }
    is_growing_.store(false, std::memory_order_release);
    return result;
  }

  int reopen() const noexcept {
    const int saved = errno;
    const long fd = ::syscall(SYS_openat, AT_FDCWD, path_, O_NOFOLLOW | O_CLOEXEC | O_RDWR, 0);
    struct stat status {};
    const bool same =
        fd >= 0 && ::fstat(static_cast<int>(fd), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
    if (fd >= 0 && !same) ::syscall(SYS_close, fd);
    errno = saved;
    return same ? static_cast<int>(fd) : -1;
  }

  Errc map_extent(int fd, std::uint64_t index) noexcept {
    const int saved = errno;
    const Errc result = [&] {
      const auto offset = static_cast<off_t>(index * extent_size);
      if (!is_within_limit(index)) return Errc::no_space;
      if (!allocate(fd, offset) && (errno != EOPNOTSUPP || !fill_with_zeros(fd, offset)))
        return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? Errc::no_space : Errc::io_error;
      const long at = ::syscall(SYS_mmap, nullptr, extent_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
      if (at == -1) return Errc::io_error;
      extents_[index].store(reinterpret_cast<std::byte*>(at), std::memory_order_release);
      return Errc::ok;
    }();
    errno = saved;
    return result;
  }

  // Beyond RLIMIT_FSIZE the kernel does not only refuse: it sends SIGXFSZ, which kills a program that does not expect
  // it.
  static bool is_within_limit(std::uint64_t index) noexcept {
    rlimit limit{};
    return ::syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, nullptr, &limit) != 0 ||
           (index + 1) * extent_size <= limit.rlim_cur;
  }

  // On tmpfs a pending signal of the program's own interrupts fallocate; its handler has run when the call returns.
  static bool allocate(int fd, off_t offset) noexcept {
    constexpr int tries = 16;
    for (int i = 0; i < tries; ++i) {
      if (::syscall(SYS_fallocate, fd, 0, offset, extent_size) == 0) return true;
      if (errno != EINTR) return false;
    }
    return false;
  }

  // For file systems without fallocate: written zeros take the space just as well.
  static bool fill_with_zeros(int fd, off_t offset) noexcept {
    static constexpr std::array<std::byte, 4096> zeros{};
    for (std::size_t done = 0; done < extent_size; done += zeros.size())
      if (::syscall(SYS_pwrite64, fd, zeros.data(), zeros.size(), offset + static_cast<off_t>(done)) !=
          static_cast<long>(zeros.size()))
        return false;
    return true;
  }

  const char* path_ = nullptr;
  FileHeader* header_ = nullptr;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::atomic<bool> is_growing_ = false;
  std::array<std::atomic<std::byte*>, max_extents> extents_{};
};

}  // namespace pyagent::inline v0::recording
