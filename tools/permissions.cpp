// Looks for the reason behind a refusal, from the most particular one to the most general.
#include "permissions.hpp"

#include <fcntl.h>     // open
#include <pwd.h>       // getpwuid
#include <sys/stat.h>  // stat
#include <unistd.h>    // getuid

#include <algorithm>    // min
#include <cerrno>       // errno
#include <charconv>     // from_chars
#include <optional>     // optional
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/interpreter/version_text.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/process/status.hpp"
#include "say.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

struct Explanation {
  std::string what;
  std::string advice;  ///< lines
};

constexpr const char* use_agent =
    "or let the program sample itself, which needs no permission: LD_PRELOAD=libpyagent.so python ...";

/// The fields of a /proc/PID/status. Source: proc_pid_status(5)
class StatusFields {
 public:
  explicit StatusFields(const std::string& process)
      : text_(process::read_text("/proc/" + process + "/status").value_or({})) {}

  bool empty() const { return text_.empty(); }

  /// The words of `name`'s line.
  std::vector<std::string> words(std::string_view name) const {
    std::vector<std::string> found;
    std::string_view line = process::find_field(text_, name);
    while (true) {
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      if (line.empty()) return found;
      found.emplace_back(line.substr(0, line.find_first_of(" \t")));
      line.remove_prefix(found.back().size());
    }
  }

  std::uint64_t number(std::string_view name, int base = 10, std::size_t word = 0) const {
    const auto found = words(name);
    std::uint64_t value = 0;
    if (word < found.size()) std::from_chars(found[word].data(), found[word].data() + found[word].size(), value, base);
    return value;
  }

 private:
  std::string text_;
};

constexpr std::uint64_t sys_ptrace = std::uint64_t{1} << 19;  // CAP_SYS_PTRACE, linux/capability.h

std::string name_of_user(std::uint64_t uid) {
  const passwd* const entry = ::getpwuid(static_cast<uid_t>(uid));
  return entry != nullptr ? terminal_text(entry->pw_name) : "the user with id " + std::to_string(uid);
}

std::string first_line(const std::string& path) {
  const std::string text = process::read_text(path).value_or({});
  return text.substr(0, text.find('\n'));
}

// --- what stands in the way of a process that is there ---

/// Everything about the two processes that decides. Fields of ours come from /proc/self.
struct Situation {
  pid_t pid;
  std::string name;
  StatusFields target;
  StatusFields own;

  bool has_capability() const { return (own.number("CapEff", 16) & sys_ptrace) != 0; }
  bool may_have_capability() const { return (own.number("CapBnd", 16) & sys_ptrace) != 0; }
};

using Reason = std::optional<Explanation>;

Reason other_user(const Situation& now) {
  const auto ours = ::getuid();
  for (const std::size_t kind : {0u, 1u, 2u}) {  // real, effective, saved: all three count
    const auto theirs = now.target.number("Uid", 10, kind);
    if (theirs == ours || now.has_capability() || ours == 0) continue;
    const std::string owner = name_of_user(theirs);
    return Explanation{
        "can't read process " + now.name + ": it belongs to another user, " + owner + ", and you are " +
            name_of_user(ours),
        "run pyagent as " + (theirs == 0 ? "root" : owner + " or as root") + ", for instance with sudo\n" + use_agent};
  }
  return {};
}

Reason other_namespace(const Situation& now) {
  const auto theirs = process::read_link(process::proc_path(now.pid, "ns/user"));
  const auto ours = process::read_link("/proc/self/ns/user");
  if (!theirs || !ours || *theirs == *ours) return {};
  return Explanation{
      "can't read process " + now.name + ": it lives in another user namespace (" + *theirs + ", and we in " + *ours +
          ")",
      "run pyagent inside that namespace, for instance inside the container, or as root outside of all\n" +
          std::string{use_agent}};
}

Reason not_dumpable(const Situation& now) {
  struct stat status {};
  const auto uid = now.target.number("Uid", 10, 1);
  if (now.has_capability() || ::stat(process::proc_path(now.pid, "status").c_str(), &status) != 0 ||
      status.st_uid == uid || uid == 0)
    return {};
  return Explanation{"can't read process " + now.name +
                         ": it protects itself (it is not \"dumpable\": it changed its user, "
                         "has capabilities of its own, or asked for that with prctl)",
                     "run pyagent as root"};
}

/// What one value of /proc/sys/kernel/yama/ptrace_scope means. Source: Documentation/admin-guide/LSM/Yama.rst
const char* meaning_of_scope(char scope) {
  switch (scope) {
    case '1':
      return "a process may only be read by those that started it";
    case '2':
      return "only root, or who has CAP_SYS_PTRACE, may read a process";
    default:
      return "nobody may read another process until the next boot";
  }
}

Reason ptrace_scope(const Situation& now) {
  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  if (scope.empty() || scope == "0" || (now.has_capability() && scope != "3")) return {};
  std::string advice;
  if (scope != "3") {
    advice = "run pyagent as root, for instance with sudo\n";
    if (scope == "1") {
      advice += "or start the program with it: pyagent record -- python ...\n";
      advice += "or allow it until the next boot: echo 0 | sudo tee /proc/sys/kernel/yama/ptrace_scope\n";
    }
  }
  return Explanation{"can't read process " + now.name + ": /proc/sys/kernel/yama/ptrace_scope is " + scope + ": " +
                         meaning_of_scope(scope[0]),
                     advice + use_agent};
}

Reason no_capability(const Situation& now) {
  if (now.has_capability() || ::geteuid() != 0) return {};
  const std::string what = "can't read process " + now.name + ": you are root, but without CAP_SYS_PTRACE (CapEff " +
                           now.own.words("CapEff").at(0) + ", CapBnd " + now.own.words("CapBnd").at(0) + ")";
  if (now.may_have_capability())
    return Explanation{what, "give pyagent this capability, which something took away\n" + std::string{use_agent}};
  return Explanation{what,
                     "this container does not have it: start it with --cap-add=SYS_PTRACE (docker, podman), or with\n"
                     "securityContext.capabilities.add: [SYS_PTRACE] (Kubernetes)\n" +
                         std::string{use_agent}};
}

Reason seccomp(const Situation& now) {
  if (now.own.number("Seccomp") != 2) return {};
  return Explanation{"can't read process " + now.name +
                         ": a seccomp filter is set on pyagent itself, which may refuse process_vm_readv and ptrace",
                     "in a container, start it with --cap-add=SYS_PTRACE, or with --security-opt seccomp=unconfined\n" +
                         std::string{use_agent}};
}

Reason debugger(const Situation& now) {
  const std::string tracer = describe_tracer(now.pid);
  if (tracer.empty()) return {};
  return Explanation{
      "can't stop process " + now.name + ": process " + tracer + " is attached to it, and there can be only one",
      "end that one, or use --nonblocking, which stops nothing"};
}

Reason missing_privilege(const Situation& now) {
  if (now.has_capability()) return {};
  return Explanation{
      "can't read process " + now.name + ": the operating system does not permit it to " + name_of_user(::getuid()),
      "run pyagent as root, for instance with sudo\n" + std::string{use_agent}};
}

Explanation explain_refusal(const Situation& now) {
  constexpr Reason (*reasons[])(const Situation&) = {other_user,   other_namespace, debugger, no_capability,
                                                     not_dumpable, ptrace_scope,    seccomp,  missing_privilege};
  for (const auto find : reasons)
    if (auto reason = find(now)) return *reason;
  return {"can't read process " + now.name + ": the operating system does not permit it, though we have CAP_SYS_PTRACE",
          "a security module such as SELinux or AppArmor may refuse: see what the kernel's log says (dmesg)\n" +
              std::string{use_agent}};
}

// --- processes that are no process to sample ---

Reason not_there(pid_t pid, const StatusFields& target) {
  const std::string number = std::to_string(pid);
  if (target.empty()) {
    const bool hidden = ::access(("/proc/" + number).c_str(), F_OK) == 0;
    return hidden
               ? Explanation{"can't see process " + number + ": /proc does not show it to " + name_of_user(::getuid()),
                             "run pyagent as root"}
               : Explanation{"there is no process " + number,
                             "numbers of processes are those that ps shows here; other containers have their own"};
  }
  const auto group = target.number("Tgid");
  if (group != 0 && group != static_cast<std::uint64_t>(pid))
    return Explanation{number + " is a thread of process " + describe_process(static_cast<pid_t>(group)),
                       "use --pid " + std::to_string(group)};
  return {};
}

Reason not_alive(pid_t pid, const std::string& name, const StatusFields& target) {
  const auto state = target.words("State");
  if (!state.empty() && (state[0] == "Z" || state[0] == "X"))
    return Explanation{"process " + name + " has ended; only its parent, process " +
                           describe_process(static_cast<pid_t>(target.number("PPid"))) + ", has not taken notice yet",
                       ""};
  const bool has_memory = !target.words("VmSize").empty();  // kernel threads have none
  const auto command = process::read_command_line(pid);
  if (!has_memory && command && command->empty())
    return Explanation{"process " + name + " is a kernel thread, not a program", ""};
  return {};
}

/// The first child of `pid`, for people; empty if there is none.
std::string first_child(pid_t pid) {
  const std::string children = first_line(process::proc_path(pid, "task/" + std::to_string(pid) + "/children"));
  pid_t child = 0;
  std::from_chars(children.data(), children.data() + children.size(), child);
  return child != 0 ? describe_process(child) : std::string{};
}

Explanation without_python(pid_t pid, const std::string& name) {
  const std::string child = first_child(pid);
  return {"no Python runs in process " + name,
          child.empty() ? "it is another program, or has not started its Python yet"
                        : "it started process " + child + ", which may be what you mean; --subprocesses samples both"};
}

/// The supported versions, and what was found.
Explanation unsupported(const std::string& name, const interpreter::FindFailure& why) {
  const std::string version =
      why.version.major != 0 ? "Python " + interpreter::version_text(why.version) : "its version of Python";
  return {"can't read process " + name + ": " + version + " is not known to this pyagent, which knows 3.5 to 3.15",
          why.path.empty() ? "" : "found in " + terminal_text(why.path)};
}

Explanation unreadable_python(const std::string& name, Error error, const interpreter::FindFailure& why) {
  const std::string reason = why.explanation.empty() ? message(error) : terminal_text(why.explanation);
  return {"can't read process " + name + ": " + reason, why.path.empty() ? "" : "found in " + terminal_text(why.path)};
}

/// A file of /proc that only those may open who may read the process.
bool is_closed_to_us(pid_t pid) {
  const process::FileDescriptor file{::open(process::proc_path(pid, "maps").c_str(), O_RDONLY | O_CLOEXEC)};
  return !file && (errno == EACCES || errno == EPERM);
}

Explanation find_reason(pid_t pid, Error error, const interpreter::FindFailure& why) {
  const Situation now{pid, describe_process(pid), StatusFields{std::to_string(pid)}, StatusFields{"self"}};
  if (auto reason = not_there(pid, now.target)) return *reason;
  if (auto reason = not_alive(pid, now.name, now.target)) return *reason;
  if (error.code == Errc::not_permitted || is_closed_to_us(pid)) return explain_refusal(now);
  if (error.code == Errc::not_found) return without_python(pid, now.name);
  if (error.code == Errc::unsupported_version) return unsupported(now.name, why);
  return unreadable_python(now.name, error, why);
}

}  // namespace

std::string describe_process(pid_t pid) {
  const auto status = process::read_status(pid);
  return std::to_string(pid) + (status ? " (" + terminal_text(status->name) + ")" : "");
}

std::string describe_tracer(pid_t pid) {
  const auto tracer = static_cast<pid_t>(StatusFields{std::to_string(pid)}.number("TracerPid"));
  return tracer != 0 ? describe_process(tracer) : std::string{};
}

std::string explain_attach_failure(pid_t pid, Error error, const interpreter::FindFailure& why) {
  const Explanation found = find_reason(pid, error, why);
  return with_advice(found.what, found.advice);
}

}  // namespace pyagent::tools
