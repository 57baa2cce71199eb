// Chooses names of files, tries them before they are needed, and writes them.
#include "output.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>      // errno
#include <cstring>     // strerror
#include <filesystem>  // absolute
#include <memory>      // make_unique

#include "pyagent/format/file_sink.hpp"
#include "pyagent/format/output_name.hpp"
#include "pyagent/format/raw.hpp"
#include "pyagent/format/speedscope.hpp"
#include "pyagent/process/program_name.hpp"
#include "pyagent/recording/spool.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

/// "python3", "python3.13t", "/usr/bin/python": those whose arguments name the program.
bool is_interpreter(const std::string& path) {
  return std::string_view{path}.substr(path.rfind('/') + 1).starts_with("python");  // npos + 1 is 0
}

std::string program_of(const std::vector<std::string>& command) {
  if (command.empty() || is_interpreter(command[0])) return process::program_name(command);
  return process::detail::script_name(command[0]);
}

/// Why the file that has this name already may not be replaced.
std::string find_replace_problem(const std::string& output) {
  struct stat link {
  }, file{};
  if (::lstat(output.c_str(), &link) != 0) return {};
  if (::stat(output.c_str(), &file) == 0 && !S_ISREG(file.st_mode))
    return S_ISDIR(file.st_mode) ? "it is a directory" : "it exists and is not a regular file";
  if (link.st_uid != ::geteuid()) return "it exists and belongs to another user";
  return {};
}

/// Why no recording can be made beside `output`.
std::string find_recording_problem(const std::string& output) {
  const std::string path = choose_recording(output, ::getpid());
  const auto spool = std::make_unique<recording::Spool>();
  errno = 0;
  const Errc failed = spool->create(path.c_str());
  const int error_number = errno;
  if (failed == Errc::ok) {
    spool->abandon();
    ::unlink(path.c_str());
    return {};
  }
  return failed == Errc::io_error && error_number != 0 ? std::strerror(error_number) : message(failed);
}

}  // namespace

Format choose_format(const std::string& path, std::optional<Format> wanted) {
  return wanted.value_or(path.ends_with(".txt") ? Format::raw : Format::speedscope);
}

std::string choose_output(const std::string& wanted, std::optional<Format> format, pid_t pid,
                          const std::vector<std::string>& command) {
  return format::replace_pid(
      wanted.empty() ? format::default_output_name(program_of(command), format == Format::raw) : wanted, pid);
}

std::string choose_recording(const std::string& output, pid_t pid) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string number = std::to_string((now.tv_sec % 1000) * 1'000'000'000 + now.tv_nsec);
  std::error_code failed;
  const std::string path = std::filesystem::absolute(output, failed).string();
  return (failed ? output : path) + '.' + std::to_string(pid) + '-' + number + ".pyagent";
}

std::string find_output_problem(const std::string& output) {
  std::string problem = find_replace_problem(output);
  if (problem.empty()) problem = find_recording_problem(output);
  return problem.empty() ? problem : "can't write to " + terminal_text(output) + ": " + problem;
}

std::string write_profile(const profile::Profile& profile, const std::string& path, Format format) {
  format::FileSink sink{path};
  const auto written =
      format == Format::raw ? format::write_raw(profile, sink) : format::write_speedscope(profile, sink);
  if (written) return {};
  const int number = sink.error_number();
  return "can't write to " + terminal_text(path) + ": " +
         (number != 0 ? std::strerror(number) : message(written.error()));
}

}  // namespace pyagent::tools
