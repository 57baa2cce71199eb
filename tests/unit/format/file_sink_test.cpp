// Files that appear whole or not at all.
#include "pyagent/format/file_sink.hpp"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"

using pyagent::Errc;
using pyagent::format::Existing;
using pyagent::format::FileSink;
using pyagent::format::numbered_path;

namespace {

// A directory of its own for each test, gone afterwards.
class Directory {
 public:
  Directory() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string{base != nullptr ? base : "/tmp"} + "/pyagent-file-sink-XXXXXX";
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  ~Directory() {
    for (const auto& name : names()) ::unlink((*this / name).c_str());
    ::rmdir(path_.c_str());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + '/' + name; }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    DIR* directory = ::opendir(path_.c_str());
    while (const dirent* entry = ::readdir(directory))
      if (std::string name = entry->d_name; name != "." && name != "..") found.push_back(name);
    ::closedir(directory);
    std::sort(found.begin(), found.end());
    return found;
  }

 private:
  std::string path_;
};

std::string contents(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

// From now on renameat2 fails with ENOSYS in this process, as under filters older than the call.
bool forbid_renameat2() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),  // seccomp_data::nr
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

void put(const std::string& path, const std::string& text) { std::ofstream{path, std::ios::binary} << text; }

}  // namespace

TEST_CASE("A file has its name only after commit", "[format]") {
  const Directory directory;
  FileSink sink{directory / "out.json"};
  CHECK(sink.write("hello ") == Errc::ok);
  CHECK(sink.write(std::string(200'000, 'x')) == Errc::ok);
  CHECK(sink.write(" world") == Errc::ok);
  REQUIRE(directory.names().size() == 1);
  CHECK(directory.names()[0] != "out.json");
  CHECK(sink.commit() == Errc::ok);
  CHECK(directory.names() == std::vector<std::string>{"out.json"});
  CHECK(contents(directory / "out.json") == "hello " + std::string(200'000, 'x') + " world");
}

TEST_CASE("Without commit nothing is left and an older file is untouched", "[format]") {
  const Directory directory;
  put(directory / "out.json", "old");
  {
    FileSink sink{directory / "out.json"};
    CHECK(sink.write(std::string(200'000, 'x')) == Errc::ok);
  }
  CHECK(directory.names() == std::vector<std::string>{"out.json"});
  CHECK(contents(directory / "out.json") == "old");
}

TEST_CASE("commit replaces an older file in one step", "[format]") {
  const Directory directory;
  put(directory / "out.json", "old");
  FileSink sink{directory / "out.json"};
  CHECK(sink.write("new") == Errc::ok);
  CHECK(contents(directory / "out.json") == "old");
  CHECK(sink.commit() == Errc::ok);
  CHECK(contents(directory / "out.json") == "new");
}

TEST_CASE("With Existing::keep the next free name is taken", "[format]") {
  const Directory directory;
  put(directory / "p.speedscope.json", "first");
  put(directory / "p-1.speedscope.json", "second");
  FileSink sink{directory / "p.speedscope.json", Existing::keep};
  CHECK(sink.write("third") == Errc::ok);
  CHECK(sink.commit() == Errc::ok);
  CHECK(sink.path() == directory / "p-2.speedscope.json");
  CHECK(contents(directory / "p.speedscope.json") == "first");
  CHECK(contents(directory / "p-1.speedscope.json") == "second");
  CHECK(contents(directory / "p-2.speedscope.json") == "third");
  CHECK(directory.names().size() == 3);
}

TEST_CASE("Existing::keep works where the kernel has no RENAME_NOREPLACE", "[format]") {
  const Directory directory;
  put(directory / "out.json", "first");
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_renameat2()) ::_exit(2);
    FileSink sink{directory / "out.json", Existing::keep};
    ::_exit(sink.write("second") == Errc::ok && sink.commit() == Errc::ok ? 0 : 1);
  }
  int result = 0;
  REQUIRE(::waitpid(child, &result, 0) == child);
  if (WEXITSTATUS(result) == 2) {
    WARN("skipped: this process may not install a seccomp filter");
    return;
  }
  CHECK(result == 0);
  CHECK(contents(directory / "out.json") == "first");
  CHECK(contents(directory / "out-1.json") == "second");
  CHECK(directory.names().size() == 2);
}

TEST_CASE("numbered_path puts the number before the extension", "[format]") {
  CHECK(numbered_path("a.json", 0) == "a.json");
  CHECK(numbered_path("a.json", 1) == "a-1.json");
  CHECK(numbered_path("d.x/a", 2) == "d.x/a-2");
  CHECK(numbered_path("/d/a.speedscope.json", 3) == "/d/a-3.speedscope.json");
  CHECK(numbered_path("/d/.speedscope.json", 3) == "/d/.speedscope-3.json");
  CHECK(numbered_path(".hidden", 1) == ".hidden-1");
  CHECK(numbered_path("x.y/.hidden", 1) == "x.y/.hidden-1");
}

TEST_CASE("A symbolic link is replaced, not followed", "[format]") {
  const Directory directory;
  put(directory / "victim", "precious");
  REQUIRE(::symlink((directory / "victim").c_str(), (directory / "out.json").c_str()) == 0);
  FileSink sink{directory / "out.json"};
  CHECK(sink.write("new") == Errc::ok);
  CHECK(sink.commit() == Errc::ok);
  CHECK(contents(directory / "victim") == "precious");
  CHECK(contents(directory / "out.json") == "new");
}

TEST_CASE("The umask decides who may read the file", "[format]") {
  const Directory directory;
  const auto old = ::umask(027);
  {
    FileSink sink{directory / "out.json"};
    CHECK(sink.commit() == Errc::ok);
  }
  ::umask(old);
  struct stat info {};
  REQUIRE(::stat((directory / "out.json").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
}

TEST_CASE("A directory that is missing and a name that is a directory are errors at once", "[format]") {
  const Directory directory;
  FileSink missing{directory / "no/such/out.json"};
  CHECK(missing.status() == Errc::not_found);
  CHECK(missing.write("x") == Errc::not_found);
  CHECK(missing.commit() == Errc::not_found);
  FileSink taken{directory / "."};
  CHECK(taken.status() == Errc::io_error);
  CHECK(taken.error_number() == EISDIR);
  CHECK(directory.names().empty());
}

TEST_CASE("A name as long as names can be works", "[format]") {
  const Directory directory;
  FileSink sink{directory / std::string(255, 'n')};
  CHECK(sink.commit() == Errc::ok);
  CHECK(directory.names() == std::vector<std::string>{std::string(255, 'n')});
}

TEST_CASE("A pipe is written directly and stays a pipe", "[format]") {
  const Directory directory;
  const auto path = directory / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  FileSink sink{path};
  CHECK(sink.write("through") == Errc::ok);
  CHECK(sink.commit() == Errc::ok);
  char text[16];
  CHECK(::read(reader, text, sizeof text) == 7);
  ::close(reader);
  CHECK(directory.names() == std::vector<std::string>{"pipe"});
}

TEST_CASE("A full disk is no_space and leaves nothing", "[format]") {
  FileSink device{"/dev/full"};
  CHECK(device.write("x") == Errc::ok);
  CHECK(device.commit() == Errc::no_space);

  // A file-size limit is a full disk for one process; a child, so that the limit stays there.
  const Directory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    FileSink sink{directory / "out.json"};
    auto status = sink.write(std::string(90'000, 'x'));
    if (status == Errc::ok) status = sink.write(std::string(90'000, 'x'));
    ::_exit(status == Errc::no_space && sink.commit() == Errc::no_space ? 0 : 1);
  }
  int result = 0;
  REQUIRE(::waitpid(child, &result, 0) == child);
  CHECK(result == 0);
  CHECK(directory.names().empty());
}
