// A duration as people and files read it: seconds as a decimal number. May allocate
#pragma once

#include <chrono>   // nanoseconds
#include <cstdint>  // uint64_t
#include <string>   // string, to_string

namespace pyagent::inline v0::profile {

/// `duration` in seconds, exact to the nanosecond, without zeros at the end: `1.5`, `0.000000001`, `3`. The text is
/// made from whole numbers, so texts of parts add up to the text of their sum. Negative durations are shown as `0`.
inline std::string seconds_text(std::chrono::nanoseconds duration) {
  if (duration.count() <= 0) return "0";
  constexpr std::uint64_t second = 1'000'000'000;
  const auto count = static_cast<std::uint64_t>(duration.count());
  auto text = std::to_string(count / second);
  if (count % second == 0) return text;
  const auto fraction = std::to_string(count % second + second);  // a 1, then nine digits
  text += '.';
  text.append(fraction, 1, fraction.find_last_not_of('0'));
  return text;
}

}  // namespace pyagent::inline v0::profile
