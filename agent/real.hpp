// The C library's own versions of the functions that hooks.cpp stands in for.
#pragma once

#include <pthread.h>  // pthread_create
#include <signal.h>   // sigaction

namespace pyagent::agent {

using StartRoutine = void* (*)(void*);

/// Found by dlsym(RTLD_NEXT) before anything else runs.
struct RealFunctions {
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, StartRoutine, void*);
  int (*sigaction)(int, const struct sigaction*, struct sigaction*);
  void (*exit_now)(int);  ///< _exit
  int (*execve)(const char*, char* const*, char* const*);
  int (*execvpe)(const char*, char* const*, char* const*);
  int (*fexecve)(int, char* const*, char* const*);
};

/// Safe to call before the agent's own constructors have run: other libraries' constructors create threads too.
const RealFunctions& real() noexcept;

}  // namespace pyagent::agent
