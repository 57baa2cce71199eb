// `pyagent record`: samples a process, or a program that it starts, into a profile.
#pragma once

#include "options.hpp"

namespace pyagent::tools {

/// Gives the exit status: that of the program if one was started; else 0 when there is a profile.
int record(const RecordOptions& options);

}  // namespace pyagent::tools
