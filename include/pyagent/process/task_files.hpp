// What /proc says of one thread, cheap enough to ask at every sample: has it run, and where does it wait?
#pragma once

#include <sys/resource.h>  // getrlimit, setrlimit
#include <sys/types.h>     // pid_t

#include <array>        // array
#include <cerrno>       // errno
#include <cstdint>      // uint64_t
#include <span>         // span
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/base/address.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/process/file_descriptor.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::process {

/// What the scheduler counted for a thread. Of a running thread `ran_ns` is as of the last tick or switch.
struct Schedule {
  std::uint64_t ran_ns = 0;      ///< time on a processor
  std::uint64_t waited_ns = 0;   ///< time ready to run, without a processor
  std::uint64_t timeslices = 0;  ///< how often it was given a processor: unchanged means that it has not run in between

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

/// Decodes the text of a schedstat file. Source: Documentation/scheduler/sched-stats.rst
inline Result<Schedule> parse_schedule(std::string_view text) noexcept {
  Schedule schedule;
  if (!detail::take_number(text, schedule.ran_ns, 10, ' ') || !detail::take_number(text, schedule.waited_ns, 10, ' ') ||
      !detail::take_number(text, schedule.timeslices, 10, 0))
    return Error{Errc::damaged};
  return schedule;
}

/// Where a thread stands, as far as the kernel tells of one that isn't stopped.
struct SystemCall {
  enum class State : std::uint8_t {
    running,               ///< or ready to run
    blocked,               ///< in a system call
    blocked_outside_call,  ///< in a page fault, or stopped
    unknown,
  };
  State state = State::unknown;
  long number = -1;                          ///< of the call; -1 when there is none, or it is hidden from us
  std::array<std::uint64_t, 6> arguments{};  ///< of the call
  Address stack_pointer;                     ///< null when running or hidden from us
  Address program_counter;                   ///< null when running or hidden from us

  bool is_blocked() const noexcept { return state == State::blocked || state == State::blocked_outside_call; }
};

namespace detail {

/// Takes ` 0x7f00` from the front of `text`.
inline bool take_hex(std::string_view& text, std::uint64_t& value) noexcept {
  if (!text.starts_with(" 0x")) return false;
  text.remove_prefix(3);
  return take_number(text, value, 16, 0);
}

}  // namespace detail

/// Decodes the text of a syscall file. Source: proc_pid_syscall of Linux, fs/proc/base.c
inline Result<SystemCall> parse_system_call(std::string_view text) noexcept {
  const Error damaged{Errc::damaged};
  SystemCall call;
  if (text.starts_with("running")) {
    call.state = SystemCall::State::running;
    return call;
  }
  const bool is_outside = text.starts_with('-');
  if (is_outside) text.remove_prefix(1);
  std::uint64_t number = 0;
  if (!detail::take_number(text, number, 10, 0)) return damaged;
  call.state = is_outside ? SystemCall::State::blocked_outside_call : SystemCall::State::blocked;
  if (!is_outside) {
    call.number = static_cast<long>(number);
    for (auto& argument : call.arguments)
      if (!detail::take_hex(text, argument)) return damaged;
  }
  if (!detail::take_hex(text, call.stack_pointer.value) || !detail::take_hex(text, call.program_counter.value))
    return damaged;
  return call;
}

/// Files of one thread, kept open: a read costs one or two microseconds. Kept open, they
/// never show a later thread of the same number.
class TaskFiles {
 public:
  /// Opens the files of thread `tid` of process `pid`. When descriptors get short, the soft limit of our process is
  /// raised to the hard one; when that isn't enough, files are opened at each read instead.
  ///
  /// Errors: no_process, not_permitted, io_error.
  static Result<TaskFiles> open(pid_t pid, pid_t tid) noexcept;

  pid_t tid() const noexcept { return tid_; }
  /// Where there is no schedstat, times are as coarse as clock ticks and `waited_ns` is 0.
  ///
  /// Errors: no_process when the thread has ended; not_permitted, io_error.
  Result<Schedule> read_schedule() const noexcept;
  /// Where the kernel hides calls, there is only the state.
  ///
  /// Errors: no_process when the thread has ended; not_permitted, io_error.
  Result<SystemCall> read_system_call() const noexcept;
  /// The state letter: R, S, D, T, t, Z, X, I.
  ///
  /// Errors: no_process when the thread has ended; not_permitted, io_error.
  Result<char> read_state() const noexcept;

 private:
  /// A file of the thread; not open when descriptors are short, and not `exists` when it can't be had at all.
  struct File {
    FileDescriptor open;
    bool exists = false;
  };

  TaskFiles(pid_t pid, pid_t tid) noexcept : pid_(pid), tid_(tid) {}
  File open_file(const char* name) const noexcept;
  Result<std::string_view> read_file(const File& file, const char* name, std::span<char> out) const noexcept;
  Result<Schedule> read_schedule_from_status() const noexcept;
  Result<SystemCall> read_system_call_from_state() const noexcept;

  pid_t pid_;
  pid_t tid_;
  File schedule_;
  File system_call_;
};

namespace detail {

/// Descriptors that are left to everything else than files of threads.
inline constexpr rlim_t spare_descriptors = 64;

/// There is room for a descriptor of this number, after the soft limit was raised to the hard one if need be.
inline bool is_descriptor_affordable(int number) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  const rlim_t needed = static_cast<rlim_t>(number) + spare_descriptors;
  if (needed < limit.rlim_cur) return true;
  limit.rlim_cur = limit.rlim_max;
  return needed < limit.rlim_max && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/// The state letter in the text of a stat file.
inline Result<char> parse_state(std::string_view text) noexcept {
  const std::size_t close = text.rfind(')');
  if (close == text.npos || text.size() - close < 3) return Error{Errc::damaged};
  return text[close + 2];
}

}  // namespace detail

inline Result<TaskFiles> TaskFiles::open(pid_t pid, pid_t tid) noexcept {
  TaskFiles files{pid, tid};
  files.schedule_ = files.open_file("schedstat");
  files.system_call_ = files.open_file("syscall");
  // A file that isn't there may be one that this kernel lacks, or that of a thread that is gone.
  if (!files.schedule_.open || !files.system_call_.open)
    if (const auto state = files.read_state(); !state) return state.error();
  return files;
}

inline TaskFiles::File TaskFiles::open_file(const char* name) const noexcept {
  auto file = open_small(ProcPath{pid_, tid_, name});
  if (!file) return File{FileDescriptor{}, errno == EMFILE || errno == ENFILE};
  if (!detail::is_descriptor_affordable(file->number())) return File{FileDescriptor{}, true};
  return File{std::move(*file), true};
}

inline Result<std::string_view> TaskFiles::read_file(const File& file, const char* name,
                                                     std::span<char> out) const noexcept {
  return file.open ? read_small(file.open.number(), out) : read_small(ProcPath{pid_, tid_, name}, out);
}

inline Result<Schedule> TaskFiles::read_schedule() const noexcept {
  if (!schedule_.exists) return read_schedule_from_status();
  char buffer[128];
  const auto text = read_file(schedule_, "schedstat", buffer);
  if (!text) return text.error();
  const auto schedule = parse_schedule(*text);
  // All zero: the kernel doesn't count (sched_info_on of kernel/sched/stats.h), or the thread has never run. Empty: a
  // container hides the file.
  return !schedule || *schedule == Schedule{} ? read_schedule_from_status() : schedule;
}

inline Result<Schedule> TaskFiles::read_schedule_from_status() const noexcept {
  char buffer[status_size];
  const auto text = read_small(ProcPath{pid_, tid_, "status"}, buffer);
  if (!text) return text.error();
  Schedule schedule;
  for (const char* name : {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"}) {
    std::uint64_t switches = 0;
    if (!find_number(*text, name, switches)) return Error{Errc::io_error};
    schedule.timeslices += switches;
  }
  // Switches are counted when a processor is taken away, timeslices when it is given.
  schedule.timeslices += find_field(*text, "State").starts_with('R') ? 1 : 0;
  const auto stat = read_small(ProcPath{pid_, tid_, "stat"}, buffer);
  if (!stat) return stat.error();
  const auto status = parse_status(*stat);
  if (!status) return Error{Errc::io_error};
  const auto ticks = static_cast<std::uint64_t>(clock_ticks_per_second());
  schedule.ran_ns = (status->user_ticks + status->system_ticks) * (1'000'000'000 / ticks);
  return schedule;
}

inline Result<SystemCall> TaskFiles::read_system_call() const noexcept {
  if (!system_call_.exists) return read_system_call_from_state();
  char buffer[256];
  const auto text = read_file(system_call_, "syscall", buffer);
  if (!text && text.error().code == Errc::not_permitted) return read_system_call_from_state();
  if (!text) return text.error();
  const auto call = parse_system_call(*text);
  if (!call) return read_system_call_from_state();
  const bool has_stack = call->state == SystemCall::State::running || call->stack_pointer;
  if (!has_stack) return Error{Errc::no_process};  // what the kernel writes for a zombie
  return call;
}

inline Result<SystemCall> TaskFiles::read_system_call_from_state() const noexcept {
  const auto letter = read_state();
  if (!letter) return letter.error();
  if (*letter == 'Z' || *letter == 'X') return Error{Errc::no_process};
  SystemCall call;
  call.state = *letter == 'R' ? SystemCall::State::running : SystemCall::State::blocked;
  return call;
}

inline Result<char> TaskFiles::read_state() const noexcept {
  char buffer[stat_size];
  const auto text = read_small(ProcPath{pid_, tid_, "stat"}, buffer);
  if (!text) return text.error();
  const auto state = detail::parse_state(*text);
  if (!state) return Error{Errc::io_error};
  return state;
}

}  // namespace pyagent::inline v0::process
