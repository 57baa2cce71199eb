// A second translation unit that includes everything: linked with sample.cpp, each inline function is there twice.
#include <pyagent/pyagent.hpp>

/// How deep a thread's Python stack is at the moment, in whatever process; -1 if that can't be told.
int stack_depth(pid_t pid, pid_t tid) {
  const auto target = pyagent::sampler::attach(pid);
  if (!target) return -1;
  const auto stack = pyagent::sampler::read_stack(*target, tid);
  return stack ? static_cast<int>(stack->frames.size()) : -1;
}
