// Who a process is: command line, executable, parent, start time, threads.
#pragma once

#include <cstdint>      // uint64_t
#include <dirent.h>     // opendir, readdir
#include <memory>       // unique_ptr
#include <string>       // string
#include <string_view>  // string_view
#include <sys/types.h>  // pid_t
#include <unistd.h>     // sysconf
#include <vector>       // vector

#include "pyagent/base/result.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/process/proc_file.hpp"
#include "pyagent/process/small_file.hpp"

namespace pyagent::inline v0::process {

/// The part of /proc/PID/stat (or of a thread's) that is used. Source: proc_pid_stat(5)
struct Status {
  std::string name;  ///< comm; may hold any byte, ')' and line breaks too
  char state = '?';
  pid_t parent = 0;
  std::uint64_t user_ticks = 0;    ///< CPU time in user mode, in clock ticks
  std::uint64_t system_ticks = 0;  ///< CPU time in the kernel, in clock ticks
  std::uint64_t threads = 0;
  std::uint64_t start_ticks = 0;  ///< since boot, in clock ticks
};

/// Clock ticks per second of the times in Status.
inline long clock_ticks_per_second() noexcept { return ::sysconf(_SC_CLK_TCK); }

/// Decodes the text of a stat file.
inline Result<Status> parse_status(std::string_view text) {
  const std::size_t open = text.find('('), close = text.rfind(')');
  if (open == text.npos || close == text.npos || close < open || text.size() - close < 4) return Error{Errc::damaged};
  Status status;
  status.name = text.substr(open + 1, close - open - 1);
  status.state = text[close + 2];
  std::string_view rest = text.substr(close + 4);
  constexpr std::size_t first_field = 4, last_field = 22;
  std::uint64_t fields[last_field + 1] = {};
  for (std::size_t field = first_field; field <= last_field; ++field) {
    const bool negative = rest.starts_with('-');  // tpgid, priority and nice may be
    if (negative) rest.remove_prefix(1);
    if (!detail::take_number(rest, fields[field], 10, ' ')) return Error{Errc::damaged, Address{field}};
  }
  status.parent = static_cast<pid_t>(fields[4]);
  status.user_ticks = fields[14];
  status.system_ticks = fields[15];
  status.threads = fields[20];
  status.start_ticks = fields[22];
  return status;
}

/// Status of process `pid`.
inline Result<Status> read_status(pid_t pid) {
  const auto text = read_text(proc_path(pid, "stat"));
  if (!text) return text.error();
  return parse_status(*text);
}

/// The arguments that process `pid` was started with; empty for a kernel thread or a zombie.
inline Result<std::vector<std::string>> read_command_line(pid_t pid) {
  const auto text = read_text(proc_path(pid, "cmdline"));
  if (!text) return text.error();
  std::vector<std::string> arguments;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\0', at), text->size());
    arguments.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  return arguments;
}

/// Path of the program that process `pid` runs; ends in " (deleted)" when it has no name any more.
inline Result<std::string> read_executable(pid_t pid) { return read_link(proc_path(pid, "exe")); }

/// Who traces thread `tid`, such as a debugger; 0 when nobody does, or nobody we can see.
///
/// Errors: no_process, not_permitted, io_error.
inline Result<pid_t> read_tracer(pid_t tid) noexcept {
  char buffer[status_size];
  const auto text = read_small(ProcPath{tid, "status"}, buffer);
  if (!text) return text.error();
  std::uint64_t tracer = 0;
  if (!find_number(*text, "TracerPid", tracer)) return Error{Errc::io_error};
  return static_cast<pid_t>(tracer);
}

/// The numbers that are names in a directory, as /proc has them for processes and for threads.
///
/// Errors: io_error when there is no such directory.
inline Result<std::vector<pid_t>> read_numbers(const std::string& path) {
  struct Close {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory{::opendir(path.c_str())};
  if (directory == nullptr) return Error{Errc::io_error};
  std::vector<pid_t> numbers;
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string_view name = entry->d_name;
    std::uint64_t number = 0;
    if (detail::take_number(name, number, 10, 0)) numbers.push_back(static_cast<pid_t>(number));
  }
  return numbers;
}

/// Kernel ids of the threads of process `pid`.
inline Result<std::vector<pid_t>> read_tasks(pid_t pid) { return read_numbers(proc_path(pid, "task")); }

}  // namespace pyagent::inline v0::process
