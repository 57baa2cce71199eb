// `pyagent dump`: what each thread of a process is doing now.
#pragma once

#include "options.hpp"

namespace pyagent::tools {

/// Prints the dump; gives the exit status.
int dump(const DumpOptions& options);

}  // namespace pyagent::tools
