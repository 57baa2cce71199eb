// Where the loader enters: decides whether this process is to be sampled, and starts it.
#include <dlfcn.h>  // dlsym
#include <link.h>   // dl_iterate_phdr
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>    // array
#include <chrono>   // nanoseconds
#include <cstdlib>  // secure_getenv
#include <cstring>  // strncmp
#include <vector>   // vector

#include "engine.hpp"
#include "finish.hpp"
#include "helper.hpp"
#include "late_start.hpp"
#include "native.hpp"
#include "options.hpp"
#include "pyagent/interpreter/eval_code.hpp"
#include "pyagent/interpreter/find_runtime.hpp"
#include "pyagent/interpreter/version_text.hpp"
#include "pyagent/memory/local_memory.hpp"
#include "pyagent/process/proc_file.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/recording/encode_process.hpp"
#include "pyagent/recording/encoder.hpp"
#include "signals.hpp"
#include "state.hpp"

/// Its address tells the copies of this library apart: only the first that the loader finds becomes active. A reference
/// to the exported name would be bound to the first copy's in every copy; the hidden one is this copy's own.
extern "C" __attribute__((visibility("hidden"))) const char pyagent_own_mark[] = "pyagent agent 0.1.0";
extern "C" __attribute__((visibility("default"), alias("pyagent_own_mark"))) const char pyagent_agent[];

namespace pyagent::agent {
namespace {

bool is_first_copy() noexcept { return ::dlsym(RTLD_DEFAULT, "pyagent_agent") == pyagent_own_mark; }

/// Cheap: most programs that get this library preloaded are not Python.
bool has_python() noexcept {
  if (::dlsym(RTLD_DEFAULT, "Py_GetVersion") != nullptr) return true;
  const auto is_python = [](dl_phdr_info* info, std::size_t, void*) {
    const char* const slash = std::strrchr(info->dlpi_name, '/');
    const char* const name = slash != nullptr ? slash + 1 : info->dlpi_name;
    return std::strncmp(name, "libpython", 9) == 0 ? 1 : 0;
  };
  return ::dl_iterate_phdr(is_python, nullptr) != 0;
}

/// Where the C library keeps a thread's specific values: learned by looking for one that was just set. Up to 32 keys
/// lie inside struct pthread, 16 bytes each: {sequence, value}. Source: struct pthread, glibc nptl/descr.h
std::uint64_t find_thread_data() noexcept {
  pthread_key_t key;
  if (::pthread_key_create(&key, nullptr) != 0) return 0;
  static const char mark = 0;
  std::uint64_t offset = 0;
  if (key < 32 && ::pthread_setspecific(key, &mark) == 0) {
    const auto* const words = reinterpret_cast<const std::uint64_t*>(pthread_self());
    constexpr std::size_t most = 256;
    for (std::size_t i = 1; i < most && offset == 0; ++i)
      if (words[i] == reinterpret_cast<std::uint64_t>(&mark) && i * 8 > std::size_t{key} * 16)
        offset = i * 8 - std::size_t{key} * 16;
    ::pthread_setspecific(key, nullptr);
  }
  ::pthread_key_delete(key);
  return offset;
}

/// True when a process further up was started with the same PYAGENT and runs Python: that one writes the output file.
/// Programs between that are not Python (timeout, env, sh -c) do not count.
bool has_sampled_ancestor(const std::string& options) {
  const std::string wanted = '\0' + ("PYAGENT=" + options) + '\0';
  constexpr int most = 16;
  pid_t pid = ::getppid();
  for (int i = 0; i < most && pid > 1; ++i) {
    const std::string environment = process::read_text(process::proc_path(pid, "environ")).value_or({});
    if (('\0' + environment).find(wanted) == std::string::npos) return false;
    const std::string maps = process::read_text(process::proc_path(pid, "maps")).value_or({});
    if (maps.find("/python") != std::string::npos || maps.find("/libpython") != std::string::npos) return true;
    const auto status = process::read_status(pid);
    if (!status) return false;
    pid = status->parent;
  }
  return false;
}

/// The process record, in memory that lives on.
void prepare_process_record() {
  static std::array<std::byte, recording::process_record_size> storage;
  const auto time = [](std::uint64_t value) { return std::chrono::nanoseconds{static_cast<std::int64_t>(value)}; };
  recording::Encoder out{storage};
  recording::encode_process({.pid = state.pid,
                             .parent = ::getppid(),
                             .command = process::read_command_line(state.pid).value_or({}),
                             .executable = process::read_executable(state.pid).value_or({}),
                             .python_version = interpreter::build_text(state.target->layout),
                             .engine = state.clock == CLOCK_MONOTONIC ? "monotonic" : "cpu",
                             .interval = time(state.interval),
                             .started = time(read_clock(CLOCK_MONOTONIC)),
                             .started_wall_clock = time(read_clock(CLOCK_REALTIME))},
                            out);
  state.process_record = std::span{storage}.first(out.size());
}

bool find_target(const Options& options, std::string& problem) {
  const memory::LocalMemory memory{state.pid, state.can_read_by_call};
  interpreter::FindFailure why;
  const auto runtime = interpreter::find_runtime(memory, state.pid, &why);
  if (!runtime) {
    problem = "this Python can't be sampled: " +
              (why.explanation.empty() ? std::string{message(runtime.error())} : why.explanation);
    return false;
  }
  if (!runtime->code_type) return problem = "this Python can't be sampled: it does not export PyCode_Type", false;
  static capture::Target target;
  target = {.layout = runtime->layout,
            .code_type = runtime->code_type,
            .none = runtime->none,
            .interpreter_head = runtime->interpreter_head,
            .runtime = runtime->runtime,
            .current_thread = runtime->current_thread_symbol};
  state.target = &target;
  state.native = options.native && prepare_native();
  if (state.native && runtime->layout.frame_chain == cpython::FrameChain::frame_object) {
    static std::vector<AddressRange> code;
    code = interpreter::find_eval_code(memory, state.pid, *runtime);
    state.eval_code = code;
  }
  state.is_doubted = runtime->needs_self_check;
  return true;
}

/// The kernel looks at CPU-clock timers at each tick only.
void warn_of_slow_tick(const Options& options) {
  timespec tick{};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  const double most = tick.tv_nsec > 0 ? 1e9 / static_cast<double>(tick.tv_nsec) : 0;
  if (options.clock == Options::Clock::cpu && most > 0 && options.rate > most * 1.01)
    say("rate " + std::to_string(static_cast<long>(options.rate)) + " is above this kernel's tick: there will be " +
        std::to_string(static_cast<long>(most)) +
        " samples per second of CPU time, each standing for the time since the last");
}

/// Whether the forking thread had our signal blocked. Small, as all static thread storage of a preloaded library has to
/// be.
thread_local bool was_blocked;

void before_fork() {
  // Old kernels restart fork when a signal comes, and a handler must not be half-way when its memory is copied.
  sigset_t ours, before;
  sigemptyset(&ours);
  sigaddset(&ours, state.signal);
  ::pthread_sigmask(SIG_BLOCK, &ours, &before);
  was_blocked = ::sigismember(&before, state.signal) == 1;
}

void after_fork_in_parent() {
  if (was_blocked) return;
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, state.signal);
  ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}

void after_fork_in_child() {
  if (state.phase.load() == Phase::sampling) {
    state.pid = static_cast<pid_t>(::syscall(SYS_getpid));
    const Options options = output().options;
    std::string problem;
    if (prepare_output(options, true, problem)) {
      prepare_process_record();
      restart_in_child();
      start_helper();
    } else {
      state.phase.store(Phase::inert);
    }
  }
  after_fork_in_parent();
}

void start(const void* stack_end) {
  const char* const text = ::secure_getenv("PYAGENT");
  std::string problem;
  const auto options = parse_options(text != nullptr ? text : "", problem);
  if (!options) return say("PYAGENT: " + problem + "; the program runs unprofiled");
  state.pid = ::getpid();
  state.can_read_by_call = memory::LocalMemory::probe(state.pid);
  state.clock = options->clock == Options::Clock::monotonic ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
  state.interval = static_cast<std::uint64_t>(options->interval().count());
  const bool is_child = text != nullptr && has_sampled_ancestor(text);
  if (!find_target(*options, problem) || !prepare_output(*options, is_child, problem))
    return say(problem + "; the program runs unprofiled");
  state.thread_data_offset = find_thread_data();
  prepare_process_record();
  if (!install_handler())
    return say(
        "all signals that could serve are taken (SIGPROF, SIGVTALRM, SIGSTKFLT, SIGPWR); the program runs unprofiled");
  install_thread_end();
  warn_of_slow_tick(*options);
  ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  state.phase.store(Phase::sampling, std::memory_order_release);
  begin_thread_with_end(stack_end);
  start_helper();
}

std::atomic<bool> may_start;

__attribute__((constructor)) void enter(int, char** arguments, char**) {
  if (::getauxval(AT_SECURE) != 0 || !is_first_copy()) return;
  may_start.store(true);
  // A program's arguments lie above all of its main thread's frames.
  if (has_python() && may_start.exchange(false)) start(arguments);
}

__attribute__((destructor)) void leave() {
  if (state.phase.load() == Phase::sampling && state.pid == static_cast<pid_t>(::syscall(SYS_getpid)))
    finish(Ending::exit);
}

}  // namespace

void start_if_python_came() {
  if (!may_start.load(std::memory_order_relaxed) || !has_python() || !may_start.exchange(false)) return;
  start(nullptr);
  adopt_all_threads();
}

}  // namespace pyagent::agent
