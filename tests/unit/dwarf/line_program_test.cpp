// Line programs: rows and paths of compilers' programs as readelf prints them, opcodes with answers worked out by hand,
// damage.
#include "pyagent/dwarf/line_program.hpp"

#include <string>
#include <tuple>
#include <vector>

#include "pyagent/dwarf/line_table.hpp"
#include "support/catch.hpp"
#include "support/debug_builder.hpp"
#include "support/debug_samples.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::DebugBytes;

namespace {

using Row = std::tuple<std::uint64_t, std::uint32_t, std::uint32_t, bool>;  // address, file, line, end of its sequence

/// .debug_line and what it refers to.
struct Lines {
  std::string lines, text, line_text;

  DebugSections views() const {
    const auto view = [](const std::string& bytes) { return std::as_bytes(std::span{bytes.data(), bytes.size()}); };
    DebugSections sections;
    sections.lines = view(lines), sections.text = view(text), sections.line_text = view(line_text);
    return sections;
  }
  Result<LineProgram> parse() const {
    Unit unit;
    unit.encoding.version = 5;
    return LineProgram::parse(views(), unit, 0);
  }
  std::vector<Row> rows() const {
    auto program = parse();
    REQUIRE(program);
    std::vector<Row> rows;
    program->run([&](const LineRow& row) { rows.emplace_back(row.address, row.file, row.line, row.ends_sequence); });
    return rows;
  }
};

Lines lines_of(const pyagent_test::DebugSample& sample) {
  return {sample.section(".debug_line"), sample.section(".debug_str"), sample.section(".debug_line_str")};
}

/// How a program is made; opcodes from `opcode_base` on are special.
struct Shape {
  int version = 4;
  int instruction = 1;
  int operations = 1;
  int line_base = -3;
  int line_range = 12;
  int opcode_base = 13;
};

/// A program of versions 2 to 4 in one file /dir/a.c and one b.c.
Lines program(const Shape& shape, const DebugBytes& code) {
  DebugBytes after;
  after.u8(static_cast<unsigned>(shape.instruction));
  if (shape.version >= 4) after.u8(static_cast<unsigned>(shape.operations));
  after.u8(1)
      .u8(static_cast<unsigned>(shape.line_base))
      .u8(static_cast<unsigned>(shape.line_range))
      .u8(static_cast<unsigned>(shape.opcode_base));
  const int counts[] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2, 1};
  for (int i = 0; i + 1 < shape.opcode_base; ++i) after.u8(static_cast<unsigned>(counts[i]));
  after.text("/dir").u8(0);
  after.text("a.c").uleb(1).uleb(0).uleb(0).text("b.c").uleb(0).uleb(0).uleb(0).u8(0);
  return {DebugBytes{}.u16(static_cast<unsigned>(shape.version)).append(after.counted()).append(code).counted().bytes,
          {},
          {}};
}

DebugBytes extended(std::uint64_t opcode, const DebugBytes& operands = {}) {
  return DebugBytes{}.u8(0).uleb(operands.bytes.size() + 1).u8(opcode).append(operands);
}
DebugBytes set_address(std::uint64_t address) { return extended(DW_LNE_set_address, DebugBytes{}.u64(address)); }
DebugBytes end_sequence() { return extended(DW_LNE_end_sequence); }

}  // namespace

TEST_CASE("the rows of compilers' programs are those that readelf prints", "[dwarf]") {
  // readelf -wL
  const std::vector<Row> gcc{{0x1010, 1, 13, false}, {0x1010, 1, 14, false}, {0x1010, 1, 14, false},
                             {0x101c, 1, 15, false}, {0x101c, 1, 9, false},  {0x101c, 1, 10, false},
                             {0x101c, 1, 4, false},  {0x101c, 1, 4, false},  {0x1025, 1, 5, false},
                             {0x1025, 1, 10, false}, {0x1029, 1, 16, false}, {0x102a, 1, 16, true},
                             {0x1000, 1, 14, false}, {0x1002, 1, 14, true}};
  CHECK(lines_of(pyagent_test::gcc_dwarf_4()).rows() == gcc);
  CHECK(lines_of(pyagent_test::gcc_dwarf_5()).rows() == gcc);
  const std::vector<Row> clang{{0x1000, 0, 13, false}, {0x1000, 0, 14, false}, {0x1006, 0, 14, false},
                               {0x1008, 0, 4, false},  {0x1011, 0, 10, false}, {0x1017, 0, 15, false},
                               {0x1018, 0, 14, false}, {0x101a, 0, 14, true}};
  CHECK(lines_of(pyagent_test::clang_dwarf_5()).rows() == clang);
}

TEST_CASE("paths are put together as the versions number directories and files", "[dwarf]") {
  const auto newer = lines_of(pyagent_test::clang_dwarf_5());
  CHECK(newer.parse()->path(0, "/elsewhere") == "/src/sample.c");
  CHECK(newer.parse()->path(1, "/elsewhere").empty());
  const auto older = program({}, {});
  CHECK(older.parse()->path(1, "/src") == "/dir/a.c");
  CHECK(older.parse()->path(2, "/src") == "/src/b.c");
  CHECK(older.parse()->path(2, "/src/") == "/src/b.c");
  CHECK(older.parse()->path(2, "") == "b.c");
  CHECK(older.parse()->path(0, "/src").empty());
  CHECK(older.parse()->path(3, "/src").empty());
  CHECK(older.parse()->path(~std::uint64_t{0}, "/src").empty());
}

TEST_CASE("a path that no system could open is cut", "[dwarf]") {
  const std::string longest(100000, 'd');
  const auto code = extended(DW_LNE_define_file, DebugBytes{}.text(longest).uleb(0).uleb(0).uleb(0));
  const auto lines = program({}, code);
  auto parsed = lines.parse();
  REQUIRE(parsed);
  parsed->run([](const LineRow&) {});
  CHECK(parsed->path(3, longest).size() == 2 * max_path_part + 1);
}

TEST_CASE("each opcode does what the specification says", "[dwarf]") {
  const int version = GENERATE(2, 3, 4);
  // Special opcode 13 + (line advance + 3) + 12 * address advance (DWARF 5, 6.2.5.1).
  const auto code = set_address(0x1000)
                        .u8(DW_LNS_advance_line)
                        .sleb(9)
                        .u8(DW_LNS_copy)            // 0x1000: 10
                        .u8(13 + (2 + 3) + 12 * 4)  // 0x1004: 12
                        .u8(DW_LNS_advance_pc)
                        .uleb(0x100)
                        .u8(DW_LNS_advance_line)
                        .sleb(-5)
                        .u8(DW_LNS_copy)  // 0x1104: 7
                        .u8(DW_LNS_set_file)
                        .uleb(2)
                        .u8(DW_LNS_const_add_pc)  // + (255 - 13) / 12 = 20
                        .u8(DW_LNS_set_column)
                        .uleb(300)
                        .u8(DW_LNS_copy)  // 0x1118: 7
                        .u8(DW_LNS_fixed_advance_pc)
                        .u16(0x8000)
                        .u8(13 + 3)  // 0x9118: 7
                        .u8(6)
                        .u8(7)
                        .u8(10)
                        .u8(11)
                        .u8(12)
                        .uleb(1000)                                   // flags; set_isa
                        .append(extended(4, DebugBytes{}.uleb(77)))   // set_discriminator
                        .append(extended(0x80, DebugBytes{}.u64(1)))  // some vendor's
                        .u8(13 + (-3 + 3) + 12 * 1)                   // 0x9119: 4
                        .append(end_sequence())                       // all begins anew
                        .append(set_address(0x20))
                        .u8(DW_LNS_copy)
                        .append(end_sequence());
  const std::vector<Row> wanted{{0x1000, 1, 10, false}, {0x1004, 1, 12, false}, {0x1104, 1, 7, false},
                                {0x1118, 2, 7, false},  {0x9118, 2, 7, false},  {0x9119, 2, 4, false},
                                {0x9119, 2, 4, true},   {0x20, 1, 1, false},    {0x20, 1, 1, true}};
  Shape shape;
  shape.version = version;
  CHECK(program(shape, code).rows() == wanted);
}

TEST_CASE("instructions of several bytes and of several operations are counted", "[dwarf]") {
  Shape shape;
  shape.instruction = 4;
  const auto code = set_address(0x1000)
                        .u8(13 + 3 + 12 * 3)
                        .u8(DW_LNS_advance_pc)
                        .uleb(2)
                        .u8(DW_LNS_copy)
                        .u8(DW_LNS_fixed_advance_pc)
                        .u16(3)
                        .u8(DW_LNS_copy)
                        .append(end_sequence());
  CHECK(program(shape, code).rows() ==
        std::vector<Row>{{0x100c, 1, 1, false}, {0x1014, 1, 1, false}, {0x1017, 1, 1, false}, {0x1017, 1, 1, true}});
  // Three operations in 16 bytes: 4 more of them is one instruction and one operation, 2 more then reach the next
  // (6.2.5.1).
  shape.instruction = 16, shape.operations = 3;
  const auto bundles =
      set_address(0x1000).u8(13 + 3 + 12 * 4).u8(13 + 3 + 12 * 1).u8(13 + 3 + 12 * 1).append(end_sequence());
  CHECK(program(shape, bundles).rows() ==
        std::vector<Row>{{0x1010, 1, 1, false}, {0x1010, 1, 1, false}, {0x1020, 1, 1, false}, {0x1020, 1, 1, true}});
}

TEST_CASE("an opcode is special where the header says that they begin", "[dwarf]") {
  Shape shape;
  shape.opcode_base = 10;  // 10 is set_prologue_end elsewhere
  CHECK(program(shape, set_address(0x1000).u8(10 + 3 + 12).append(end_sequence())).rows().front() ==
        Row{0x1001, 1, 1, false});
  shape.opcode_base = 15;  // 13 has two operands, 14 one
  CHECK(
      program(shape, set_address(0x1000).u8(13).uleb(500).uleb(1).u8(14).uleb(3).u8(15 + 3 + 12).append(end_sequence()))
          .rows()
          .front() == Row{0x1001, 1, 1, false});
}

TEST_CASE("a program may define files", "[dwarf]") {
  const auto code = extended(DW_LNE_define_file, DebugBytes{}.text("c.c").uleb(1).uleb(0).uleb(0));
  const auto lines = program({}, code);
  auto parsed = lines.parse();
  REQUIRE(parsed);
  parsed->run([](const LineRow&) {});
  CHECK(parsed->path(3, "/src") == "/dir/c.c");
}

TEST_CASE("a table finds the last row that is not after an address, inside of its sequence", "[dwarf]") {
  const auto code = set_address(0x2000)
                        .u8(13 + 3 + 1)
                        .u8(DW_LNS_advance_line)
                        .sleb(5)
                        .u8(DW_LNS_copy)
                        .u8(13 + 3 + 1 + 12 * 4)
                        .u8(DW_LNS_advance_pc)
                        .uleb(4)
                        .append(end_sequence())
                        .append(set_address(0x1000))
                        .u8(DW_LNS_copy)
                        .u8(DW_LNS_advance_pc)
                        .uleb(8)
                        .append(end_sequence())
                        .append(set_address(0))
                        .u8(DW_LNS_copy)
                        .u8(DW_LNS_advance_pc)
                        .uleb(0x5000)
                        .append(end_sequence())  // dropped by the linker
                        .append(set_address(0x3000))
                        .u8(DW_LNS_copy);  // has no end
  const auto lines = program({}, code);
  auto parsed = lines.parse();
  REQUIRE(parsed);
  const LineTable table{std::move(*parsed)};
  const auto line_at = [&](std::uint64_t address) {
    return table.find(address) == nullptr ? 0 : table.find(address)->line;
  };
  CHECK(line_at(0x1fff) == 0);
  CHECK(line_at(0x2000) == 7);  // the second of two at this address
  CHECK(line_at(0x2003) == 7);
  CHECK(line_at(0x2004) == 8);
  CHECK(line_at(0x2007) == 8);
  CHECK(line_at(0x2008) == 0);
  CHECK(line_at(0x1007) == 1);
  CHECK(line_at(0x1008) == 0);
  CHECK(line_at(0x500) == 0);
  CHECK(line_at(0x3000) == 0);
  REQUIRE(table.ranges().size() == 2);
  CHECK(table.ranges()[0].begin == 0x2000);
  CHECK(table.ranges()[1].end == 0x1008);
}

TEST_CASE("rows that go backwards are still found by address", "[dwarf]") {
  const auto lines = program({}, set_address(0x1010)
                                     .u8(DW_LNS_copy)
                                     .append(set_address(0x1000))
                                     .u8(DW_LNS_advance_line)
                                     .sleb(1)
                                     .u8(DW_LNS_copy)
                                     .append(set_address(0x1020))
                                     .append(end_sequence()));
  auto parsed = lines.parse();
  REQUIRE(parsed);
  const LineTable table{std::move(*parsed)};
  REQUIRE(table.find(0x1005) != nullptr);
  CHECK(table.find(0x1005)->line == 2);
  CHECK(table.find(0x1015)->line == 1);
}

TEST_CASE("headers that could not be right are refused", "[dwarf]") {
  Shape shape;
  shape.line_range = 0;
  CHECK(program(shape, {}).parse().error().code == Errc::damaged);
  shape = {}, shape.operations = 0;
  CHECK(program(shape, {}).parse().error().code == Errc::damaged);
  shape = {}, shape.opcode_base = 0;
  CHECK(program(shape, {}).parse().error().code == Errc::damaged);
  shape = {}, shape.version = 6;
  CHECK(program(shape, {}).parse().error().code == Errc::unsupported_version);
  CHECK(Lines{}.parse().error().code == Errc::truncated);
}

TEST_CASE("tables with more entries than bytes are refused", "[dwarf]") {
  const auto with_tables = [](const DebugBytes& tables) {
    const auto after = DebugBytes{}.u8(1).u8(1).u8(1).u8(0xfd).u8(12).u8(2).u8(0).append(tables);
    return Lines{DebugBytes{}.u16(5).u8(8).u8(0).append(after.counted()).counted().bytes, {}, {}}.parse().error().code;
  };
  const std::uint64_t many = ~std::uint64_t{0};
  CHECK(with_tables(DebugBytes{}.u8(0).uleb(0).u8(0).uleb(0)) == Errc::ok);
  CHECK(with_tables(DebugBytes{}.u8(0).uleb(many).u8(0).uleb(0)) == Errc::damaged);
  CHECK(with_tables(DebugBytes{}.u8(1).uleb(1).uleb(DW_FORM_flag_present).uleb(many)) == Errc::damaged);
  CHECK(with_tables(DebugBytes{}.u8(1).uleb(1).uleb(DW_FORM_string).uleb(many).text("a").text("b")) == Errc::damaged);
  CHECK(with_tables(DebugBytes{}.u8(1).uleb(1).uleb(0x7777).uleb(1)) == Errc::damaged);
}

TEST_CASE("every cut of a program is refused, or ends early", "[dwarf]") {
  for (const auto& sample : pyagent_test::debug_samples()) {
    const Lines whole = lines_of(sample);
    for (std::size_t length = 0; length < whole.lines.size(); ++length) {
      Lines cut = whole;
      cut.lines = whole.lines.substr(0, length);
      CHECK_FALSE(cut.parse());
      // The same with a length that fits.
      if (length < 4) continue;
      cut.lines.replace(0, 4, DebugBytes{}.u32(length - 4).bytes);
      if (auto program = cut.parse()) CHECK(LineTable{std::move(*program)}.size() <= 8);
    }
  }
}
