// What a recording comes to, in a few lines.
#pragma once

#include <cstddef>  // size_t
#include <string>   // string

#include "pyagent/profile/profile.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::tools {

/// `1234 samples, 1 flagged, 3 dropped (2 changing, 1 unreadable), 5 missed`
std::string describe_counts(const recording::Counters& counters);

/// A table of the functions with the most time of their own, at most `most` of them; empty if there is no time at all.
std::string hottest_functions(const profile::Profile& profile, std::size_t most);

}  // namespace pyagent::tools
