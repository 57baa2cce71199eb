// Small files of /proc, and the fields of a status file.
#include "pyagent/process/small_file.hpp"

#include <string>

#include "support/catch.hpp"

using namespace pyagent;

TEST_CASE("a field is found by its whole name at the beginning of a line", "[process]") {
  const std::string text = "Name:\tTgid:\t7\nNStgid:\t8\nTgid:\t 9 x\nEmpty:\t\nLast:\tz";
  CHECK(process::find_field(text, "Tgid") == "9 x");
  CHECK(process::find_field(text, "Name") == "Tgid:\t7");
  CHECK(process::find_field(text, "Last") == "z");
  CHECK(process::find_field(text, "Empty").empty());
  CHECK(process::find_field(text, "tgid").empty());
  CHECK(process::find_field(text, "Las").empty());
  CHECK(process::find_field("", "Tgid").empty());
}

TEST_CASE("a small file is read whole, or as much as fits", "[process]") {
  char buffer[64];
  const process::ProcPath path{::getpid(), ::getpid(), "stat"};
  const auto number = std::to_string(::getpid());
  CHECK(path.c_str() == "/proc/" + number + "/task/" + number + "/stat");
  const auto text = process::read_small(path, buffer);
  REQUIRE(text);
  CHECK(text->size() == sizeof buffer);
  CHECK(text->starts_with(number + " ("));
  CHECK(process::read_small(process::ProcPath{-1, "stat"}, buffer).error().code == Errc::no_process);
}
