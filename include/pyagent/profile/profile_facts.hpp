// What a profile says about itself: its title, how it was taken, and what was lost. May allocate
#pragma once

#include <chrono>       // sys_time, year_month_day
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <cstdio>       // snprintf
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <utility>      // pair
#include <vector>       // vector

#include "pyagent/profile/seconds.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::profile {

/// Name and value of each fact, in the order in which they are to be shown.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// Who made a profile, in the form `name@version` that speedscope and py-spy use.
inline constexpr std::string_view exporter_name = "pyagent@0.1.0";

/// A moment of CLOCK_REALTIME as `2024-02-29T12:00:00.000000Z`.
inline std::string utc_text(std::chrono::nanoseconds since_epoch) {
  using namespace std::chrono;
  const auto moment = floor<microseconds>(sys_time<nanoseconds>{since_epoch});
  const auto day = floor<days>(moment);
  const year_month_day date{day};
  const hh_mm_ss time{moment - day};
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02lld:%02lld:%02lld.%06lldZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<long long>(time.hours().count()), static_cast<long long>(time.minutes().count()),
                static_cast<long long>(time.seconds().count()), static_cast<long long>(time.subseconds().count()));
  return text;
}

namespace detail {

/// The arguments with spaces between them, as far as `most` bytes go. Not for a shell.
inline std::string join_command(const std::vector<std::string>& command, std::size_t most) {
  std::string text;
  for (const std::string& argument : command) {
    if (!text.empty()) text += ' ';
    text += argument;
    if (text.size() > most) return text.substr(0, most) + "...";
  }
  return text;
}

}  // namespace detail

/// The title of a profile: `python3 app.py --port 80 (pid 4711)`, the program without its directory.
inline std::string profile_name(const recording::ProcessRecord& process) {
  constexpr std::size_t most = 120;
  auto command = process.command;
  if (command.empty()) command.push_back(process.executable);
  command[0].erase(0, command[0].rfind('/') + 1);  // npos + 1 is 0
  const auto program = detail::join_command(command, most);
  const auto pid = "pid " + std::to_string(process.pid);
  return program.empty() ? pid : program + " (" + pid + ')';
}

/// What was sampled and how; durations in seconds, `started` in UTC.
inline Facts process_facts(const recording::ProcessRecord& process) {
  constexpr std::size_t most = 4096;
  return {
      {"pid", std::to_string(process.pid)},
      {"parent", std::to_string(process.parent)},
      {"command", detail::join_command(process.command, most)},
      {"executable", process.executable},
      {"python", process.python_version},
      {"engine", process.engine},
      {"interval", seconds_text(process.interval)},
      {"started", utc_text(process.started_wall_clock)},
  };
}

/// How many samples there are, and every one that is not a whole stack. `without_frames` were in the recording and are
/// not in the profile.
inline void append_counter_facts(Facts& facts, const recording::Counters& counters, std::uint64_t without_frames) {
  const std::pair<const char*, std::uint64_t> counts[] = {
      {"samples", counters.samples},
      {"samples without Python", counters.without_python},
      {"samples without frames", without_frames},
      {"samples repaired", counters.repaired},
      {"samples suspect", counters.suspect},
      {"samples truncated", counters.unreadable},
      {"samples with frames left out", counters.elided},
      {"samples dropped", counters.dropped},
      {"threads not sampled", counters.unsampled_threads},
  };
  for (const auto& [name, count] : counts) facts.emplace_back(name, std::to_string(count));
  const std::pair<const char*, std::uint64_t> native[] = {
      {"native stacks exact", counters.native_exact},
      {"native stacks resumed", counters.native_resumed},
      {"native stacks scanned", counters.native_scanned},
      {"native stacks with a Python tail", counters.native_python_tail},
      {"native stacks truncated", counters.native_truncated},
  };
  std::uint64_t with_native = 0;
  for (const auto& [name, count] : native) with_native += count;
  if (with_native != 0)
    for (const auto& [name, count] : native) facts.emplace_back(name, std::to_string(count));
  const std::pair<const char*, std::uint64_t> rare[] = {
      {"samples missed", counters.missed_ticks},
      {"stops that took too long", counters.stop_timeouts},
      {"dropped: the stack changed", counters.dropped_changed},
      {"dropped: no whole stack", counters.dropped_invalid},
      {"dropped: unreadable", counters.dropped_unreadable},
      {"threads read while they ran", counters.unstopped_threads},
  };
  for (const auto& [name, count] : rare)
    if (count != 0) facts.emplace_back(name, std::to_string(count));
}

/// The CPU time of a thread by its own clock, beside what its samples account for.
inline void append_thread_facts(Facts& facts, const recording::ThreadRecord& thread) {
  const auto name = "thread " + std::to_string(thread.tid);
  facts.emplace_back(name, thread.name);
  facts.emplace_back(name + " cpu", seconds_text(thread.cpu));
  facts.emplace_back(name + " sampled", seconds_text(thread.sampled));
}

}  // namespace pyagent::inline v0::profile
