// One process, told apart from a later one of the same number and from what it executes later.
#pragma once

#include <fcntl.h>        // open
#include <poll.h>         // poll
#include <sys/syscall.h>  // SYS_pidfd_open
#include <sys/types.h>    // pid_t
#include <unistd.h>       // syscall, pread

#include <cerrno>       // errno
#include <cstdint>      // uint64_t
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/base/address.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/process/file_descriptor.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::process {

/// Where the kernel put the parts of a program when it was executed. Only prctl(PR_SET_MM) changes these later, and
/// what setproctitle and systemd set with it (arg_start, env_start) isn't among them. Source: proc_pid_stat(5)
struct ProgramPlace {
  Address code_begin;  ///< 0: no program, the process or its main thread has ended; 1: we may not see it
  Address code_end;
  Address stack_begin;
  Address data_begin;
  Address break_begin;

  friend bool operator==(const ProgramPlace&, const ProgramPlace&) = default;
  bool has_program() const noexcept { return code_begin.value != 0; }
  bool is_visible() const noexcept { return code_begin.value > 1; }
};

/// Decodes the text of a stat file.
inline Result<ProgramPlace> parse_program_place(std::string_view text) noexcept {
  const std::size_t close = text.rfind(')');
  if (close == text.npos || text.size() - close < 4) return Error{Errc::damaged};
  std::string_view rest = text.substr(close + 4);
  constexpr std::size_t first_field = 4, last_field = 47;
  std::uint64_t fields[last_field + 1] = {};
  for (std::size_t field = first_field; field <= last_field; ++field) {
    if (rest.starts_with('-')) rest.remove_prefix(1);  // tpgid, priority and nice may be negative
    if (!detail::take_number(rest, fields[field], 10, ' ')) return Error{Errc::damaged, Address{field}};
  }
  return ProgramPlace{{fields[26]}, {fields[27]}, {fields[28]}, {fields[45]}, {fields[47]}};
}

/// One process, from the moment it was opened. Stops nothing; holds two descriptors.
class Identity {
 public:
  /// The process that has this number now.
  ///
  /// Errors: no_process, also for a zombie and for a thread that is not its process's first; not_permitted when /proc
  ///         hides it (mount option hidepid); io_error.
  static Result<Identity> open(pid_t pid) noexcept;

  pid_t pid() const noexcept { return pid_; }
  /// When it was started, in clock ticks since boot.
  std::uint64_t start_ticks() const noexcept { return start_ticks_; }
  /// It is gone, a zombie, or another one has its number. One whose main thread ended while others run has not ended.
  bool has_ended() const noexcept;
  /// It runs another program since it was opened, or the same one anew. False while that can't be told.
  bool has_executed() const noexcept;

 private:
  Identity(pid_t pid, FileDescriptor process) noexcept : pid_(pid), process_(std::move(process)) {}

  pid_t pid_;
  FileDescriptor process_;  ///< of pidfd_open; none before Linux 5.3 and where seccomp forbids it
  FileDescriptor memory_;   ///< /proc/PID/mem: stays bound to the memory of the program that ran when it was opened
  std::uint64_t start_ticks_ = 0;
  ProgramPlace place_;
};

inline Result<Identity> Identity::open(pid_t pid) noexcept {
  if (pid <= 0) return Error{Errc::no_process};
  FileDescriptor process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))};
  // EINVAL, since 6.15 ENOENT: a thread, not a process.
  if (!process && (errno == ESRCH || errno == EINVAL || errno == ENOENT)) return Error{Errc::no_process};
  Identity identity{pid, std::move(process)};
  char buffer[status_size];
  const auto text = read_small(ProcPath{pid, "stat"}, std::span{buffer}.first(stat_size));
  if (!text) {
    const bool is_hidden = identity.process_ && !identity.has_ended() && text.error().code == Errc::no_process;
    return Error{is_hidden ? Errc::not_permitted : text.error().code};
  }
  const auto status = parse_status(*text);
  const auto place = parse_program_place(*text);
  if (!status || !place) return Error{Errc::io_error};
  identity.start_ticks_ = status->start_ticks;
  identity.place_ = *place;
  identity.memory_ = FileDescriptor{::open(ProcPath{pid, "mem"}.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!identity.process_) {
    const auto about = read_small(ProcPath{pid, "status"}, buffer);
    std::uint64_t group = 0;
    if (about && find_number(*about, "Tgid", group) && group != static_cast<std::uint64_t>(pid))
      return Error{Errc::no_process};
  }
  if (identity.has_ended()) return Error{Errc::no_process};  // and so all that was read was of this process
  return identity;
}

inline bool Identity::has_ended() const noexcept {
  if (process_) {
    pollfd wait{process_.number(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }
  char buffer[stat_size];
  const auto text = read_small(ProcPath{pid_, "stat"}, buffer);
  if (!text) return text.error().code == Errc::no_process;
  const auto status = parse_status(*text);
  if (!status) return false;
  const bool is_zombie = status->state == 'Z' || status->state == 'X';
  return status->start_ticks != start_ticks_ || (is_zombie && status->threads <= 1);
}

inline bool Identity::has_executed() const noexcept {
  // mem_rw of fs/proc/base.c gives 0 bytes once that memory is gone; page 0 itself can't be read (EIO).
  char byte = 0;
  const bool is_replaced = memory_ && ::pread(memory_.number(), &byte, 1, 0) == 0;
  char buffer[stat_size];
  const auto text = read_small(ProcPath{pid_, "stat"}, buffer);
  const auto place = text ? parse_program_place(*text) : text.error();
  // Read after the memory was found gone: a process that has a program now is not just ending.
  if (!place || !place->has_program() || has_ended()) return false;
  return is_replaced || (place->is_visible() && place_.is_visible() && *place != place_);
}

}  // namespace pyagent::inline v0::process
