// Attaches to processes as people start them: perhaps only just now.
#pragma once

#include <sys/types.h>  // pid_t

#include "pyagent/sampler/target.hpp"

namespace pyagent::tools {

/// sampler::attach, tried again for as long as the process is younger than a second: `python app.py & pyagent dump -p
/// $!` is there before the interpreter is.
Result<sampler::Target> attach_patiently(pid_t pid, interpreter::FindFailure& why);

}  // namespace pyagent::tools
