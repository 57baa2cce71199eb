// The file that a profile goes to.
#pragma once

#include <sys/types.h>  // pid_t

#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

#include "options.hpp"
#include "pyagent/profile/profile.hpp"

namespace pyagent::tools {

/// The format asked for, or else the one that the name says: raw for `.txt`, speedscope for all others.
Format choose_format(const std::string& path, std::optional<Format> wanted);

/// Where the profile of process `pid` goes, which was started as `command`: `wanted` with its %p, or the default name.
std::string choose_output(const std::string& wanted, std::optional<Format> format, pid_t pid,
                          const std::vector<std::string>& command);

/// The path of a new recording of process `pid`, beside the profile; absolute.
std::string choose_recording(const std::string& output, pid_t pid);

/// Why no profile and no recording can be written to `output`, for people; empty if they can. A recording is begun, as
/// far as the disk's space goes, and taken away again.
std::string find_output_problem(const std::string& output);

/// Writes `profile`. Empty, or why that was not possible.
std::string write_profile(const profile::Profile& profile, const std::string& path, Format format);

}  // namespace pyagent::tools
