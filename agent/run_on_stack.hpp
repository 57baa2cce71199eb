// Calls a function on another stack: the handler may interrupt a thread that has next to none left.
#pragma once

namespace pyagent::agent {

/// Runs `function(argument)` with the stack that ends at `stack_end` (aligned to 16). No other handler may run
/// meanwhile, which the signal's mask sees to. signal-safe
__attribute__((noinline)) inline void run_on_stack(void* stack_end, void (*function)(void*) noexcept,
                                                   void* argument) noexcept {
#if defined(__x86_64__)
  register void* first asm("rdi") = argument;
  asm volatile(
      "movq %%rsp, %%rbx\n\t"
      "movq %[stack], %%rsp\n\t"
      "call *%[function]\n\t"
      "movq %%rbx, %%rsp"
      : "+r"(first), [stack] "+r"(stack_end), [function] "+r"(function)
      :
      : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
#else
  (void)stack_end;
  function(argument);
#endif
}

}  // namespace pyagent::agent
