// How the command talks to people: on standard error, what failed and what to do.
#pragma once

#include <cstdio>       // fputs, stderr
#include <string>       // string
#include <string_view>  // string_view

namespace pyagent::tools {

/// Exit statuses of the command itself.
inline constexpr int exit_failed = 1;  ///< something could not be done
inline constexpr int exit_usage = 2;   ///< what was asked for does not exist

/// `what`, and below it each line of `advice`, two spaces further in.
inline std::string with_advice(std::string_view what, std::string_view advice) {
  std::string text{what};
  for (bool is_new_line = !advice.empty(); const char letter : advice) {
    if (is_new_line) text += "\n  ";
    is_new_line = letter == '\n';
    if (!is_new_line) text += letter;
  }
  return text;
}

/// Prints `pyagent: WHAT` and the advice, if there is any.
inline void say(std::string_view what, std::string_view advice = {}) {
  std::fputs(("pyagent: " + with_advice(what, advice) + '\n').c_str(), stderr);
}

/// Says it, and gives the exit status that goes with it: `return fail("...");`
inline int fail(std::string_view what, std::string_view advice = {}, int status = exit_failed) {
  say(what, advice);
  return status;
}

}  // namespace pyagent::tools
