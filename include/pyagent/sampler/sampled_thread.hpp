// One thread of a process, and what is known of it from one sample to the next.
#pragma once

#include <sys/types.h>  // pid_t

#include <chrono>    // nanoseconds
#include <cstdint>   // uint64_t
#include <optional>  // optional
#include <utility>   // move
#include <vector>    // vector

#include "pyagent/base/address.hpp"
#include "pyagent/memory/snapshot.hpp"
#include "pyagent/process/task_files.hpp"
#include "pyagent/process/tracee.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::sampler {

/// One thread of the target.
struct SampledThread {
  explicit SampledThread(process::TaskFiles its_files) : files(std::move(its_files)), tid(files.tid()) {}

  process::TaskFiles files;
  pid_t tid;                         ///< as we count
  recording::ThreadRecord record;    ///< `tid` in it is ours too
  std::vector<Address> states;       ///< its thread states, one for each interpreter; the one that runs first
  std::vector<Address> seen_states;  ///< those of the list that is being read
  std::optional<process::Tracee> tracee;
  bool cannot_be_stopped = false;  ///< somebody else traces it
  bool is_known = false;           ///< the sink was told of it
  bool has_ended = false;
  bool is_other = false;  ///< it never ran Python, and only its native frames are there

  process::Schedule first_schedule;
  std::uint64_t timeslices = 0;
  std::chrono::nanoseconds cpu{};         ///< used since it was first seen
  std::chrono::nanoseconds sampled{};     ///< of that, given to samples, or left out
  std::chrono::nanoseconds first_time{};  ///< when it was first seen
  std::chrono::nanoseconds slept{};       ///< time blocked since then, given to samples or left out
  std::chrono::nanoseconds delay{};       ///< time ready to run without a processor since then
  std::chrono::nanoseconds delayed{};     ///< of that, given to samples
  std::chrono::nanoseconds last_time{};   ///< of its last sample
  std::chrono::nanoseconds name_interval{};
  std::chrono::nanoseconds next_name_check{};

  bool is_blocked = false;
  std::chrono::nanoseconds rested_until{};  ///< while blocked: when it was last seen not to have run
  Address interpreter;                      ///< in which it was seen last
  recording::SampleRecord parked;           ///< where it waits; without frames while that was not read

  memory::ReadPlan frames_plan, rest_plan;
  Address top;  ///< where the address of its innermost frame was kept when it was last read
};

}  // namespace pyagent::inline v0::sampler
