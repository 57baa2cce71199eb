// Attaches, and waits for young processes.
#include "attach.hpp"

#include <time.h>

#include "pyagent/process/status.hpp"

namespace pyagent::tools {
namespace {

bool is_young(pid_t pid) {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto status = process::read_status(pid);
  const auto started =
      static_cast<double>(status ? status->start_ticks : 0) / static_cast<double>(process::clock_ticks_per_second());
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9 - started < 1;
}

bool may_change(Errc code) {
  return code != Errc::no_process && code != Errc::not_permitted && code != Errc::unsupported_version &&
         code != Errc::unsupported_build;
}

}  // namespace

Result<sampler::Target> attach_patiently(pid_t pid, interpreter::FindFailure& why) {
  constexpr timespec pause{0, 2'000'000};
  for (;;) {
    auto target = sampler::attach(pid, &why);
    if (target || !may_change(target.error().code) || !is_young(pid)) return target;
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
}

}  // namespace pyagent::tools
