// Threads of a process in another pid namespace: the numbers it knows them by, and ours.
#pragma once

#include <sys/types.h>  // pid_t

#include <algorithm>    // sort, lower_bound
#include <cstdint>      // uint64_t
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/process/maps.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::process {

/// Thread ids as the target counts them, and the same threads' ids as we do. The same numbers when the target lives in
/// our own pid namespace; then only one file is read, once. Source: NSpid of proc_pid_status(5), Linux 4.1
class ThreadIds {
 public:
  /// The threads that process `pid` has now.
  static ThreadIds read(pid_t pid) {
    ThreadIds ids{pid};
    ids.refresh();
    return ids;
  }

  bool is_same_namespace() const noexcept { return is_same_; }
  /// Our id of the thread that the target calls `native`; 0 when it isn't known (yet): see refresh.
  pid_t find(pid_t native) const noexcept;
  /// Reads all threads anew: for when one isn't known. About 10 us for each thread of a target in another namespace, so
  /// not to be done again and again for an id that stays unknown.
  void refresh();

 private:
  struct Pair {
    pid_t native;
    pid_t ours;
  };

  explicit ThreadIds(pid_t pid) noexcept : pid_(pid) {}

  pid_t pid_;
  bool is_same_ = false;
  std::vector<Pair> pairs_;  ///< by `native`
};

namespace detail {

/// The last of the numbers in the NSpid line of a status file: the innermost namespace's. 0 when there is just one.
inline pid_t parse_native_id(std::string_view status) noexcept {
  std::string_view numbers = find_field(status, "NSpid");
  const std::size_t last = numbers.find_last_of("\t ");
  if (last == numbers.npos) return 0;
  numbers.remove_prefix(last + 1);
  std::uint64_t native = 0;
  return take_number(numbers, native, 10, 0) ? static_cast<pid_t>(native) : 0;
}

}  // namespace detail

inline pid_t ThreadIds::find(pid_t native) const noexcept {
  if (is_same_) return native;
  const auto at = std::lower_bound(pairs_.begin(), pairs_.end(), native,
                                   [](const Pair& pair, pid_t sought) { return pair.native < sought; });
  return at != pairs_.end() && at->native == native ? at->ours : 0;
}

inline void ThreadIds::refresh() {
  char buffer[status_size];
  if (is_same_) return;
  if (const auto text = read_small(ProcPath{pid_, "status"}, buffer); text && detail::parse_native_id(*text) == 0) {
    is_same_ = true;
    return;
  }
  pairs_.clear();
  const auto tasks = read_tasks(pid_);
  if (!tasks) return;
  for (const pid_t tid : *tasks) {
    const auto text = read_small(ProcPath{pid_, tid, "status"}, buffer);
    const pid_t native = text ? detail::parse_native_id(*text) : 0;
    if (native != 0) pairs_.push_back({native, tid});
  }
  std::sort(pairs_.begin(), pairs_.end(), [](const Pair& a, const Pair& b) { return a.native < b.native; });
}

}  // namespace pyagent::inline v0::process
