// VersionVote: two sources or more must name the same minor version.
#include "pyagent/interpreter/version_vote.hpp"

#include "support/catch.hpp"

using namespace pyagent;
using interpreter::VersionVote;

TEST_CASE("sources that agree give the version of the first that knows the micro version", "[interpreter]") {
  VersionVote vote;
  vote.add({"the file's name", {3, 7}, false});
  CHECK_FALSE(vote.is_settled());
  vote.add({"PY_VERSION", {3, 7, 16}});
  CHECK(vote.is_settled());
  vote.add({"Py_GetVersion()", {3, 7, 15}});
  CHECK(vote.agree().value_or({}) == cpython::Version{3, 7, 16});
}

TEST_CASE("sources that name different minor versions are refused, and both are named", "[interpreter]") {
  VersionVote vote;
  vote.add({"Py_Version", {3, 11, 2}});
  vote.add({"the exported API", {3, 11}, false});
  vote.add({"the file's name", {3, 9}, false});
  CHECK(vote.agree().error().code == Errc::inconsistent);
  CHECK(vote.disagreement() == "Py_Version says 3.11.2, the file's name says 3.9");
}

TEST_CASE("one source alone is not believed", "[interpreter]") {
  VersionVote vote;
  CHECK(vote.agree().error().code == Errc::not_found);
  CHECK(vote.disagreement() == "nothing says which version it is");
  vote.add({"Py_Version", {3, 11, 2}});
  CHECK(vote.agree().error().code == Errc::not_found);
  CHECK(vote.disagreement() == "only Py_Version says 3.11.2");
}

TEST_CASE("a vote without a micro version still gives the minor one", "[interpreter]") {
  VersionVote vote;
  vote.add({"the file's name", {3, 8}, false});
  vote.add({"the exported API", {3, 8}, false});
  CHECK_FALSE(vote.is_settled());
  CHECK(vote.agree().value_or({}) == cpython::Version{3, 8});
}
