// What a thread does with its signals, and which wait for it.
#pragma once

#include <signal.h>     // SIGCHLD
#include <sys/types.h>  // pid_t

#include <cstdint>      // uint64_t
#include <string_view>  // string_view

#include "pyagent/base/result.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/process/small_file.hpp"

namespace pyagent::inline v0::process {

/// Signals of a thread, bit 0 for signal 1. Source: SigPnd and others of proc_pid_status(5)
struct SignalSets {
  std::uint64_t pending = 0;  ///< for the thread or its whole process
  std::uint64_t blocked = 0;
  std::uint64_t ignored = 0;  ///< by SIG_IGN
  std::uint64_t caught = 0;   ///< by a handler

  bool has_deliverable() const noexcept { return (pending & ~blocked) != 0; }
  /// It makes no difference to the process.
  bool is_ignored(int signal) const noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (signal - 1);
    const bool is_ignored_by_default = signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
    return (ignored & bit) != 0 || (is_ignored_by_default && (caught & bit) == 0);
  }
};

/// Decodes the text of a status file.
inline Result<SignalSets> parse_signal_sets(std::string_view text) noexcept {
  std::uint64_t sets[5] = {};
  constexpr std::string_view names[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"};
  for (std::size_t i = 0; i < std::size(names); ++i)
    if (!find_number(text, names[i], sets[i], 16)) return Error{Errc::damaged};
  return SignalSets{sets[0] | sets[1], sets[2], sets[3], sets[4]};
}

/// Signals of thread `tid`.
///
/// Errors: no_process, not_permitted, io_error.
inline Result<SignalSets> read_signal_sets(pid_t tid) noexcept {
  char buffer[status_size];
  const auto text = read_small(ProcPath{tid, "status"}, buffer);
  if (!text) return text.error();
  const auto sets = parse_signal_sets(*text);
  return sets ? *sets : Result<SignalSets>{Error{Errc::io_error}};
}

}  // namespace pyagent::inline v0::process
