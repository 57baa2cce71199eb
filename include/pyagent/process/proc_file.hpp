// Files of /proc: their paths, and their text read whole.
#pragma once

#include <cerrno>       // errno, EINTR
#include <cstddef>      // size_t
#include <fcntl.h>      // open
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <sys/types.h>  // pid_t
#include <unistd.h>     // read, readlink

#include "pyagent/base/result.hpp"
#include "pyagent/process/file_descriptor.hpp"

namespace pyagent::inline v0::process {

/// Nothing of /proc is read beyond this size: a process with a million mappings stays below it.
inline constexpr std::size_t largest_proc_file = std::size_t{256} << 20;

/// `/proc/PID/name`.
inline std::string proc_path(pid_t pid, std::string_view name) {
  return "/proc/" + std::to_string(pid) + "/" + std::string{name};
}

/// The text of a file whose size is not known before it is read, as those of /proc.
inline Result<std::string> read_text(const std::string& path) {
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) return Error{Errc::io_error};
  std::string text;
  std::size_t filled = 0;
  for (;;) {
    if (text.size() - filled < 4096) text.resize(text.size() < 16384 ? 16384 : text.size() * 2);
    const ssize_t got = ::read(file.number(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{Errc::io_error};
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled > largest_proc_file) return Error{Errc::too_large};
  }
  text.resize(filled);
  return text;
}

/// Where a symbolic link points.
inline Result<std::string> read_link(const std::string& path) {
  char target[4096];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
  if (length < 0) return Error{Errc::io_error};
  return std::string(target, static_cast<std::size_t>(length));
}

}  // namespace pyagent::inline v0::process
