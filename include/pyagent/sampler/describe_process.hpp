// What a recording says of a process that is sampled from outside.
#pragma once

#include <chrono>   // system_clock, steady_clock
#include <utility>  // move

#include "pyagent/interpreter/version_text.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::inline v0::sampler {

/// The process and the engine, as of now.
inline recording::ProcessRecord describe_process(const Target& target, const Options& options) {
  const auto status = process::read_status(target.pid());
  return {.pid = target.pid(),
          .parent = status ? status->parent : 0,
          .command = process::read_command_line(target.pid()).value_or({}),
          .executable = process::read_executable(target.pid()).value_or({}),
          .python_version = interpreter::build_text(target.runtime().layout),
          .engine = options.stop_threads ? "attach" : "attach, nonblocking",
          .interval = options.interval,
          .started = std::chrono::steady_clock::now().time_since_epoch(),
          .started_wall_clock = std::chrono::system_clock::now().time_since_epoch()};
}

}  // namespace pyagent::inline v0::sampler
