// Interrupts code of many shapes by a timer, and unwinds in the handler by pyagent's rules and by libunwind.
// unwind_sampled SAMPLES [SHIFT]: one line for each workload: samples in which libunwind found a stack, how many of
// them are the same, in how many it got lost (they don't count), name. SHIFT spoils the look-up of rules. Status 77: no
// libunwind here.
#include <dlfcn.h>
#include <sys/time.h>
#include <ucontext.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "pyagent/capture/native_capture.hpp"
#include "support/own_code.hpp"
#include "support/unwind_workloads.hpp"

using namespace pyagent;

namespace {

constexpr int skipped = 77;
constexpr std::size_t max_depth = 256;

#if defined(__x86_64__)

/// libunwind's own unwinding, by the names that its header gives the functions. A cursor has 127 words.
struct Libunwind {
  static constexpr int instruction_pointer = 16;  // UNW_X86_64_RIP
  static constexpr int interrupted = 1;           // UNW_INIT_SIGNAL_FRAME
  int (*init)(void* cursor, ucontext_t* context, int flags);
  int (*step)(void* cursor);
  int (*get)(void* cursor, int number, std::uint64_t* value);

  bool open() {
    void* library = ::dlopen("libunwind.so.8", RTLD_NOW);
    if (library == nullptr) return false;
    init = reinterpret_cast<decltype(init)>(::dlsym(library, "_ULx86_64_init_local2"));
    step = reinterpret_cast<decltype(step)>(::dlsym(library, "_ULx86_64_step"));
    get = reinterpret_cast<decltype(get)>(::dlsym(library, "_ULx86_64_get_reg"));
    return init != nullptr && step != nullptr && get != nullptr;
  }

  std::size_t walk(ucontext_t* context, std::array<std::uint64_t, max_depth>& out) const {
    alignas(16) std::array<std::uint64_t, 128> cursor;
    std::size_t depth = 0;
    if (init(cursor.data(), context, interrupted) != 0) return 0;
    do {
      std::uint64_t pc = 0;
      if (get(cursor.data(), instruction_pointer, &pc) != 0 || pc == 0) break;
      out[depth++] = pc;
    } while (depth < out.size() && step(cursor.data()) > 0);
    return depth;
  }
};

struct Counts {
  unsigned samples = 0, same = 0, lost = 0, shown = 0;
};

Libunwind libunwind;
test::OwnCode* code;
AddressRange stack;
Counts counts;
capture::AnchorDistance learned;
std::array<capture::NativeFrame, max_depth> ours;
std::array<std::uint64_t, max_depth> theirs;

void show_difference(std::size_t ours_size, std::size_t theirs_size) {
  if (counts.shown++ >= 3) return;
  for (std::size_t i = 0; i < std::max(ours_size, theirs_size) && i < 12; ++i) {
    Dl_info info{};
    const auto pc = i < ours_size ? ours[i].pc.value : 0;
    ::dladdr(reinterpret_cast<void*>(pc), &info);
    std::fprintf(stderr, "  %012lx %012lx %s+%lx\n", pc, i < theirs_size ? theirs[i] : 0,
                 info.dli_fname ? info.dli_fname : "", pc - reinterpret_cast<std::uint64_t>(info.dli_fbase));
  }
  std::fputs("\n", stderr);
}

void on_timer(int, siginfo_t*, void* context) {
  const int saved = errno;
  auto* interrupted = static_cast<ucontext_t*>(context);
  const memory::LocalMemory memory = test::own_memory(stack);
  const auto start = unwind::registers_of(*interrupted);
  const auto walk = capture::capture_native(memory, *code, start, stack, {}, learned, ours);
  const std::size_t depth = libunwind.walk(interrupted, theirs);
  // It does in some instructions of libgcc: then its last pc isn't one.
  if (depth == 0 || !code->contains(Address{theirs[depth - 1]})) {
    ++counts.lost;
  } else {
    ++counts.samples;
    bool is_same = depth == walk.depth;
    for (std::size_t i = 0; is_same && i < depth; ++i) is_same = ours[i].pc.value == theirs[i];
    counts.same += is_same ? 1 : 0;
    if (!is_same) show_difference(walk.depth, depth);
  }
  errno = saved;
}

void set_timer(long microseconds) {
  const itimerval interval{{0, microseconds}, {0, microseconds}};
  ::setitimer(ITIMER_REAL, &interval, nullptr);
}

#endif

}  // namespace

int main([[maybe_unused]] int count, [[maybe_unused]] char** arguments) {
#if defined(__x86_64__)
  if (count < 2 || !libunwind.open()) return skipped;
  const auto wanted = static_cast<unsigned>(std::atoi(arguments[1]));
  test::workload::hashing();  // loads its library, before it is looked what is loaded
  test::OwnCode own{count > 2 ? std::strtoull(arguments[2], nullptr, 0) : 0};
  code = &own;
  stack = test::own_stack();
  struct sigaction action {};
  action.sa_sigaction = on_timer;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  for (const auto& workload : test::workloads) {
    if (!workload.has_rules) continue;
    counts = {};
    set_timer(487);
    while (counts.samples < wanted) workload.run();
    set_timer(0);
    std::printf("%u %u %u %s\n", counts.samples, counts.same, counts.lost, workload.name);
  }
  return 0;
#else
  return skipped;
#endif
}
