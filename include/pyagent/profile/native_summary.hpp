// How whole native stacks are, in a few words. May allocate
#pragma once

#include <cstdint>  // uint64_t
#include <string>   // string, to_string
#include <utility>  // pair

#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::profile {

/// "; native stacks: 120 exact, 3 found by scanning": the end of a summary. Empty where no native frames were recorded.
inline std::string native_summary(const recording::Counters& counters) {
  const std::pair<std::uint64_t, const char*> rare[] = {
      {counters.native_resumed, "resumed at Python frames"},
      {counters.native_scanned, "found by scanning"},
      {counters.native_python_tail, "with a Python tail"},
      {counters.native_truncated, "truncated"},
  };
  std::string text = std::to_string(counters.native_exact) + " exact";
  std::uint64_t all = counters.native_exact;
  for (const auto& [count, what] : rare) {
    if (count != 0) text += ", " + std::to_string(count) + ' ' + what;
    all += count;
  }
  return all != 0 ? "; native stacks: " + text : std::string{};
}

}  // namespace pyagent::inline v0::profile
