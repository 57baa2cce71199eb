// Names of profiles.
#include "pyagent/format/output_name.hpp"

#include "support/catch.hpp"

namespace format = pyagent::format;

TEST_CASE("A profile's default name says program, process and format, and stays in its directory", "[format]") {
  CHECK(format::default_output_name("app", false) == "pyagent-app-%p.speedscope.json");
  CHECK(format::default_output_name("app", true) == "pyagent-app-%p.raw.txt");
  CHECK(format::default_output_name("../a\nb", false) == "pyagent-.._a_b-%p.speedscope.json");
}

TEST_CASE("Each %p is the number of the process", "[format]") {
  CHECK(format::replace_pid("a%p/%p.json", 12) == "a12/12.json");
  CHECK(format::replace_pid("plain", 12) == "plain");
}
