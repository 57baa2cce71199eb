// The children of a process.
#pragma once

#include <cstdint>      // uint64_t
#include <string>       // to_string
#include <string_view>  // string_view
#include <sys/types.h>  // pid_t
#include <vector>       // vector

#include "pyagent/process/maps.hpp"
#include "pyagent/process/proc_file.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::process {

/// Processes whose parent is `pid`, now. Where the kernel keeps no list of children (CONFIG_PROC_CHILDREN), all
/// processes are asked for their parents.
///
/// Errors: none; a process that has ended has no children.
inline std::vector<pid_t> read_children(pid_t pid) {
  std::vector<pid_t> children;
  const auto tasks = read_tasks(pid);
  if (!tasks) return children;
  bool has_lists = false;
  for (const pid_t task : *tasks) {
    const auto text = read_text(proc_path(pid, "task/" + std::to_string(task) + "/children"));
    if (!text) continue;
    has_lists = true;
    std::uint64_t child = 0;
    for (std::string_view rest = *text; detail::take_number(rest, child, 10, ' ');)
      children.push_back(static_cast<pid_t>(child));
  }
  if (has_lists) return children;
  const auto all = read_numbers("/proc");
  if (!all) return children;
  for (const pid_t other : *all)
    if (const auto status = read_status(other); status && status->parent == pid) children.push_back(other);
  return children;
}

}  // namespace pyagent::inline v0::process
