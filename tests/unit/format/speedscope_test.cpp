// Hand-made profiles as speedscope files. The schema and the importer judge them in tests/integration.
#include "pyagent/format/speedscope.hpp"

#include <string>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace format = pyagent::format;
namespace profile = pyagent::profile;
using pyagent::Errc;

namespace {

std::string written(const profile::Profile& p) {
  format::StringSink sink;
  CHECK(bool{format::write_speedscope(p, sink)});
  return sink.text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("A profile of one thread is written as the schema wants it", "[format]") {
  profile::Profile p;
  p.name = "python3 app.py (pid 7)";
  p.exporter = "pyagent@0.1.0";
  const auto root = p.intern_frame({.name = p.intern_string("root"), .file = p.intern_string("a.py"), .line = 3});
  const auto leaf = p.intern_frame(
      {.name = p.intern_string("leaf"), .file = p.intern_string("a.py"), .line = 9, .column = 5});
  const auto outer = p.intern_stack(0, root);
  const auto inner = p.intern_stack(outer, leaf);
  p.threads.push_back({.tid = 7, .name = "MainThread"});
  p.threads[0].samples = {{.stack = inner, .weight = 10'000'002ns}, {.stack = outer, .weight = 20ms}};
  const auto expected =
      R"json({"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"pyagent@0.1.0",)json"
      R"json("name":"python3 app.py (pid 7)","activeProfileIndex":0,"shared":{"frames":[)json"
      R"json({"name":"root","file":"a.py","line":3},{"name":"leaf","file":"a.py","line":9,"col":5}]},"profiles":[)json"
      R"json({"type":"sampled","name":"Thread 7 \"MainThread\"","unit":"seconds","startValue":0,)json"
      R"json("endValue":0.030000002,"samples":[[0,1],[0]],"weights":[0.010000002,0.02]}]})json";
  CHECK(written(p) == std::string{expected} + '\n');
}

TEST_CASE("What is not known of a frame is left out", "[format]") {
  profile::Profile p;
  p.intern_frame({.name = p.intern_string("[truncated]")});
  CHECK(has(written(p), R"("frames":[{"name":"[truncated]"}])"));
}

TEST_CASE("Neighbouring samples with equal stacks are one sample", "[format]") {
  profile::Profile p;
  const auto a = p.intern_stack(0, p.intern_frame({.name = p.intern_string("a")}));
  const auto b = p.intern_stack(0, p.intern_frame({.name = p.intern_string("b")}));
  p.threads.push_back({.tid = 1, .name = "t"});
  for (const auto stack : {a, a, b, a, a, a}) p.threads[0].samples.push_back({.stack = stack, .weight = 10ms});
  CHECK(has(written(p), R"("endValue":0.06,"samples":[[0],[1],[0]],"weights":[0.02,0.01,0.03])"));
}

TEST_CASE("The thread with the most time is shown first, of equals the first", "[format]") {
  profile::Profile p;
  const auto a = p.intern_stack(0, p.intern_frame({.name = p.intern_string("a")}));
  for (const auto weight : {10ms, 30ms, 30ms, 20ms}) {
    p.threads.push_back({.tid = 1, .name = "t"});
    p.threads.back().samples = {{.stack = a, .weight = weight}};
  }
  CHECK(has(written(p), R"("activeProfileIndex":1)"));
}

TEST_CASE("A profile without threads has one empty profile", "[format]") {
  CHECK(has(written(profile::Profile{}),
            R"("profiles":[{"type":"sampled","name":"no samples","unit":"seconds","startValue":0,"endValue":0,)"
            R"("samples":[],"weights":[]}]})"));
}

TEST_CASE("Hostile names stay inside their strings", "[format]") {
  profile::Profile p;
  p.intern_frame({.name = p.intern_string("\"]}\\\n\xFF\xE2\x80\xA8"), .file = p.intern_string("\x01\"")});
  p.threads.push_back({.tid = 1, .name = "a\"b"});
  p.name = "\"";
  const auto text = written(p);
  CHECK(has(text, "{\"name\":\"\\\"]}\\\\\\u000a\xEF\xBF\xBD\\u2028\",\"file\":\"\\u0001\\\"\"}"));
  CHECK(has(text, R"("name":"Thread 1 \"a\"b\"")"));
}

TEST_CASE("A name of 100,000 characters is kept whole", "[format]") {
  profile::Profile p;
  const std::string name(100'000, 'x');
  p.intern_frame({.name = p.intern_string(name)});
  CHECK(has(written(p), '"' + name + '"'));
}

TEST_CASE("A stack deeper than speedscope can open keeps its root and its leaf half", "[format]") {
  profile::Profile p;
  p.threads.push_back({.tid = 1, .name = "t"});
  profile::StackId stack = 0;
  for (std::size_t i = 0; i < format::speedscope_depth + 5; ++i) {
    stack = p.intern_stack(stack, p.intern_frame({.name = p.intern_string("f" + std::to_string(i))}));
    if (i + 1 == format::speedscope_depth) p.threads[0].samples.push_back({.stack = stack, .weight = 1ms});
  }
  p.threads[0].samples.push_back({.stack = stack, .weight = 1ms});
  const auto text = written(p);
  CHECK(has(text, R"({"name":"f2004"},{"name":"[frames left out]"}])"));
  CHECK(has(text, ",999,1000,1001,"));           // the first one is whole
  CHECK(has(text, ",998,999,2005,1006,1007,"));  // 1,000 at the root, the gap, 999 at the leaf
  CHECK(has(text, ",2003,2004]]"));
}

TEST_CASE("write_speedscope gives back the sink's error", "[format]") {
  struct FullSink {
    Errc write(std::string_view) { return Errc::no_space; }
  } sink;
  CHECK(format::write_speedscope(profile::Profile{}, sink).error().code == Errc::no_space);
}
