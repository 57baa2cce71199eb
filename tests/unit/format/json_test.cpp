// JSON strings that hold anything, and a writer that puts the commas.
#include "pyagent/format/json.hpp"

#include <string>

#include "support/catch.hpp"

namespace format = pyagent::format;
using pyagent::Errc;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  format::append_json_string(out, text);
  return out;
}

// Takes `room` bytes, then reports a full disk; counts how often it was asked.
struct FullSink {
  std::size_t room;
  int calls = 0;
  Errc write(std::string_view bytes) {
    ++calls;
    if (bytes.size() > room) return Errc::no_space;
    room -= bytes.size();
    return Errc::ok;
  }
};

}  // namespace

TEST_CASE("A JSON string escapes quotation marks, backslashes and control characters", "[format]") {
  CHECK(quoted("plain") == R"("plain")");
  CHECK(quoted(R"(a"b\c/d)") == R"("a\"b\\c/d")");
  CHECK(quoted(std::string_view{"\0\x1f\n\x7f", 4}) == R"("\u0000\u001f\u000a\u007f")");
  CHECK(quoted("caf\xC3\xA9 \xF0\x9F\x90\x8D") == "\"caf\xC3\xA9 \xF0\x9F\x90\x8D\"");
}

TEST_CASE("A JSON string escapes the line ends of JavaScript", "[format]") {
  CHECK(quoted("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA") == "\"\\u2028\\u2029\xE2\x80\xAA\"");
}

TEST_CASE("A JSON string is UTF-8 even when the text is not", "[format]") {
  CHECK(quoted("a\xFF\"\x80") == "\"a\xEF\xBF\xBD\\\"\xEF\xBF\xBD\"");
  CHECK(quoted("\xED\xB2\x80") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST_CASE("JsonWriter puts commas between values and none after keys", "[format]") {
  format::StringSink sink;
  format::JsonWriter json{sink};
  json.begin_object();
  json.key("a");
  json.begin_array();
  json.number(1);
  json.number_text("0.5");
  json.begin_array();
  json.end_array();
  json.begin_object();
  json.end_object();
  json.end_array();
  json.key("b");
  json.string("x");
  json.end_object();
  CHECK(json.finish() == Errc::ok);
  CHECK(sink.text == "{\"a\":[1,0.5,[],{}],\"b\":\"x\"}\n");
}

TEST_CASE("JsonWriter keeps the sink's first error and stops writing", "[format]") {
  FullSink sink{50'000};
  format::JsonWriter json{sink};
  json.begin_array();
  for (int i = 0; i < 20; ++i) json.string(std::string(10'000, 'x'));
  CHECK(json.status() == Errc::no_space);
  const int calls = sink.calls;
  json.end_array();
  CHECK(json.finish() == Errc::no_space);
  CHECK(sink.calls == calls);
}
