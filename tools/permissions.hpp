// Why a process can't be sampled, in words, and what to do about it.
#pragma once

#include <sys/types.h>  // pid_t

#include <string>  // string

#include "pyagent/base/result.hpp"
#include "pyagent/interpreter/runtime.hpp"

namespace pyagent::tools {

/// Why process `pid` can't be read, and in further lines what to do about it: a text for `say`. `error` and `why` as
/// sampler::attach gives them. Looks in /proc for the reason behind a refusal: another user, ptrace_scope,
/// capabilities, namespaces, seccomp, a debugger, a process that may not be read, a process without Python.
std::string explain_attach_failure(pid_t pid, Error error, const interpreter::FindFailure& why);

/// The process that traces `pid`, a debugger or strace, as describe_process gives it; empty if there is none.
std::string describe_tracer(pid_t pid);

/// The process's name for people: `4711 (python3)`, safe for a terminal.
std::string describe_process(pid_t pid);

}  // namespace pyagent::tools
