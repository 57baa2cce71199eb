// The names of programs, from what their interpreters were told.
#include "pyagent/process/program_name.hpp"

#include "support/catch.hpp"

using pyagent::process::program_name;

TEST_CASE("A program is called after its script, its module or its interpreter", "[process]") {
  CHECK(program_name({"/usr/bin/python3", "dir/app.py", "x.py"}) == "app");
  CHECK(program_name({"python3", "-X", "dev", "-W", "error", "-Bs", "app.py"}) == "app");
  CHECK(program_name({"python3", "-Xdev", "tool"}) == "tool");
  CHECK(program_name({"python3", "-Bm", "http.server", "8000"}) == "http.server");
  CHECK(program_name({"python3", "-mtimeit"}) == "timeit");
  CHECK(program_name({"/usr/bin/python3", "-c", "pass"}) == "python3");
  CHECK(program_name({"python3", "-"}) == "python3");
  CHECK(program_name({"python3", "--check-hash-based-pycs", "always", "app.py"}) == "app");
  CHECK(program_name({"python3", "dir/package/__main__.py"}) == "package");
  CHECK(program_name({"python3", "dir/package/"}) == "package");
  CHECK(program_name({}) == "python");
}
