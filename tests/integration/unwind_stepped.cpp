// Runs code of many shapes one instruction at a time, and unwinds at each. The truth is known: what was called, and has
// not returned. unwind_stepped STEPS [SHIFT]: one line for each workload: its steps, how many were unwound rightly, how
// many at least came back to the right callers, how many were right from pc and stack pointer alone, name. SHIFT spoils
// the look-up of rules. Status 77: not on this processor.
#include <dlfcn.h>
#include <ucontext.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "pyagent/capture/native_capture.hpp"
#include "support/own_code.hpp"
#include "support/unwind_workloads.hpp"

using namespace pyagent;

namespace {

constexpr int skipped = 77;

#if defined(__x86_64__)

constexpr std::size_t max_depth = 256;
constexpr long long trap_flag = 0x100;

/// A call that has not returned: where its return address is.
struct Call {
  std::uint64_t slot, return_address;
};

struct Counts {
  unsigned steps = 0, right = 0, right_outward = 0, right_if_blocked = 0, shown = 0;
};

test::OwnCode* code;
AddressRange stack;
Counts counts;
unsigned wanted;
bool is_stepping;
std::vector<Call> calls;
std::vector<std::uint64_t> outer;  // callers of the function that began to step
std::uint64_t last_pc;
capture::AnchorDistance learned;
std::array<capture::NativeFrame, max_depth> frames;

/// Follows calls and returns from one instruction to the next.
void keep_truth(const memory::LocalMemory& memory, std::uint64_t pc, std::uint64_t sp) {
  while (!calls.empty() && calls.back().slot < sp) calls.pop_back();
  const auto top = memory::read_value<std::uint64_t>(memory, Address{sp}).value_or(0);
  const auto length = top - last_pc;
  const bool is_call = length >= 2 && length <= 8 && pc != top && (calls.empty() || calls.back().slot > sp) &&
                       unwind::X86_64::ends_with_call({reinterpret_cast<const std::byte*>(last_pc), length});
  if (is_call) calls.push_back({sp, top});
  last_pc = pc;
}

bool is_right(std::size_t depth, std::uint64_t pc) {
  if (depth != 1 + calls.size() + outer.size() || frames[0].pc.value != pc) return false;
  for (std::size_t i = 1; i < depth; ++i) {
    const std::size_t of_calls = calls.size();
    const auto truth = i <= of_calls ? calls[of_calls - i].return_address : outer[i - 1 - of_calls];
    if (frames[i].pc.value != truth) return false;
  }
  return true;
}

/// From the function that began to step on outward.
bool is_right_outward(std::size_t depth) {
  if (depth <= outer.size()) return false;
  for (std::size_t i = 1; i <= outer.size(); ++i)
    if (frames[depth - i].pc.value != outer[outer.size() - i]) return false;
  return true;
}

void show_difference(std::size_t depth) {
  if (counts.shown++ >= 4) return;
  for (std::size_t i = 0; i < depth + 2 && i < 10; ++i) {
    const auto truth = i == 0                                ? last_pc
                       : i <= calls.size()                   ? calls[calls.size() - i].return_address
                       : i - 1 - calls.size() < outer.size() ? outer[i - 1 - calls.size()]
                                                             : 0;
    Dl_info info{};
    ::dladdr(reinterpret_cast<void*>(truth), &info);
    std::fprintf(stderr, "  %012lx %012lx %s %s+%lx\n", i < depth ? frames[i].pc.value : 0, truth,
                 info.dli_sname ? info.dli_sname : "", info.dli_fname ? info.dli_fname : "",
                 truth - reinterpret_cast<std::uint64_t>(info.dli_fbase));
  }
  std::fputs("\n", stderr);
}

void on_step(int, siginfo_t*, void* context) {
  auto* interrupted = static_cast<ucontext_t*>(context);
  auto& flags = interrupted->uc_mcontext.gregs[REG_EFL];
  if (counts.steps >= wanted || !is_stepping) {
    flags &= ~trap_flag;
    return;
  }
  flags |= trap_flag;
  const int saved = errno;
  const auto start = unwind::registers_of(*interrupted);
  const Address pc = start.program_counter();
  const memory::LocalMemory memory = test::own_memory(stack);
  auto walk = capture::capture_native(memory, *code, start, stack, {}, learned, frames);
  if (counts.steps++ == 0) {
    calls.clear();
    outer.clear();
    for (std::uint32_t i = 1; i < walk.depth; ++i) outer.push_back(frames[i].pc.value);
    last_pc = pc.value;
  } else {
    keep_truth(memory, pc.value, start.stack_pointer().value);
  }
  const bool right = is_right(walk.depth, pc.value);
  counts.right += right ? 1 : 0;
  counts.right_outward += is_right_outward(walk.depth) ? 1 : 0;
  if (!right) show_difference(walk.depth);
  const auto blocked = unwind::registers_of_blocked(pc, start.stack_pointer());
  walk = capture::capture_native(memory, *code, blocked, stack, {}, learned, frames);
  counts.right_if_blocked += is_right(walk.depth, pc.value) ? 1 : 0;
  errno = saved;
}

/// From the next instruction on, each is followed by a trap.
PYAGENT_NOINLINE void run_stepped(void (*run)()) {
  is_stepping = true;
  asm volatile("pushfq; orq %0, (%%rsp); popfq; nop" : : "i"(trap_flag) : "memory", "cc");
  run();
  is_stepping = false;
  asm volatile("" : : : "memory");
}

#endif

}  // namespace

int main([[maybe_unused]] int count, [[maybe_unused]] char** arguments) {
#if defined(__x86_64__)
  if (count < 2) return skipped;
  wanted = static_cast<unsigned>(std::atoi(arguments[1]));
  test::workload::hashing();  // loads its library, before it is looked what is loaded
  test::OwnCode own{count > 2 ? std::strtoull(arguments[2], nullptr, 0) : 0};
  code = &own;
  stack = test::own_stack();
  calls.reserve(1000);
  outer.reserve(max_depth);
  // On the stack that is unwound the handler would leave return addresses behind.
  std::vector<char> handler_stack(256 * 1024);
  const stack_t alternative{handler_stack.data(), 0, handler_stack.size()};
  ::sigaltstack(&alternative, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_step;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGTRAP, &action, nullptr);
  for (const auto& workload : test::workloads) {
    counts = {};
    run_stepped(workload.run);
    std::printf("%u %u %u %u %s\n", counts.steps, counts.right, counts.right_outward, counts.right_if_blocked,
                workload.name);
  }
  return 0;
#else
  return skipped;
#endif
}
