// The frames that stand for processes, in profiles of several. May allocate
#pragma once

#include <algorithm>  // reverse
#include <cstddef>    // size_t
#include <span>       // span
#include <string>     // string, to_string
#include <vector>     // vector

#include "pyagent/profile/profile_facts.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::profile {

/// `process 4711:"python app.py"`, as py-spy 0.4 shows a process with `--subprocesses`.
inline std::string process_frame_name(const recording::ProcessRecord& process) {
  constexpr std::size_t most = 400;
  return "process " + std::to_string(process.pid) + ":\"" + detail::join_command(process.command, most) + '"';
}

namespace detail {

/// The parent of `processes[child]` among them, or their number. A process that executed another program is there more
/// than once; then it is what it was when the child began.
inline std::size_t find_parent(std::span<const recording::ProcessRecord> processes, std::size_t child) {
  std::size_t found = processes.size();
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if (i == child || processes[i].pid != processes[child].parent) continue;
    const bool is_first = found == processes.size();
    const bool is_later = !is_first && processes[i].started > processes[found].started;
    if (is_first || (is_later && processes[i].started <= processes[child].started)) found = i;
  }
  return found;
}

}  // namespace detail

/// The frames of `processes[which]`, root first: its ancestors among them, and itself.
inline std::vector<std::string> process_frame_names(std::span<const recording::ProcessRecord> processes,
                                                    std::size_t which) {
  std::vector<std::string> names;
  // No more of them than there are: numbers of processes that are used again could make a circle.
  while (which < processes.size() && names.size() < processes.size()) {
    names.push_back(process_frame_name(processes[which]));
    which = detail::find_parent(processes, which);
  }
  std::reverse(names.begin(), names.end());
  return names;
}

}  // namespace pyagent::inline v0::profile
