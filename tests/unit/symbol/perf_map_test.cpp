// Perf maps: ranges and names, hostile text, files of others.
#include "pyagent/symbol/perf_map.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "pyagent/symbol/jit_names.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace pyagent::symbol;
using pyagent_test::TemporaryDirectory;

TEST_CASE("a perf map names the ranges of its lines", "[symbol]") {
  const PerfMap map{
      "7f0000001000 20 LazyCompile:*fibonacci app.js:3\n7f0000001020 10 b\n0x7f0000002000 0x8 with prefix\n"};
  CHECK(map.size() == 3);
  CHECK_FALSE(map.find(0x7f0000000fff));
  CHECK(map.find(0x7f0000001000) == "LazyCompile:*fibonacci app.js:3");
  CHECK(map.find(0x7f000000101f) == "LazyCompile:*fibonacci app.js:3");
  CHECK(map.find(0x7f0000001020) == "b");
  CHECK(map.find(0x7f0000002007) == "with prefix");
  CHECK_FALSE(map.find(0x7f0000002008));
}

TEST_CASE("a later line takes over the addresses of an earlier one", "[symbol]") {
  const PerfMap map{"1000 100 old\n1040 20 new\n"};
  CHECK(map.find(0x103f) == "old");
  CHECK(map.find(0x1040) == "new");
  CHECK(map.find(0x1060) == "old");
}

TEST_CASE("lines that are none are passed over, and the last one only counts when it is whole", "[symbol]") {
  const PerfMap map{
      "\n x\n1000\n1000 10\n1000 10 \nxyz 10 a\n1000 zz a\n-1000 10 a\nffffffffffffffff ffffffffffffffff wraps\n"
      "11112222333344445555 1 too_long\n2000 0 empty\n3000 10 good\n4000 10 unfinished"};
  CHECK(map.find(0x3008) == "good");
  CHECK_FALSE(map.find(0x1000));
  CHECK_FALSE(map.find(0x2000));
  CHECK_FALSE(map.find(0x4000));
  CHECK_FALSE(map.find(~std::uint64_t{0}));
  CHECK(PerfMap{std::string(1000, '\0')}.size() == 0);
  CHECK(PerfMap{""}.size() == 0);
}

TEST_CASE("many ranges upon each other are read in bearable time", "[symbol]") {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "1000 ffffffff n" + std::to_string(i) + "\n";
  const PerfMap map{text};
  CHECK(map.find(0x2000) == "n99999");
}

TEST_CASE("a perf map that belongs to us is read, and read again when it has grown", "[symbol]") {
  const TemporaryDirectory directory;
  const std::string pid = std::to_string(::getpid());
  JitNames names{::getpid(), {directory.path()}};
  CHECK(names.find(0x1000) == "[unknown code]");
  directory.write("tmp/perf-" + pid + ".map", "1000 10 one\n");
  CHECK(JitNames{::getpid(), {directory.path()}}.find(0x1000) == "one");
  CHECK(JitNames{0, {directory.path()}}.find(0x1000) == "[unknown code]");
  JitNames growing{::getpid(), {directory.path()}};
  CHECK(growing.find(0x1000) == "one");
  directory.write("tmp/perf-" + pid + ".map", "1000 10 one\n2000 10 two\n");
  std::string name;
  for (int i = 0; i < 300 && name != "two"; ++i) name = growing.find(0x2000), ::usleep(10000);
  CHECK(name == "two");
}

TEST_CASE("links, directories and files of others are no perf maps", "[symbol]") {
  const TemporaryDirectory directory;
  const std::string name = "tmp/perf-" + std::to_string(::getpid()) + ".map";
  const std::string path = directory.path() + "/" + name;
  const auto find = [&] { return JitNames{::getpid(), {directory.path()}}.find(0x1000); };
  const std::string elsewhere = directory.write("elsewhere", "1000 10 one\n");
  directory.write("tmp/other", "");
  REQUIRE(::symlink(elsewhere.c_str(), path.c_str()) == 0);
  CHECK(find() == "[unknown code]");
  ::unlink(path.c_str());
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(find() == "[unknown code]");  // and does not wait for a writer
  ::unlink(path.c_str());
  directory.write(name, "1000 10 one\n");
  CHECK(find() == "one");
  if (::chown(path.c_str(), 12345, 12345) != 0) {
    WARN("skipped: only root may give a file away");
    return;
  }
  CHECK(find() == "[unknown code]");
}

TEST_CASE("names of CPython's own trampolines are known", "[symbol]") {
  CHECK(is_python_trampoline("py::fibonacci:/app/main.py"));
  CHECK_FALSE(is_python_trampoline("LazyCompile:~fibonacci"));
}
