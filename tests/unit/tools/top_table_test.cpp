// Times of functions and lines, interval by interval.
#include "../../../tools/top_table.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent::tools;
using namespace std::chrono_literals;

namespace {

/// A table of the functions a, b and c; each has one line.
struct Three {
  TopTable table;
  TopTable::FrameRows a = row("a"), b = row("b"), c = row("c");

  TopTable::FrameRows row(const std::string& name) {
    return {table.functions().find(name, "x.py"), table.lines().find(name, "x.py:1")};
  }
  void add(std::vector<TopTable::FrameRows> leaf_first, std::chrono::nanoseconds weight) {
    table.add_sample(leaf_first, weight, {.samples = 1, .active = weight});
  }
  std::vector<std::string> names(TopColumn column) const {
    std::vector<std::string> found;
    for (const TopRow* row : table.functions().sorted(column)) found.push_back(row->name);
    return found;
  }
  const TopRow& find(const std::string& name) const {
    for (const TopRow* row : table.functions().sorted(TopColumn::own_share))
      if (row->name == name) return *row;
    throw std::runtime_error(name + " is not in the table");
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("the leaf has the own time, and every function on the stack the total", "[tools]") {
  Three three;
  three.add({three.b, three.a}, 10ms);
  three.add({three.a}, 5ms);
  three.table.finish_interval(100ms);
  CHECK(three.find("a").recent.own == 5ms);
  CHECK(three.find("a").recent.total == 15ms);
  CHECK(three.find("b").recent.own == 10ms);
  CHECK(three.find("b").recent.total == 10ms);
  CHECK(three.table.percent(15ms) == 15.0);
  CHECK(three.table.recent().samples == 2);
  CHECK(three.table.recent().active == 15ms);
}

TEST_CASE("recursion counts once in the total", "[tools]") {
  Three three;
  three.add({three.a, three.b, three.a, three.a}, 10ms);
  three.table.finish_interval(100ms);
  CHECK(three.find("a").all.own == 10ms);
  CHECK(three.find("a").all.total == 10ms);
  CHECK(three.find("b").all.total == 10ms);
}

TEST_CASE("an interval shows when it is finished, and adds to all time", "[tools]") {
  Three three;
  three.add({three.a}, 10ms);
  CHECK(three.names(TopColumn::own_share).empty());
  three.table.finish_interval(100ms);
  three.add({three.a}, 30ms);
  CHECK(three.find("a").recent.own == 10ms);
  three.table.finish_interval(200ms);
  CHECK(three.find("a").recent.own == 30ms);
  CHECK(three.find("a").all.own == 40ms);
  CHECK(three.table.percent(30ms) == 15.0);
  three.table.finish_interval(100ms);
  CHECK(three.find("a").recent.own == 0ms);
  CHECK(three.find("a").all.own == 40ms);
}

TEST_CASE("rows are sorted by each column", "[tools]") {
  Three three;
  three.add({three.a}, 50ms);
  three.add({three.b, three.c}, 20ms);
  three.table.finish_interval(100ms);
  three.add({three.b, three.c}, 10ms);
  three.add({three.c}, 5ms);
  three.table.finish_interval(100ms);
  CHECK(three.names(TopColumn::own_share) == Names{"b", "c", "a"});
  CHECK(three.names(TopColumn::total_share) == Names{"c", "b", "a"});
  CHECK(three.names(TopColumn::own_time) == Names{"a", "b", "c"});
  CHECK(three.names(TopColumn::total_time) == Names{"a", "c", "b"});
}

TEST_CASE("equal rows are sorted by their names", "[tools]") {
  Three three;
  three.add({three.c}, 10ms);
  three.add({three.a}, 10ms);
  three.add({three.b}, 10ms);
  three.table.finish_interval(100ms);
  CHECK(three.names(TopColumn::own_share) == Names{"a", "b", "c"});
}

TEST_CASE("after a reset nothing is left, and rows come back", "[tools]") {
  Three three;
  three.add({three.a}, 10ms);
  three.table.add_errors(3);
  three.table.finish_interval(100ms);
  three.add({three.b}, 10ms);
  three.table.reset();
  CHECK(three.names(TopColumn::own_share).empty());
  CHECK(three.table.all().samples == 0);
  CHECK(three.table.all().errors == 0);
  three.table.finish_interval(100ms);
  CHECK(three.names(TopColumn::own_share).empty());
  three.add({three.a}, 7ms);
  three.table.finish_interval(100ms);
  CHECK(three.find("a").all.own == 7ms);
}

TEST_CASE("the end adds the rest and leaves the last interval", "[tools]") {
  Three three;
  three.add({three.a}, 10ms);
  three.table.finish_interval(100ms);
  three.add({three.a}, 1ms);
  three.table.finish(2ms);
  CHECK(three.find("a").recent.own == 10ms);
  CHECK(three.find("a").all.own == 11ms);
  CHECK(three.table.all().samples == 2);
  CHECK(three.table.percent(10ms) == 10.0);

  Three short_one;
  short_one.add({short_one.a}, 1ms);
  short_one.table.finish(2ms);
  CHECK(short_one.find("a").recent.own == 1ms);
  CHECK(short_one.table.percent(1ms) == 50.0);
}

TEST_CASE("a program that makes functions without end fills one row with them", "[tools]") {
  TopRows rows;
  for (std::size_t i = 0; i < TopRows::most; ++i) rows.find("f" + std::to_string(i), "x.py");
  CHECK(rows.find("one more", "x.py") == TopRows::others);
  CHECK(rows.find("f0", "x.py") == TopRows::others + 1);
}

TEST_CASE("without an interval there are no percents", "[tools]") { CHECK(TopTable{}.percent(5ms) == 0.0); }
