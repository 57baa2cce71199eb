// Samples become rows with names and lines.
#include "../../../tools/top_sink.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent::tools;
using namespace std::chrono_literals;
using pyagent::recording::SampleFlag;
namespace recording = pyagent::recording;

namespace {

std::string in_brackets(std::string_view text) { return '<' + std::string{text} + '>'; }

recording::CodeRecord code(recording::CodeId id, const std::string& name, std::int32_t first_line) {
  recording::CodeRecord record;
  record.id = id;
  record.name = name;
  record.filename = "/nowhere/app.py";
  record.first_line = first_line;
  record.line_format = pyagent::cpython::LineTable::lnotab_signed;
  // Instructions from 0 are on the first line, those from 6 on the next one.
  for (const int byte : {6, 1}) record.lines.push_back(static_cast<std::byte>(byte));
  return record;
}

recording::SampleRecord sample(std::vector<recording::FrameRecord> frames, std::chrono::nanoseconds cpu,
                               std::vector<SampleFlag> flags = {}) {
  recording::SampleRecord record;
  record.frames = std::move(frames);
  record.cpu = cpu;
  for (const SampleFlag flag : flags) record.flags |= static_cast<std::uint16_t>(flag);
  return record;
}

using Texts = std::vector<std::string>;

Texts texts(const TopRows& rows) {
  Texts found;
  for (const TopRow* row : rows.sorted(TopColumn::own_time)) found.push_back(row->name + ' ' + row->place);
  return found;
}

}  // namespace

TEST_CASE("functions have a row each, and each of their lines", "[tools]") {
  TopTable table;
  TopSink sink{table, {.make_harmless = in_brackets}};
  sink.add_code(code(1, "main", 10));
  sink.add_code(code(2, "work", 20));
  sink.add_sample(sample({{2, 0}, {1, 8}}, 3ms));
  sink.add_sample(sample({{2, 8}, {1, 8}}, 2ms));
  table.finish_interval(10ms);
  CHECK(texts(table.functions()) == Texts{"<work> <app.py>", "<main> <app.py>"});
  CHECK(texts(table.lines()) == Texts{"<work> <app.py>:20", "<work> <app.py>:21", "<main> <app.py>:11"});
}

TEST_CASE("lines may be those that functions begin at, files whole paths", "[tools]") {
  TopTable table;
  TopSink sink{table, {.function = true, .full_filenames = true, .make_harmless = in_brackets}};
  sink.add_code(code(2, "work", 20));
  sink.add_sample(sample({{2, 0}}, 3ms));
  sink.add_sample(sample({{2, 8}}, 2ms));
  table.finish_interval(10ms);
  CHECK(texts(table.lines()) == Texts{"<work> </nowhere/app.py>:20"});
}

TEST_CASE("frames of the interpreter's own are no rows, as leaf and as caller", "[tools]") {
  // The code that 3.12 and later run around an inlined __init__.
  TopTable table;
  TopSink sink{table, {.make_harmless = in_brackets}};
  auto own = code(1, "__init__", 0);
  own.filename = "__init__";
  sink.add_code(own);
  sink.add_code(code(2, "work", 20));
  sink.add_sample(sample({{1, 0}, {2, 0}}, 3ms));
  sink.add_sample(sample({{2, 0}, {1, 0}, {2, 8}}, 2ms));
  table.finish_interval(10ms);
  CHECK(texts(table.functions()) == Texts{"<work> <app.py>"});
  CHECK(table.functions().sorted(TopColumn::own_time)[0]->all.own == 5ms);
}

TEST_CASE("processes that run the same function share its row", "[tools]") {
  TopTable table;
  TopSink one{table, {.make_harmless = in_brackets}}, other{table, {.make_harmless = in_brackets}};
  one.add_code(code(1, "work", 20));
  other.add_code(code(7, "work", 20));
  one.add_sample(sample({{1, 0}}, 3ms));
  other.add_sample(sample({{7, 0}}, 2ms));
  table.finish_interval(10ms);
  const auto rows = table.functions().sorted(TopColumn::own_time);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0]->all.own == 5ms);
}

TEST_CASE("flags of samples become sums", "[tools]") {
  TopTable table;
  TopSink sink{table, {.make_harmless = in_brackets}};
  sink.add_code(code(1, "work", 20));
  sink.add_sample(sample({{1, 0}}, 4ms, {SampleFlag::holds_gil}));
  sink.add_sample(sample({{1, 0}}, 2ms, {SampleFlag::holds_gil, SampleFlag::collects}));
  sink.add_sample(sample({{1, 0}}, 1ms, {SampleFlag::suspect}));
  auto waiting = sample({{1, 0}}, 0ms, {SampleFlag::off_cpu, SampleFlag::waits_for_gil});
  waiting.wall = 9ms;
  sink.add_sample(waiting);
  sink.count(recording::Counter::dropped, 2);
  sink.count(recording::Counter::dropped_changed, 2);
  sink.count(recording::Counter::without_python, 5);
  table.finish_interval(10ms);
  CHECK(table.recent().samples == 4);
  CHECK(table.recent().active == 7ms);
  CHECK(table.recent().gil == 6ms);
  CHECK(table.recent().collecting == 2ms);
  CHECK(table.recent().waiting == 9ms);
  CHECK(table.recent().errors == 3);
  CHECK(table.functions().sorted(TopColumn::own_time)[0]->all.own == 16ms);
}

TEST_CASE("native frames have rows too, between the Python ones", "[tools]") {
  TopTable table;
  TopSink sink{table, {.make_harmless = in_brackets}};
  sink.add_code(code(1, "main", 10));
  sink.add_code(code(2, "work", 20));
  sink.add_module({.id = 1, .path = "/nowhere/fast.so", .build_id = {}, .range = {}, .bias = 0});
  auto record = sample({{2, 0, true}, {1, 8, true}}, 3ms);
  const auto eval = recording::native_flags(true, false, 1), ordinary = recording::native_flags(false, true, 0);
  record.native = {{1, 0x5000, ordinary}, {0, 0, eval}, {1, 0x9000, ordinary}, {0, 0, eval}};
  sink.add_sample(record);
  table.finish_interval(10ms);
  auto rows = texts(table.functions());
  REQUIRE(rows.size() == 4);
  CHECK(rows[0] == "<fast.so+0x5000> <fast.so>");  // the leaf
  std::sort(rows.begin(), rows.end());
  CHECK(rows == Texts{"<fast.so+0x5000> <fast.so>", "<fast.so+0x9000> <fast.so>", "<main> <app.py>", "<work> <app.py>"});
}
