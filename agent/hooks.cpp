// The functions of the C library that the agent stands in for: threads, forks, exec, _exit, its signal's disposition.
#include <dlfcn.h>  // dlsym
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>   // atomic
#include <cerrno>   // errno
#include <climits>  // PATH_MAX
#include <cstdarg>  // va_list
#include <cstdio>   // snprintf
#include <cstdlib>  // getenv
#include <cstring>  // strchr

#include "engine.hpp"
#include "finish.hpp"
#include "late_start.hpp"
#include "real.hpp"
#include "signals.hpp"
#include "state.hpp"

#define PYAGENT_EXPORT extern "C" __attribute__((visibility("default")))

namespace pyagent::agent {
namespace {

template <class F>
void find_real(F& function, const char* name) noexcept {
  function = reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

/// The key whose destructor runs when a thread ends, however it ends.
pthread_key_t thread_end_key;
bool has_thread_end_key;

void on_thread_end(void*) { end_own_thread(); }

/// What a new thread is told; lives in memory of its own until the thread has read it.
struct Start {
  StartRoutine routine;
  void* argument;
};

// Exception-transparent on purpose: pthread_exit and cancellation unwind through it, and so may a C++ exception on its
// way to terminate.
void* run_thread(void* given) {
  const Start start = *static_cast<Start*>(given);
  ::munmap(given, sizeof start);
  begin_thread_with_end(__builtin_frame_address(0));
  return start.routine(start.argument);
}

bool is_own_process() noexcept { return state.pid == static_cast<pid_t>(::syscall(SYS_getpid)); }

/// Whether execvp would find something to run: it searches PATH itself, and profiles are not to be written for a
/// failure.
bool is_on_path(const char* file) noexcept {
  if (std::strchr(file, '/') != nullptr) return ::access(file, X_OK) == 0;
  const char* path = ::getenv("PATH");
  char candidate[PATH_MAX];
  for (path = path != nullptr ? path : "/bin:/usr/bin"; path != nullptr;) {
    const char* const colon = std::strchr(path, ':');
    const auto length =
        static_cast<int>(colon != nullptr ? colon - path : static_cast<std::ptrdiff_t>(std::strlen(path)));
    const int size = std::snprintf(candidate, sizeof candidate, "%.*s/%s", length, path, file);
    if (size > 0 && size < PATH_MAX && ::access(length == 0 ? file : candidate, X_OK) == 0) return true;
    path = colon != nullptr ? colon + 1 : nullptr;
  }
  return false;
}

/// True in the process that is sampled; a vfork child shares its memory and must change none of it.
bool is_sampling() noexcept { return state.phase.load() == Phase::sampling && is_own_process(); }

/// Around an exec that is about to succeed: the profile is written and nothing is left that could kill the new program.
class Leaving {
 public:
  explicit Leaving(bool will_succeed) noexcept : is_leaving_(will_succeed) {
    if (!is_leaving_) return;
    finish(Ending::exec);
    flush_signal();
  }
  ~Leaving() {
    if (!is_leaving_) return;
    const int saved = errno;
    reinstall_handler();  // it refused all the same; what follows is not sampled
    errno = saved;
  }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

 private:
  bool is_leaving_;
};

/// Arguments of execl and its kind as an array: from the stack, since a vfork child may not allocate.
#define PYAGENT_COLLECT(first, argv, list)                                           \
  va_list list;                                                                      \
  va_start(list, first);                                                             \
  std::size_t count_ = 1;                                                            \
  while (va_arg(list, const char*) != nullptr) ++count_;                             \
  va_end(list);                                                                      \
  char** argv = static_cast<char**>(__builtin_alloca((count_ + 1) * sizeof(char*))); \
  va_start(list, first);                                                             \
  argv[0] = const_cast<char*>(first);                                                \
  for (std::size_t i_ = 1; i_ <= count_; ++i_) argv[i_] = va_arg(list, char*)

}  // namespace

void begin_thread_with_end(const void* stack_end) noexcept {
  begin_own_thread(stack_end);
  if (own_slot != nullptr && has_thread_end_key) ::pthread_setspecific(thread_end_key, own_slot);
}

void install_thread_end() noexcept { has_thread_end_key = ::pthread_key_create(&thread_end_key, on_thread_end) == 0; }

const RealFunctions& real() noexcept {
  static RealFunctions functions;
  static std::atomic<bool> is_ready;
  if (is_ready.load(std::memory_order_acquire)) return functions;
  find_real(functions.pthread_create, "pthread_create");
  find_real(functions.sigaction, "sigaction");
  find_real(functions.exit_now, "_exit");
  find_real(functions.execve, "execve");
  find_real(functions.execvpe, "execvpe");
  find_real(functions.fexecve, "fexecve");
  is_ready.store(true, std::memory_order_release);
  return functions;
}

}  // namespace pyagent::agent

using namespace pyagent::agent;

PYAGENT_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, StartRoutine routine,
                                  void* argument) {
  if (state.phase.load(std::memory_order_acquire) != Phase::sampling)
    return real().pthread_create(thread, attributes, routine, argument);
  // Not malloc: the program may count or replace it.
  void* const given = ::mmap(nullptr, sizeof(Start), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (given == MAP_FAILED) return real().pthread_create(thread, attributes, routine, argument);
  *static_cast<Start*>(given) = {routine, argument};
  const int result = real().pthread_create(thread, attributes, run_thread, given);
  if (result != 0) ::munmap(given, sizeof(Start));
  return result;
}

PYAGENT_EXPORT void _exit(int status) {
  if (is_sampling()) finish(Ending::exit);
  real().exit_now(status);
  __builtin_unreachable();
}

PYAGENT_EXPORT void _Exit(int status) { _exit(status); }

PYAGENT_EXPORT int sigaction(int signal, const struct sigaction* wanted, struct sigaction* before) {
  // An interpreter that is being initialized ignores SIGXFSZ, and hardly any other program does: looking for it at
  // other calls would take the loader's lock in signal handlers and in children of fork. Source: init_signals, CPython
  // Python/pylifecycle.c (3.12: _PySignal_Init, Modules/signalmodule.c)
  if (signal == SIGXFSZ && wanted != nullptr && state.phase.load(std::memory_order_acquire) == Phase::inert)
    start_if_python_came();
  if (state.phase.load(std::memory_order_acquire) == Phase::inert || signal != state.signal)
    return real().sigaction(signal, wanted, before);
  exchange_disposition(wanted, before);
  return 0;
}

PYAGENT_EXPORT sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction wanted {};
  struct sigaction before {};
  wanted.sa_handler = handler;
  wanted.sa_flags = SA_RESTART;
  sigemptyset(&wanted.sa_mask);
  if (sigaction(number, &wanted, &before) != 0) return SIG_ERR;
  return before.sa_handler;
}

PYAGENT_EXPORT int execve(const char* path, char* const* arguments, char* const* environment) {
  const Leaving leaving{is_sampling() && ::access(path, X_OK) == 0};
  return real().execve(path, arguments, environment);
}

PYAGENT_EXPORT int execv(const char* path, char* const* arguments) { return execve(path, arguments, environ); }

PYAGENT_EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
  const Leaving leaving{is_sampling() && is_on_path(file)};
  return real().execvpe(file, arguments, environment);
}

PYAGENT_EXPORT int execvp(const char* file, char* const* arguments) { return execvpe(file, arguments, environ); }

PYAGENT_EXPORT int fexecve(int fd, char* const* arguments, char* const* environment) {
  const Leaving leaving{is_sampling()};
  return real().fexecve(fd, arguments, environment);
}

PYAGENT_EXPORT int execl(const char* path, const char* first, ...) {
  PYAGENT_COLLECT(first, arguments, list);
  va_end(list);
  return execve(path, arguments, environ);
}

PYAGENT_EXPORT int execlp(const char* file, const char* first, ...) {
  PYAGENT_COLLECT(first, arguments, list);
  va_end(list);
  return execvpe(file, arguments, environ);
}

PYAGENT_EXPORT int execle(const char* path, const char* first, ...) {
  PYAGENT_COLLECT(first, arguments, list);
  char* const* const environment = va_arg(list, char* const*);
  va_end(list);
  return execve(path, arguments, environment);
}
