// find_runtime over every interpreter that PYAGENT_PYTHONS lists, compared with what each says of itself.
#include "pyagent/interpreter/find_runtime.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "pyagent/interpreter/self_check.hpp"
#include "pyagent/memory/remote_memory.hpp"
#include "support/catch.hpp"

using namespace pyagent;

namespace {

struct Python {
  std::string tag, path;
};

/// TAG<TAB>EXECUTABLE lines of the file that PYAGENT_PYTHONS names.
std::vector<Python> listed_pythons() {
  std::vector<Python> pythons;
  const char* const list = std::getenv("PYAGENT_PYTHONS");
  if (list == nullptr) return pythons;
  std::ifstream file{list};
  for (std::string line; std::getline(file, line);)
    if (const auto tab = line.find('\t'); tab != line.npos) pythons.push_back({line.substr(0, tab), line.substr(tab + 1)});
  return pythons;
}

/// Runs a script; its first line is `said`. It waits until this goes.
class Child {
 public:
  Child(const std::string& python, const std::string& script) {
    int out[2] = {}, in[2] = {};
    REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
    pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execl(python.c_str(), python.c_str(), "-c", script.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(out[1]);
    ::close(in[0]);
    for (char c; ::read(out[0], &c, 1) == 1 && c != '\n';) said += c;
    ::close(out[0]);
    input_ = in[1];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::close(input_);
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
  pid_t pid = -1;
  std::string said;

 private:
  int input_ = -1;
};

constexpr const char* script = R"(import sys
def f(): pass
def is_free_threaded():
    import sysconfig
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print("%d %d %d %d %d %d %d" % (sys.version_info[:3] + (id(None), id(type(f.__code__)), hasattr(sys, "gettotalrefcount"),
      sys.version_info >= (3, 13) and is_free_threaded())))
sys.stdout.flush()
sys.stdin.read())";

}  // namespace

TEST_CASE("the runtime of every interpreter at hand is found as it describes itself", "[interpreter]") {
  const auto pythons = listed_pythons();
  if (pythons.empty()) std::cout << "skipped: PYAGENT_PYTHONS names no list of interpreters\n";
  for (const Python& python : pythons) {
    INFO(python.tag + " " + python.path);
    const Child child{python.path, script};
    unsigned major = 0, minor = 0, micro = 0, debug = 0, free_threaded = 0;
    std::uint64_t none = 0, code_type = 0;
    std::istringstream said{child.said};
    REQUIRE(said >> major >> minor >> micro >> none >> code_type >> debug >> free_threaded);

    const memory::RemoteMemory memory{child.pid};
    interpreter::FindFailure why;
    const auto runtime = interpreter::find_runtime(memory, child.pid, &why);
    if (major == 2) {
      CHECK(runtime.error().code == Errc::unsupported_version);
      CHECK(why.version.major == 2);
      CHECK(why.explanation.find("2.7.") != std::string::npos);
      continue;
    }
    INFO(why.explanation);
    REQUIRE(runtime);
    CHECK(interpreter::version_text(runtime->layout.version) == interpreter::version_text({static_cast<std::uint8_t>(major),
          static_cast<std::uint8_t>(minor), static_cast<std::uint8_t>(micro), runtime->layout.version.release}));
    CHECK(runtime->layout.flags.debug == (debug != 0));
    CHECK(runtime->layout.flags.free_threaded == (free_threaded != 0));
    CHECK(runtime->none.value == none);
    CHECK(runtime->code_type.value == code_type);
    CHECK(runtime->image.contains(runtime->interpreter_head, 8));
    CHECK_FALSE(runtime->needs_self_check);

    const auto check = interpreter::self_check(memory, child.pid, *runtime);
    INFO(check.explanation);
    CHECK(check.code == Errc::ok);
    CHECK(check.code_object);

    auto wrong = *runtime;
    wrong.layout.thread.interpreter += 8;
    CHECK(interpreter::self_check(memory, child.pid, wrong).code == Errc::wrong_type);
    wrong = *runtime;
    wrong.interpreter_head = Address{};
    CHECK(interpreter::self_check(memory, child.pid, wrong).code == Errc::unreadable);
  }
}

TEST_CASE("an interpreter whose file is gone is still found", "[interpreter]") {
  const auto pythons = listed_pythons();
  if (pythons.empty()) std::cout << "skipped: PYAGENT_PYTHONS names no list of interpreters\n";
  for (const Python& python : pythons) {
    if (python.tag != "system-3.11") continue;
    std::string copy = "/tmp/pyagent-python-XXXXXX";
    const int file = ::mkstemp(copy.data());
    REQUIRE(file >= 0);
    REQUIRE(::fchmod(file, 0700) == 0);
    {
      std::ofstream{copy, std::ios::binary} << std::ifstream{python.path, std::ios::binary}.rdbuf();
    }
    ::close(file);
    const Child child{copy, script};
    ::unlink(copy.c_str());
    interpreter::FindFailure why;
    const auto runtime = interpreter::find_runtime(memory::RemoteMemory{child.pid}, child.pid, &why);
    INFO(why.explanation);
    REQUIRE(runtime);
    CHECK(runtime->layout.version.is_minor(3, 11));
  }
}

TEST_CASE("a process without Python is said to have none", "[interpreter]") {
  interpreter::FindFailure why;
  const auto runtime = interpreter::find_runtime(memory::RemoteMemory{::getpid()}, ::getpid(), &why);
  CHECK(runtime.error().code == Errc::not_found);
  CHECK(why.explanation == "no interpreter is mapped");
}

TEST_CASE("a process that does not exist gives io_error", "[interpreter]") {
  interpreter::FindFailure why;
  CHECK(interpreter::find_runtime(memory::RemoteMemory{-1}, -1, &why).error().code == Errc::io_error);
  CHECK(why.path == "/proc/-1/maps");
}
