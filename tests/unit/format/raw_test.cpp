// Hand-made profiles as folded stacks.
#include "pyagent/format/raw.hpp"

#include <string>

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace format = pyagent::format;
namespace profile = pyagent::profile;
using pyagent::Errc;

namespace {

profile::StackId push(profile::Profile& p, profile::StackId parent, const std::string& name,
                      const std::string& file = "", int line = 0, int column = 0) {
  return p.intern_stack(parent, p.intern_frame({p.intern_string(name), p.intern_string(file), line, column}));
}

std::string written(const profile::Profile& p) {
  format::StringSink sink;
  CHECK(bool{format::write_raw(p, sink)});
  return sink.text;
}

std::string escaped(std::string_view text) {
  std::string out;
  format::append_raw_text(out, text);
  return out;
}

// What append_raw_text promises its reader.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "\\u") == 0) {
      const auto code_point = std::stoul(text.substr(i + 2, 4), nullptr, 16);
      REQUIRE(code_point < 0x80);
      out += static_cast<char>(code_point);
      i += 6;
    } else {
      out += text[i++];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("Frames look as py-spy shows them", "[format]") {
  // Left-hand sides: lines of `py-spy record -f raw` 0.4.3, plain, with --nolineno and with --threads.
  profile::Profile p;
  p.interval = 10ms;
  p.threads.resize(1);
  const auto plain = push(p, push(p, 0, "<module>", "work.py", 15), "A.run.<locals>.<lambda>", "work.py", 11);
  const auto nolineno = push(p, push(p, 0, "<module>", "work.py"), "A.run", "work.py");
  const auto threads = push(p, push(p, 0, "thread (15805): MainThread"), "_find_and_load",
                            "<frozen importlib._bootstrap>", 1176);
  for (const auto stack : {threads, plain, nolineno}) p.threads[0].samples.push_back({.stack = stack, .weight = 20ms});
  CHECK(written(p) ==
        "<module> (work.py);A.run (work.py) 2\n"
        "<module> (work.py:15);A.run.<locals>.<lambda> (work.py:11) 2\n"
        "thread (15805): MainThread;_find_and_load (<frozen importlib._bootstrap>:1176) 2\n");
}

TEST_CASE("Equal stacks of all threads are one line whose time is rounded once", "[format]") {
  profile::Profile p;
  p.interval = 10ms;
  p.threads.resize(2);
  const auto a = push(p, 0, "a", "f.py", 1, 4);
  const auto other_column = push(p, 0, "a", "f.py", 1, 9);
  for (int i = 0; i < 10; ++i) p.threads[0].samples.push_back({.stack = a, .weight = 12ms});
  p.threads[1].samples = {{.stack = other_column, .weight = 14ms}};
  CHECK(written(p) == "a (f.py:1) 13\n");  // 134 ms
}

TEST_CASE("A stack that was seen counts at least one", "[format]") {
  profile::Profile p;
  p.interval = 10ms;
  p.threads.resize(1);
  p.threads[0].samples = {{.stack = push(p, 0, "short"), .weight = 1us}, {.stack = push(p, 0, "none"), .weight = 0ns}};
  CHECK(written(p) == "none 1\nshort 1\n");
}

TEST_CASE("Without an interval samples are counted", "[format]") {
  profile::Profile p;
  p.threads.resize(1);
  const auto a = push(p, 0, "a");
  p.threads[0].samples = {{.stack = a, .weight = 5s}, {.stack = a, .weight = 1ns}};
  CHECK(written(p) == "a 2\n");
}

TEST_CASE("The longest time there is does not overflow", "[format]") {
  profile::Profile p;
  p.interval = 1s;
  p.threads.resize(1);
  const auto a = push(p, 0, "a");
  p.threads[0].samples = {{.stack = a, .weight = std::chrono::nanoseconds::max()}, {.stack = a, .weight = 1s}};
  CHECK(written(p) == "a 9223372037\n");
}

TEST_CASE("A profile without samples is an empty file", "[format]") { CHECK(written(profile::Profile{}).empty()); }

TEST_CASE("Names cannot split a frame or a line", "[format]") {
  CHECK(escaped("a;b\nc\rd") == "a\\u003bb\\u000ac\\u000dd");
  CHECK(escaped("\x1b]0;x\x07\x7f") == "\\u001b]0\\u003bx\\u0007\\u007f");
  CHECK(escaped("\xC2\x85\xE2\x80\xA8") == "\\u0085\\u2028");
  CHECK(escaped("\xFF;") == "\xEF\xBF\xBD\\u003b");
  CHECK(escaped("caf\xC3\xA9 (x) 3") == "caf\xC3\xA9 (x) 3");
  profile::Profile p;
  p.threads.resize(1);
  p.threads[0].samples = {{.stack = push(p, push(p, 0, "we;ird", "a;\n.py", 2), "f;")}};
  CHECK(written(p) == "we\\u003bird (a\\u003b\\u000a.py:2);f\\u003b 1\n");
}

TEST_CASE("Escaped names can be read back", "[format]") {
  for (const std::string text : {"a;b", "C:\\temp\\x", "\\u003b", "\\\\u003b;", "\\", "\\;u", "\n\\n", "\\uu\\u"})
    CHECK(unescaped(escaped(text)) == text);
  CHECK(escaped("C:\\temp") == "C:\\temp");
}
