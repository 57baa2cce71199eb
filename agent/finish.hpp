// The end of a recording: it becomes a profile.
#pragma once

#include <string>  // string

#include "options.hpp"

namespace pyagent::agent {

/// Why sampling ends.
enum class Ending { exit, exec, duration };

/// What `finish` writes, and where. Set before sampling starts.
struct Output {
  Options options;
  std::string path;       ///< of the profile, absolute
  std::string recording;  ///< of the recording, absolute
  std::string shown;      ///< of the profile, as the user named it
};

/// In an object that is never destroyed: threads may outlive static destructors.
Output& output() noexcept;

/// Fills `output()` for this process. `is_child` adds the pid to the name, so that a parent's file is never
/// overwritten. False, with a sentence for people in `problem`, if nothing can be written there.
bool prepare_output(const Options& options, bool is_child, std::string& problem);

/// Stops sampling, writes the profile and says so, once. Later calls do nothing.
void finish(Ending ending) noexcept;

/// One line on standard error.
void say(const std::string& line) noexcept;

}  // namespace pyagent::agent
