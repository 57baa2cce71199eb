// A process that can be read, with the interpreter in it.
#pragma once

#include <fcntl.h>        // open
#include <sys/syscall.h>  // SYS_process_vm_readv
#include <sys/types.h>    // pid_t
#include <sys/uio.h>      // iovec
#include <time.h>         // clock_nanosleep
#include <unistd.h>       // syscall

#include <algorithm>  // find_if
#include <cerrno>     // errno
#include <utility>    // move

#include "pyagent/base/result.hpp"
#include "pyagent/interpreter/find_runtime.hpp"
#include "pyagent/interpreter/self_check.hpp"
#include "pyagent/memory/remote_memory.hpp"
#include "pyagent/process/file_descriptor.hpp"
#include "pyagent/process/identity.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/process/proc_file.hpp"

namespace pyagent::inline v0::sampler {

/// A process whose interpreter was found. Holds no lock on it and stops nothing.
class Target {
 public:
  Target(process::Identity identity, interpreter::Runtime runtime)
      : identity_(std::move(identity)), runtime_(std::move(runtime)), memory_(identity_.pid()) {}

  pid_t pid() const noexcept { return identity_.pid(); }
  const process::Identity& identity() const noexcept { return identity_; }
  const interpreter::Runtime& runtime() const noexcept { return runtime_; }
  const memory::RemoteMemory& memory() const noexcept { return memory_; }

 private:
  process::Identity identity_;
  interpreter::Runtime runtime_;
  memory::RemoteMemory memory_;
};

/// Finds the interpreter of process `pid` and makes sure that its threads can be read. `pid` may be our own.
///
/// Errors: no_process; not_permitted when its memory may not be read; not_found when no Python runs in it, or not yet;
///         unsupported_version, unsupported_build, inconsistent, wrong_type (the self-check failed), unreadable,
///         io_error. `why`, unless null, says in words what was looked at and what was wrong.
Result<Target> attach(pid_t pid, interpreter::FindFailure* why = nullptr);

namespace detail {

/// Whether the kernel lets us read the process: /proc/PID/maps asks for the same right as its memory does, but a
/// seccomp filter may know only one of them.
inline Error find_obstacle(pid_t pid, const process::Maps& maps) {
  const auto readable = std::find_if(maps.begin(), maps.end(), [](const auto& mapping) { return mapping.readable; });
  if (readable == maps.end()) return {Errc::not_found};  // a kernel thread, or about to end
  std::byte byte{};
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(readable->range.begin.value), 1};
  if (::syscall(SYS_process_vm_readv, pid, &local, 1UL, &remote, 1UL, 0UL) == 1) return {};
  return {errno == EPERM || errno == ENOSYS ? Errc::not_permitted
          : errno == ESRCH                  ? Errc::no_process
                                            : Errc::unreadable};
}

/// Threads come and go while they are looked at, so what is wrong must stay so.
inline interpreter::SelfCheck check_patiently(const memory::RemoteMemory& memory, pid_t pid,
                                              const interpreter::Runtime& runtime) {
  constexpr int attempts = 20;
  constexpr timespec pause{0, 1'000'000};
  auto check = interpreter::self_check(memory, pid, runtime);
  for (int i = 1; i < attempts && check.code != Errc::ok && check.code != Errc::not_found; ++i) {
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    check = interpreter::self_check(memory, pid, runtime);
  }
  return check;
}

inline Error find_obstacle(pid_t pid) {
  const process::FileDescriptor file{::open(process::proc_path(pid, "maps").c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) return {errno == EACCES || errno == EPERM ? Errc::not_permitted : Errc::no_process};
  const auto maps = process::read_maps(pid);
  if (!maps) return {Errc::not_permitted};  // since Linux 4.x the right is asked for at the first read
  return find_obstacle(pid, *maps);
}

}  // namespace detail

inline Result<Target> attach(pid_t pid, interpreter::FindFailure* why) {
  interpreter::FindFailure unused;
  interpreter::FindFailure& failure = why != nullptr ? *why : unused;
  failure = {};
  auto identity = process::Identity::open(pid);
  if (!identity) return identity.error();
  if (const Error obstacle = detail::find_obstacle(pid); obstacle.code != Errc::ok) return obstacle;
  const memory::RemoteMemory memory{pid};
  auto runtime = interpreter::find_runtime(memory, pid, &failure);
  if (!runtime) return runtime.error();
  const auto check = detail::check_patiently(memory, pid, *runtime);
  if (check.code != Errc::ok) {
    failure = {check.code, runtime->layout.version, runtime->path, check.explanation};
    return Error{check.code};
  }
  // A build that does not export its types tells the type of code objects by the first one that is seen.
  if (!runtime->code_type && check.code_object)
    runtime->code_type =
        memory::read_pointer(memory, check.code_object + runtime->layout.object.type).value_or(Address{});
  if (!runtime->code_type) {
    failure = {Errc::not_found, runtime->layout.version, runtime->path, "no code object has been seen running yet"};
    return Error{Errc::not_found};
  }
  return Target{std::move(*identity), std::move(*runtime)};
}

}  // namespace pyagent::inline v0::sampler
