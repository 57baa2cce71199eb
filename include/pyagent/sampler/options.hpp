// How a process is sampled from outside.
#pragma once

#include <sys/types.h>  // pid_t

#include <algorithm>  // clamp
#include <chrono>     // nanoseconds, milliseconds
#include <memory>     // shared_ptr

namespace pyagent::inline v0::sampler {

class ModuleFiles;

/// How a process is sampled.
struct Options {
  std::chrono::nanoseconds interval = std::chrono::milliseconds{10};  ///< between the samples of a thread
  /// A running thread is stopped while its stack is read, which makes the stack exact. Otherwise nothing is ever
  /// stopped; what is read is checked, read again up to three times, and dropped when it can't be proven.
  bool stop_threads = true;
  bool idle = false;  ///< threads that are blocked are sampled too, with wall time as their weight
  bool gil = false;   ///< only threads that hold the GIL
  pid_t thread = 0;   ///< only the thread of this kernel id; 0: all
  std::chrono::nanoseconds stop_budget = std::chrono::milliseconds{20};  ///< longest time to wait for one thread
  bool native = false;  ///< frames of native code too, and threads that never ran Python; needs `stop_threads`
  std::shared_ptr<ModuleFiles> module_files{};  ///< shared with samplers of other processes; null: its own
};

/// `options`, but between two samples of a thread lies some time, and not all the time there is.
inline Options with_possible_interval(Options options) noexcept {
  options.interval =
      std::clamp<std::chrono::nanoseconds>(options.interval, std::chrono::microseconds{1}, std::chrono::hours{24});
  return options;
}

}  // namespace pyagent::inline v0::sampler
