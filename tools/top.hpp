// `pyagent top`: where a process spends its time, now and so far.
#pragma once

#include "options.hpp"

namespace pyagent::tools {

/// Shows a table until the process ends or the user quits; plain tables where there is no terminal. The exit status.
int top(const TopOptions& options);

}  // namespace pyagent::tools
