// Opens the file behind another process's mapping, and makes sure that it is that file.
#pragma once

#include <cstdint>          // uintptr_t
#include <cstdio>           // snprintf
#include <fcntl.h>          // open
#include <linux/openat2.h>  // open_how, RESOLVE_IN_ROOT
#include <string>           // string
#include <sys/mman.h>       // mmap
#include <sys/stat.h>       // fstat
#include <sys/syscall.h>    // SYS_openat2
#include <unistd.h>         // syscall, getpid

#include "pyagent/process/maps.hpp"

namespace pyagent::inline v0::process {

namespace detail {

/// Device and inode as /proc/self/maps tells them. On btrfs and overlayfs fstat names another device than the maps do,
/// so a mapping of our own is compared with the target's mapping.
inline bool is_mapped_alike(int file, const Mapping& mapping) {
  void* const page = ::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, file, 0);
  if (page == MAP_FAILED) return false;
  const auto maps = read_maps(::getpid());
  const Mapping* ours = maps ? maps->find(Address{reinterpret_cast<std::uintptr_t>(page)}) : nullptr;
  const bool alike = ours != nullptr && ours->is_same_file(mapping);
  ::munmap(page, 1);
  return alike;
}

inline bool is_file_of(int file, const Mapping& mapping) {
  struct stat status{};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return (status.st_dev == mapping.device && status.st_ino == mapping.inode) || is_mapped_alike(file, mapping);
}

/// Opens `path` as the target's root directory shows it. Links in it can't lead out of that root.
inline FileDescriptor open_in_root(pid_t pid, const std::string& path) {
  const FileDescriptor root{::open(proc_path(pid, "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!root) return FileDescriptor{};
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return FileDescriptor{static_cast<int>(::syscall(SYS_openat2, root.number(), path.c_str(), &how, sizeof how))};
}

}  // namespace detail

/// Opens the file that `mapping` of process `pid` shows, for reading.
///
/// Tried in turn: the path under the target's root (a container), the path as we see it (a chroot inside our mount
/// namespace: its maps already show our paths), /proc/PID/map_files (needs CAP_CHECKPOINT_RESTORE; the only way to a
/// deleted file). Each is taken only if device and inode are the mapping's.
/// Errors: not_found.
inline Result<FileDescriptor> open_mapped(pid_t pid, const Mapping& mapping) {
  if (mapping.inode == 0) return Error{Errc::not_found, mapping.range.begin};
  if (!mapping.deleted) {
    if (auto file = detail::open_in_root(pid, mapping.path); file && detail::is_file_of(file.number(), mapping)) return file;
    FileDescriptor file{::open(mapping.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    if (file && detail::is_file_of(file.number(), mapping)) return file;
  }
  char name[64];
  std::snprintf(name, sizeof name, "map_files/%llx-%llx", static_cast<unsigned long long>(mapping.range.begin.value),
                static_cast<unsigned long long>(mapping.range.end.value));
  FileDescriptor file{::open(proc_path(pid, name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file && detail::is_file_of(file.number(), mapping)) return file;
  FileDescriptor executable{::open(proc_path(pid, "exe").c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (executable && detail::is_file_of(executable.number(), mapping)) return executable;
  return Error{Errc::not_found, mapping.range.begin};
}

}  // namespace pyagent::inline v0::process
