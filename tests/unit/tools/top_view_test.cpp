// The table as text, by worked examples.
#include "../../../tools/top_view.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent::tools;
using namespace std::chrono_literals;

namespace {

/// One second: burn was busy for 0.9 s, called by main; 5 ms of it in main itself.
TopTable example() {
  TopTable table;
  const TopTable::FrameRows burn{table.functions().find("burn", "app.py"), table.lines().find("burn", "app.py:7")};
  const TopTable::FrameRows run{table.functions().find("main", "app.py"), table.lines().find("main", "app.py:12")};
  for (int i = 0; i < 100; ++i) table.add_tick();
  table.add_sample(std::vector{burn, run}, 900ms, {.samples = 99, .active = 900ms, .gil = 800ms, .collecting = 12ms});
  table.add_sample(std::vector{run}, 5ms, {.samples = 1, .active = 5ms, .waiting = 300ms});
  table.add_errors(2);
  table.finish_interval(1s);
  return table;
}

TopView view() {
  TopView view;
  view.command = "python3 app.py";
  view.python_version = "3.11.2";
  view.pid = 4711;
  view.threads = 5;
  return view;
}

std::vector<std::string> texts(const std::vector<ScreenLine>& lines) {
  std::vector<std::string> found;
  for (const ScreenLine& line : lines) found.push_back(line.text);
  return found;
}

/// A table with `count` functions f00, f01, ..., each with less time than the one before.
TopTable many(int count) {
  TopTable table;
  for (int i = 0; i < count; ++i) {
    const std::string name = {'f', static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10)};
    const TopTable::FrameRows row{table.functions().find(name, "x.py"), table.lines().find(name, "x.py:1")};
    table.add_sample(std::vector{row}, std::chrono::milliseconds{count - i}, {.samples = 1});
  }
  table.finish_interval(1s);
  return table;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("the screen has a header, columns, rows and keys", "[tools]") {
  const TopTable table = example();
  TopView shown = view();
  const auto lines = render_screen(table, shown, 80, 10);
  CHECK(texts(lines) == Texts{
                            "Collecting samples from 'python3 app.py' (python v3.11.2) pid 4711",
                            "Total Samples 100, GC: 1.20%",
                            "GIL: 80.00%, Active: 90.50%, Threads: 5, Rate: 100/s, Errors: 2",
                            "",
                            "  %Own   %Total  OwnTime  TotalTime  Function (filename)",
                            " 90.00%  90.00%   0.900s    0.900s   burn (app.py)",
                            "  0.50%  90.50%   0.005s    0.905s   main (app.py)",
                            "",
                            "",
                            "q quit, ? help, 1-4 sort, L lines, R reset, space pause",
                        });
  CHECK(lines[4].text.substr(lines[4].reverse_begin, lines[4].reverse_size) == "%Own");
}

TEST_CASE("the sorted column's name is in reverse video", "[tools]") {
  const TopTable table = example();
  for (const auto& [column, name] :
       {std::pair{TopColumn::own_share, "%Own"}, std::pair{TopColumn::total_share, "%Total"},
        std::pair{TopColumn::own_time, "OwnTime"}, std::pair{TopColumn::total_time, "TotalTime"}}) {
    TopView shown = view();
    shown.sort = column;
    const auto lines = render_screen(table, shown, 80, 10);
    CHECK(lines[4].text.substr(lines[4].reverse_begin, lines[4].reverse_size) == name);
    CHECK(lines[5].text.find(column == TopColumn::own_share || column == TopColumn::own_time ? "burn" : "main") !=
          std::string::npos);
  }
}

TEST_CASE("lines have rows of their own", "[tools]") {
  TopView shown = view();
  shown.lines = true;
  const auto lines = texts(render_screen(example(), shown, 80, 10));
  CHECK(lines[4] == "  %Own   %Total  OwnTime  TotalTime  Function (filename:line)");
  CHECK(lines[5] == " 90.00%  90.00%   0.900s    0.900s   burn (app.py:7)");
}

TEST_CASE("waiting for the GIL is known only when waiting threads are sampled", "[tools]") {
  TopView shown = view();
  shown.idle = true;
  CHECK(texts(render_screen(example(), shown, 80, 10))[1] == "Total Samples 100, Waiting for GIL: 30.00%, GC: 1.20%");
}

TEST_CASE("a long command is cut, and what follows it is not", "[tools]") {
  TopView shown = view();
  shown.command = "python3 " + std::string(200, 'x');
  shown.processes = 3;
  const auto title = texts(render_screen(example(), shown, 80, 10))[0];
  CHECK(title == "Collecting samples from 'python3 xxxxxxxx\u2026' (python v3.11.2) pid 4711 and 2 more");
  CHECK(text_width(title) <= 80);
}

TEST_CASE("before Python was found the title says so", "[tools]") {
  TopView shown;
  shown.pid = 4711;
  CHECK(texts(render_screen(TopTable{}, shown, 80, 10))[0] == "Waiting for Python to run in process 4711");
}

TEST_CASE("a row that is too long keeps the front of its name and the end of its file", "[tools]") {
  TopTable table;
  const auto add = [&](const std::string& name, const std::string& place) {
    const TopTable::FrameRows row{table.functions().find(name, place), table.lines().find(name, place)};
    table.add_sample(std::vector{row}, 10ms, {});
  };
  add("function_of_a_long_name", "a/very/long/path/of/some/module.py");
  add("g", "a/very/long/path/of/some/module.py");
  add("\u8a08\u7b97\u8a08\u7b97\u8a08\u7b97\u8a08\u7b97\u8a08\u7b97\u8a08\u7b97", "x.py");
  table.finish_interval(1s);
  TopView shown = view();
  const auto lines =
      texts(render_screen(table, shown, 37 + 23, 10));  // 20 cells for a name, a place, a space, brackets
  CHECK(lines[5].substr(37) == "function_\u2026 (\u2026module.py)");
  CHECK(lines[6].substr(37) == "g (\u2026/of/some/module.py)");
  CHECK(lines[7].substr(37) == "\u8a08\u7b97\u8a08\u7b97\u8a08\u7b97\u8a08\u2026 (x.py)");
}

TEST_CASE("any size is filled with lines that fit", "[tools]") {
  TopTable table = many(30);
  TopView shown = view();
  shown.notice = "Process 4712 has ended";
  for (const bool help : {false, true})
    for (std::size_t width = 0; width < 100; width += 3)
      for (std::size_t height = 0; height < 40; ++height) {
        shown.help = help;
        const auto lines = render_screen(table, shown, width, height);
        REQUIRE(lines.size() == height);
        for (const ScreenLine& line : lines) {
          REQUIRE(text_width(line.text) <= width);
          REQUIRE(line.reverse_begin + line.reverse_size <= line.text.size());
        }
      }
}

TEST_CASE("rows scroll and stop at both ends", "[tools]") {
  const TopTable table = many(30);
  TopView shown = view();
  constexpr std::size_t height = 16;  // 10 rows
  auto lines = texts(render_screen(table, shown, 80, height));
  CHECK(lines[5].substr(37) == "f00 (x.py)");
  CHECK(lines[15] == "q quit, ? help, 1-4 sort, L lines, R reset, space pause   rows 1-10 of 30");
  shown.first_row = 7;
  lines = texts(render_screen(table, shown, 80, height));
  CHECK(lines[5].substr(37) == "f07 (x.py)");
  CHECK(lines[14].substr(37) == "f16 (x.py)");
  shown.first_row = 1'000'000;
  lines = texts(render_screen(table, shown, 80, height));
  CHECK(shown.first_row == 20);
  CHECK(lines[14].substr(37) == "f29 (x.py)");
}

TEST_CASE("numbers keep their columns however large they are", "[tools]") {
  CHECK(detail::percent_text(0) == "  0.00%");
  CHECK(detail::percent_text(100) == "100.00%");
  CHECK(detail::percent_text(999.99) == "999.99%");
  CHECK(detail::percent_text(3200) == "  3200%");
  CHECK(detail::seconds_text(0ms) == "0.000s");
  CHECK(detail::seconds_text(999ms) == "0.999s");
  CHECK(detail::seconds_text(std::chrono::microseconds{999'800}) == "1.00s");
  CHECK(detail::seconds_text(75s) == "75.00s");
  CHECK(detail::seconds_text(1'000'000s) == "1000000s");
}

TEST_CASE("a plain table has no width and at most so many rows", "[tools]") {
  TopView shown = view();
  const TopTable table = many(3);
  CHECK(render_plain(table, shown, 2) ==
        "Collecting samples from 'python3 app.py' (python v3.11.2) pid 4711\n"
        "Total Samples 3, GC: 0.00%\n"
        "GIL: 0.00%, Active: 0.00%, Threads: 5, Rate: 0.0/s, Errors: 0\n"
        "\n"
        "  %Own   %Total  OwnTime  TotalTime  Function (filename)\n"
        "  0.30%   0.30%   0.003s    0.003s   f00 (x.py)\n"
        "  0.20%   0.20%   0.002s    0.002s   f01 (x.py)\n"
        "and 1 more\n");
}
