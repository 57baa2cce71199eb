// Starts programs with fork and exec, and hears of exec's failure through a pipe that exec closes.
#include "launch.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>   // errno
#include <cstring>  // strerror

#include "say.hpp"
#include "stop_signals.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

using process::FileDescriptor;

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  return Pipe{FileDescriptor{ends[0]}, FileDescriptor{ends[1]}};
}

template <class T>
bool read_whole(const FileDescriptor& from, T& value) {
  ssize_t got = 0;
  do got = ::read(from.number(), &value, sizeof value);
  while (got < 0 && errno == EINTR);
  return got == sizeof value;
}

template <class T>
bool write_whole(const FileDescriptor& to, const T& value) {
  ssize_t written = 0;
  do written = ::write(to.number(), &value, sizeof value);
  while (written < 0 && errno == EINTR);
  return written == sizeof value;
}

[[noreturn]] void execute_when_told(const FileDescriptor& start, const FileDescriptor& failure,
                                    char* const* arguments) {
  char go = 0;
  if (!read_whole(start, go)) ::_exit(exit_failed);
  ::execvp(arguments[0], arguments);
  write_whole(failure, errno);
  ::_exit(exit_failed);
}

int shell_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

std::optional<Program> Program::prepare(const std::vector<std::string>& command, int& error_number) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  auto start = make_pipe(), failure = make_pipe();
  const pid_t pid = start && failure ? ::fork() : -1;
  if (pid < 0) return error_number = errno, std::nullopt;
  if (pid == 0) {
    start->write = FileDescriptor{};  // else it would wait for itself when we are gone
    execute_when_told(start->read, failure->write, arguments.data());
  }
  return Program{pid, std::move(start->write), std::move(failure->read)};
}

Program::~Program() {
  if (pid_ == 0 || !start_) return;
  start_ = FileDescriptor{};
  wait();
}

int Program::start() {
  const bool told = write_whole(start_, 'x');
  start_ = FileDescriptor{};
  int error_number = 0;
  if (told && !read_whole(failure_, error_number)) return 0;
  if (!told) error_number = ESRCH;  // somebody killed it
  wait();
  return error_number;
}

int Program::wait() {
  // First only looked at: as long as it was not taken away, its number can't be another process's.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  pass_stop_signals_on(0);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  return shell_status(status);
}

int fail_to_start(const std::vector<std::string>& command, int error_number) {
  const bool is_missing = error_number == ENOENT || error_number == ENOTDIR;
  return fail("can't start '" + terminal_text(command.at(0)) + "': " + std::strerror(error_number), "",
              is_missing ? 127 : 126);
}

}  // namespace pyagent::tools
