// Versions as they stand in binaries, banners and file names.
#include "pyagent/interpreter/version_text.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace pyagent;
using namespace std::string_view_literals;
using cpython::Version;

namespace {

std::vector<Version> literals_in(std::string_view text) {
  return interpreter::find_version_texts(std::as_bytes(std::span{text}), "\0"sv);
}

}  // namespace

TEST_CASE("a version literal is found by itself and as the tail of a longer string", "[interpreter]") {
  CHECK(literals_in("\0003.6.15\0"sv) == std::vector{Version{3, 6, 15}});
  CHECK(literals_in("x\0/opt/versions/3.10.13\0y"sv) == std::vector{Version{3, 10, 13}});
  CHECK(literals_in("3.15.0rc2\0"sv) == std::vector{Version{3, 15, 0, 0xc2}});
  CHECK(literals_in("3.8.18+\0"sv) == std::vector{Version{3, 8, 18}});
  CHECK(literals_in("3.7.4\0003.7.4\0002.7.18\0"sv) == std::vector{Version{3, 7, 4}, Version{2, 7, 18}});
}

TEST_CASE("what only looks like a version is not taken for one", "[interpreter]") {
  CHECK(literals_in("GLIBC_2.2.5 "sv).empty());
  CHECK(literals_in("SRE 2.2.2 Copyright\0"sv).empty());
  CHECK(literals_in("13.6.15\0"sv).empty());
  CHECK(literals_in("1.3.6.15\0"sv).empty());
  CHECK(literals_in("3.6\0"sv).empty());
  CHECK(literals_in("3.6.\0"sv).empty());
  CHECK(literals_in("3.6.15.2\0"sv).empty());
  CHECK(literals_in("3.6.300\0"sv).empty());
  CHECK(literals_in("3.06.1\0"sv).empty());
  CHECK(literals_in("3.6.15"sv).empty());  // nothing ends it
}

TEST_CASE("the banner of Py_GetVersion is found", "[interpreter]") {
  const auto text = "\0\0003.9.18 (main, Jan  1 2024, 00:00:00) [GCC 12.2.0]\0"sv;
  CHECK(interpreter::find_version_texts(std::as_bytes(std::span{text}), " (") == std::vector{Version{3, 9, 18}});
}

TEST_CASE("file names state the minor version", "[interpreter]") {
  const auto stated = [](std::string_view path) { return interpreter::find_version_in_name(path).value_or(Version{}); };
  CHECK(stated("/usr/bin/python3.9") == Version{3, 9});
  CHECK(stated("/x/libpython3.6m.so.1.0") == Version{3, 6});
  CHECK(stated("python3.14d-host") == Version{3, 14});
  CHECK(stated("/usr/bin/python2.7") == Version{2, 7});
  CHECK(stated("/usr/bin/python3") == Version{});
  CHECK(stated("/usr/bin/python") == Version{});
  CHECK(stated("/usr/lib/libpython3.so") == Version{});
  CHECK(stated("/usr/bin/python3.9/uwsgi") == Version{});
  CHECK(stated("") == Version{});
}

TEST_CASE("a version is written as Python writes it", "[interpreter]") {
  CHECK(interpreter::version_text({3, 9, 18}) == "3.9.18");
  CHECK(interpreter::version_text({3, 15, 0, 0xc2}) == "3.15.0rc2");
  CHECK(interpreter::version_text({3, 15, 0, 0xa1}) == "3.15.0a1");
  CHECK(interpreter::version_text({3, 9}, false) == "3.9");
}

TEST_CASE("a build's text says its version, and whether it is free-threaded or a debug build", "[interpreter]") {
  cpython::Layout layout;
  layout.version = {3, 14, 2};
  CHECK(interpreter::build_text(layout) == "3.14.2");
  layout.flags.debug = true;
  CHECK(interpreter::build_text(layout) == "3.14.2d");
  layout.flags.free_threaded = true;
  CHECK(interpreter::build_text(layout) == "3.14.2td");
  layout.flags.debug = false;
  layout.version = {3, 15, 0, 0xc2};
  CHECK(interpreter::build_text(layout) == "3.15.0rc2t");
}
