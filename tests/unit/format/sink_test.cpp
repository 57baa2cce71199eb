// Sinks, and what becomes of their errors at the end.
#include "pyagent/format/sink.hpp"

#include "support/catch.hpp"

using namespace pyagent;
using format::finish;
using format::StringSink;

namespace {

/// A sink that is whole only when it was told so.
struct FileLike {
  Errc at_commit = Errc::ok;
  int commits = 0;

  Errc write(std::string_view) { return Errc::ok; }
  Errc commit() {
    ++commits;
    return at_commit;
  }
};

}  // namespace

TEST_CASE("a sink in memory takes bytes in order", "[format]") {
  StringSink sink;
  CHECK(sink.write(std::string_view{"a\0b", 3}) == Errc::ok);
  CHECK(sink.write("") == Errc::ok);
  CHECK(sink.write("c") == Errc::ok);
  CHECK(sink.text == std::string("a\0bc", 4));
}

TEST_CASE("finish gives the first error, or success", "[format]") {
  StringSink sink;
  CHECK(finish(sink, Errc::ok));
  const auto failed = finish(sink, Errc::no_space);
  CHECK(!failed);
  CHECK(failed.error().code == Errc::no_space);
}

TEST_CASE("finish commits a sink that was written without error, once", "[format]") {
  FileLike sink;
  CHECK(finish(sink, Errc::ok));
  CHECK(sink.commits == 1);
  sink.at_commit = Errc::io_error;
  CHECK(finish(sink, Errc::ok).error().code == Errc::io_error);
  CHECK(sink.commits == 2);
  CHECK(finish(sink, Errc::no_space).error().code == Errc::no_space);
  CHECK(sink.commits == 2);
}
