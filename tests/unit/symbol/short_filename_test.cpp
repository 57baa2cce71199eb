// Tests of symbol/short_filename.hpp.
#include "pyagent/symbol/short_filename.hpp"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <unistd.h>

#include "support/catch.hpp"

using namespace pyagent;

namespace {

std::string shorten(std::string_view filename, const std::set<std::string>& files) {
  return std::string{symbol::short_filename(filename, [&](const std::string& path) { return files.contains(path); })};
}

}  // namespace

TEST_CASE("a file outside of packages keeps its own name only", "[symbol]") {
  CHECK(shorten("/home/me/project/run.py", {}) == "run.py");
  CHECK(shorten("/run.py", {}) == "run.py");
  CHECK(shorten("run.py", {}) == "run.py");
  CHECK(shorten("scripts/run.py", {}) == "run.py");
}

TEST_CASE("directories that are packages stay, those above go", "[symbol]") {
  const std::set<std::string> files{"/lib/json/__init__.py", "/lib/a/__init__.py", "/lib/a/b/__init__.py"};
  CHECK(shorten("/lib/json/decoder.py", files) == "json/decoder.py");
  CHECK(shorten("/lib/a/b/c.py", files) == "a/b/c.py");
  CHECK(shorten("/lib/a/b/c/d.py", files) == "d.py");
  CHECK(shorten("/lib/a/__init__.py", files) == "a/__init__.py");
  CHECK(shorten("/lib/a//b/c.py", {"/lib/a//b/__init__.py", "/lib/a//__init__.py"}) == "a//b/c.py");
}

TEST_CASE("a package above which there is nothing ends the search", "[symbol]") {
  CHECK(shorten("/p/m.py", {"/__init__.py", "/p/__init__.py"}) == "p/m.py");
  CHECK(shorten("p/m.py", {"p/__init__.py"}) == "p/m.py");
  CHECK(shorten("m.py", {"__init__.py"}) == "m.py");
}

TEST_CASE("names that are no files stay as they are", "[symbol]") {
  CHECK(shorten("<string>", {}) == "<string>");
  CHECK(shorten("<frozen importlib._bootstrap>", {}) == "<frozen importlib._bootstrap>");
  CHECK(shorten("<doctest a/b>", {}) == "<doctest a/b>");
  CHECK(shorten("", {}).empty());
  CHECK(shorten("/", {}) == "/");
  CHECK(shorten("/lib/", {}) == "/lib/");
  CHECK(shorten("/lib/<x>", {}) == "<x>");
  CHECK(shorten("<lib/x", {}) == "x");
}

TEST_CASE("ShortFilenames asks the file system, and each name once", "[symbol]") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("pyagent-short-filename-" + std::to_string(::getpid()));
  fs::create_directories(root / "package");
  std::ofstream{root / "package" / "__init__.py"};
  symbol::ShortFilenames names;
  const std::string module = root / "package" / "module.py";
  CHECK(names.find(module) == "package/module.py");
  CHECK(names.find(root / "other.py") == "other.py");
  fs::remove_all(root);
  CHECK(names.find(module) == "package/module.py");
}
