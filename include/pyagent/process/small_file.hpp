// Small files of /proc, read without the heap.
#pragma once

#include <fcntl.h>      // open
#include <sys/types.h>  // pid_t
#include <unistd.h>     // pread

#include <cerrno>       // errno
#include <cstdint>      // uint64_t
#include <cstdio>       // snprintf
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/base/result.hpp"
#include "pyagent/process/file_descriptor.hpp"
#include "pyagent/process/maps.hpp"

namespace pyagent::inline v0::process {

/// What errno says after a call that is about another process or thread.
constexpr Errc process_error(int number) noexcept {
  if (number == ESRCH || number == ENOENT) return Errc::no_process;
  return number == EPERM || number == EACCES ? Errc::not_permitted : Errc::io_error;
}

/// Path of a file of a process or of one of its threads.
class ProcPath {
 public:
  ProcPath(pid_t pid, const char* name) noexcept { std::snprintf(text_, sizeof text_, "/proc/%d/%s", pid, name); }
  ProcPath(pid_t pid, pid_t tid, const char* name) noexcept {
    std::snprintf(text_, sizeof text_, "/proc/%d/task/%d/%s", pid, tid, name);
  }
  const char* c_str() const noexcept { return text_; }

 private:
  char text_[80];
};

/// Opens a file of /proc for reading.
///
/// Errors: no_process, also when this kernel has no such file; not_permitted; io_error, errno is then still set.
inline Result<FileDescriptor> open_small(const ProcPath& path) noexcept {
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) return Error{process_error(errno)};
  return file;
}

/// The text of an open file of /proc, as it is now; what is longer than `out` is cut.
///
/// Errors: no_process when the process or thread has ended; not_permitted; io_error.
inline Result<std::string_view> read_small(int file, std::span<char> out) noexcept {
  for (;;) {
    const ssize_t got = ::pread(file, out.data(), out.size(), 0);
    if (got >= 0) return std::string_view{out.data(), static_cast<std::size_t>(got)};
    if (errno != EINTR) return Error{process_error(errno)};
  }
}

inline Result<std::string_view> read_small(const ProcPath& path, std::span<char> out) noexcept {
  const auto file = open_small(path);
  if (!file) return file.error();
  return read_small(file->number(), out);
}

/// Long enough for a stat file, and for a status file of a thread in a few hundred groups on thousands of processors.
inline constexpr std::size_t stat_size = 2048, status_size = 16384;

/// The value in the line `name:` of the text of a status file, without the blanks before it; empty when there is none.
/// Source: proc_pid_status(5); a line break in the process's name is written as \n.
constexpr std::string_view find_field(std::string_view text, std::string_view name) noexcept {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    while (line.starts_with('\t') || line.starts_with(' ')) line.remove_prefix(1);
    return line;
  }
  return {};
}

/// The number in that line, if there is one.
inline bool find_number(std::string_view text, std::string_view name, std::uint64_t& number, int base = 10) noexcept {
  std::string_view field = find_field(text, name);
  return detail::take_number(field, number, base, 0);
}

}  // namespace pyagent::inline v0::process
