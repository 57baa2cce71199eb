// A program that is started to be sampled.
#pragma once

#include <sys/types.h>  // pid_t

#include <optional>  // optional
#include <string>    // string
#include <utility>   // exchange
#include <vector>    // vector

#include "pyagent/process/file_descriptor.hpp"

namespace pyagent::tools {

/// A child of ours. It is made first and executes its program later, so that what its pid is needed for can be
/// prepared. Standard input, output and error are ours. One that was never started is gone with this object.
class Program {
 public:
  /// Makes the process. Nothing, with an errno in `error_number`, if that can't be done. To be called before
  /// catch_stop_signals: the program gets its signals as we got them.
  static std::optional<Program> prepare(const std::vector<std::string>& command, int& error_number);

  Program(Program&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), start_(std::move(other.start_)), failure_(std::move(other.failure_)) {}
  Program& operator=(Program&&) = delete;
  ~Program();

  pid_t pid() const noexcept { return pid_; }

  /// Executes the program. 0, or the errno that exec gave.
  int start();

  /// Waits for its end. Its exit status, or 128 and the number of the signal that ended it.
  int wait();

 private:
  Program(pid_t pid, process::FileDescriptor start, process::FileDescriptor failure) noexcept
      : pid_(pid), start_(std::move(start)), failure_(std::move(failure)) {}

  pid_t pid_;
  process::FileDescriptor start_;    ///< what is written here lets it go; closed, it ends
  process::FileDescriptor failure_;  ///< gives the errno of exec, or nothing when that closed it
};

/// Says that `command` could not be started, and gives the exit status that shells give for it: 127 if there is no such
/// program, else 126.
int fail_to_start(const std::vector<std::string>& command, int error_number);

}  // namespace pyagent::tools
