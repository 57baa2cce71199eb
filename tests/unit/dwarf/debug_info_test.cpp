// DebugInfo: what stands at an address, in debug information of compilers, made by hand, and damaged.
#include "pyagent/dwarf/debug_info.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/debug_builder.hpp"
#include "support/debug_samples.hpp"
#include "support/section_file.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::AbbreviationBytes;
using pyagent_test::bytes_of;
using pyagent_test::DebugBytes;
using pyagent_test::DebugSample;
using pyagent_test::SectionFile;
using pyagent_test::unit_4;

namespace {

/// "function file:line:column, ...", as DebugSample::Place has it.
std::string describe(const std::vector<SourceFrame>& frames) {
  std::string text;
  for (const SourceFrame& frame : frames) {
    if (!text.empty()) text += ", ";
    text += frame.name + " " + frame.file + ":" + std::to_string(frame.line) + ":" + std::to_string(frame.column);
  }
  return text;
}

std::vector<std::string> names_of(const std::vector<SourceFrame>& frames) {
  std::vector<std::string> names;
  for (const SourceFrame& frame : frames) names.push_back(frame.name);
  return names;
}

/// A file and what is known of it.
struct Opened {
  std::vector<std::byte> bytes;
  elf::Image image;
  Result<DebugInfo> info;

  explicit Opened(const SectionFile& file)
      : bytes(bytes_of(file.build())), image(elf::Image::parse(bytes).value_or({})), info(DebugInfo::open(image)) {}
};

/// Sections made by hand; empty ones are left out.
struct Sections {
  std::string info, abbreviations, lines{}, text{}, ranges{}, range_lists{}, addresses{}, address_ranges{};

  SectionFile file() const {
    SectionFile built;
    const std::pair<const char*, const std::string*> all[] = {
        {".debug_info", &info},      {".debug_abbrev", &abbreviations},  {".debug_line", &lines},
        {".debug_str", &text},       {".debug_ranges", &ranges},         {".debug_rnglists", &range_lists},
        {".debug_addr", &addresses}, {".debug_aranges", &address_ranges}};
    for (const auto& [name, bytes] : all)
      if (!bytes->empty()) built.section(name, SHT_PROGBITS, 0, 0, *bytes);
    return built;
  }
  std::vector<SourceFrame> find(std::uint64_t address) const {
    Opened opened{file()};
    REQUIRE(opened.info);
    return opened.info->find(address);
  }
};

// Abbreviation codes of the units below.
enum : std::uint8_t {
  unit_die = 1,
  function_die,
  scope_die,
  declared_die,
  defined_die,
  inlined_die,
  block_die,
  class_die,
  linked_die
};

AbbreviationBytes abbreviations() {
  AbbreviationBytes bytes;
  bytes.begin(unit_die, DW_TAG_compile_unit, true)
      .attribute(DW_AT_language, DW_FORM_data2)
      .attribute(DW_AT_low_pc, DW_FORM_addr);
  bytes.attribute(DW_AT_high_pc, DW_FORM_data4);
  bytes.begin(function_die, DW_TAG_subprogram, true)
      .attribute(DW_AT_name, DW_FORM_string)
      .attribute(DW_AT_low_pc, DW_FORM_addr);
  bytes.attribute(DW_AT_high_pc, DW_FORM_data4);
  bytes.begin(scope_die, DW_TAG_namespace, true).attribute(DW_AT_name, DW_FORM_string);
  bytes.begin(declared_die, DW_TAG_subprogram, false).attribute(DW_AT_name, DW_FORM_string);
  bytes.begin(defined_die, DW_TAG_subprogram, false).attribute(DW_AT_specification, DW_FORM_ref_addr);
  bytes.attribute(DW_AT_low_pc, DW_FORM_addr).attribute(DW_AT_high_pc, DW_FORM_data4);
  bytes.begin(inlined_die, DW_TAG_inlined_subroutine, true).attribute(DW_AT_abstract_origin, DW_FORM_ref4);
  bytes.attribute(DW_AT_low_pc, DW_FORM_addr)
      .attribute(DW_AT_high_pc, DW_FORM_data4)
      .attribute(DW_AT_call_line, DW_FORM_data1);
  bytes.begin(block_die, DW_TAG_lexical_block, true).attribute(DW_AT_sibling, DW_FORM_ref4);
  bytes.begin(class_die, DW_TAG_class_type, true).attribute(DW_AT_name, DW_FORM_string);
  bytes.begin(linked_die, DW_TAG_subprogram, false).attribute(DW_AT_MIPS_linkage_name, DW_FORM_string);
  return bytes;
}

constexpr std::uint16_t cpp = 4, c99 = DW_LANG_C99;

DebugBytes unit_start(std::uint16_t language, std::uint64_t low = 0x1000, std::uint64_t size = 0x1000) {
  return DebugBytes{}.u8(unit_die).u16(language).u64(low).u32(size);
}
DebugBytes function(const std::string& name, std::uint64_t low, std::uint64_t size) {
  return DebugBytes{}.u8(function_die).text(name).u64(low).u32(size);
}
DebugBytes inlined(std::uint64_t origin, std::uint64_t low, std::uint64_t size, unsigned line) {
  return DebugBytes{}.u8(inlined_die).u32(origin).u64(low).u32(size).u8(line);
}
/// Where the next DIE of a unit stands, when these are before it.
std::uint64_t offset_after(const DebugBytes& dies) { return pyagent_test::unit_4_header + dies.bytes.size(); }

Sections one_unit(const DebugBytes& dies) { return {unit_4(dies).bytes, abbreviations().end()}; }

}  // namespace

TEST_CASE("functions, files, lines and inlined calls are those that the oracles say", "[dwarf]") {
  for (const DebugSample& sample : pyagent_test::debug_samples()) {
    Opened opened{sample.file()};
    REQUIRE(opened.info);
    for (std::size_t i = 0; i + 1 < sample.places.size(); ++i)
      for (std::uint64_t address = sample.places[i].from; address < sample.places[i + 1].from; ++address) {
        INFO(std::hex << address);
        CHECK(describe(opened.info->find(address)) == sample.places[i].where);
      }
    CHECK(opened.info->find(0xfff).empty());
    CHECK(opened.info->find(0x102a).empty());
    CHECK(opened.info->find(~std::uint64_t{0}).empty());
  }
}

TEST_CASE("debug information may be moved, and asked again", "[dwarf]") {
  Opened opened{pyagent_test::gcc_dwarf_5().file()};
  REQUIRE(opened.info);
  const auto before = describe(opened.info->find(0x101c));
  DebugInfo moved = std::move(*opened.info);
  CHECK(describe(moved.find(0x101c)) == before);
}

TEST_CASE("a file without debug information is told from a damaged one", "[dwarf]") {
  CHECK(Opened{SectionFile{}.text(0x1000, 16)}.info.error().code == Errc::not_found);
  CHECK(Opened{SectionFile{}.section(".debug_info", SHT_PROGBITS, SHF_COMPRESSED, 0, "short")}.info.error().code ==
        Errc::truncated);
  CHECK(Opened{SectionFile{}
                   .section(".debug_info", SHT_PROGBITS, 0, 0, "short")
                   .section(".debug_abbrev", SHT_PROGBITS, 0, 0, "short")}
            .info);
}

TEST_CASE("a name without linkage name is qualified by what it is declared in, even in another unit", "[dwarf]") {
  const auto first_dies =
      unit_start(cpp, 0x1000, 0x100).u8(scope_die).text("outer").u8(scope_die).text("").u8(class_die).text("Shape");
  const std::uint64_t declaration = offset_after(first_dies);
  const auto first = unit_4(DebugBytes{first_dies}.u8(declared_die).text("area").u8(0).u8(0).u8(0).u8(0));
  const auto second =
      unit_4(unit_start(cpp, 0x2000, 0x100).u8(defined_die).u32(declaration).u64(0x2000).u32(0x10).u8(0));
  const Sections sections{first.bytes + second.bytes, abbreviations().end()};
  const auto frames = sections.find(0x2004);
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].name == "outer::(anonymous namespace)::Shape::area");
  CHECK_FALSE(frames[0].is_linkage_name);
  CHECK(frames[0].file.empty());
  CHECK(frames[0].line == 0);
}

TEST_CASE("a linkage name is taken as it is, and names of C have no scopes", "[dwarf]") {
  const std::uint64_t declaration = offset_after(unit_start(cpp));
  const auto linked =
      unit_start(cpp).u8(linked_die).text("_ZN1a1bEv").u8(defined_die).u32(declaration).u64(0x1000).u32(0x10).u8(0);
  const auto frames = one_unit(linked).find(0x1000);
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].name == "_ZN1a1bEv");
  CHECK(frames[0].is_linkage_name);
  const auto plain = [](std::uint16_t language) {
    return unit_start(language).u8(class_die).text("scope").append(function("run", 0x1000, 0x10)).u8(0).u8(0).u8(0);
  };
  CHECK(names_of(one_unit(plain(c99)).find(0x1000)) == std::vector<std::string>{"run"});
  CHECK(names_of(one_unit(plain(cpp)).find(0x1000)) == std::vector<std::string>{"scope::run"});
}

TEST_CASE("a name that is longer than any is cut", "[dwarf]") {
  const std::string longest(100000, 'n');
  for (const std::uint16_t language : {c99, cpp}) {
    const auto dies =
        unit_start(language).u8(scope_die).text(longest).append(function(longest, 0x1000, 0x10)).u8(0).u8(0).u8(0);
    CHECK(one_unit(dies).find(0x1000).at(0).name.size() == max_function_name);
  }
  const std::uint64_t declaration = offset_after(unit_start(cpp));
  const auto linked =
      unit_start(cpp).u8(linked_die).text(longest).u8(defined_die).u32(declaration).u64(0x1000).u32(0x10).u8(0);
  CHECK(one_unit(linked).find(0x1000).at(0).name.size() == max_function_name);
}

TEST_CASE("inlined calls are found through blocks, and where they have no code of their own", "[dwarf]") {
  auto dies = unit_start(c99);
  const std::uint64_t a = offset_after(dies);
  dies.u8(declared_die).text("a");
  const std::uint64_t b = offset_after(dies);
  dies.u8(declared_die).text("b").append(function("run", 0x1000, 0x100));
  dies.u8(block_die)
      .u32(0)
      .append(inlined(a, 0, 0, 11))
      .append(inlined(b, 0x1010, 0x10, 22))
      .u8(0)
      .u8(0)
      .u8(0)
      .u8(0)
      .u8(0);
  CHECK(names_of(one_unit(dies).find(0x1010)) == std::vector<std::string>{"b", "a", "run"});
  CHECK(names_of(one_unit(dies).find(0x1020)) == std::vector<std::string>{"run"});
  const auto frames = one_unit(dies).find(0x101f);
  REQUIRE(frames.size() == 3);
  CHECK(frames[1].line == 22);
  CHECK(frames[2].line == 11);
}

TEST_CASE("a function inside of another is not inlined into it", "[dwarf]") {
  const auto dies = unit_start(c99)
                        .append(function("outer", 0x1000, 0x100))
                        .append(function("inner", 0x1010, 0x10))
                        .u8(0)
                        .u8(0)
                        .u8(0);
  CHECK(names_of(one_unit(dies).find(0x1010)) == std::vector<std::string>{"inner"});
  CHECK(names_of(one_unit(dies).find(0x1050)) == std::vector<std::string>{"outer"});
}

TEST_CASE("units without ranges are found through .debug_aranges, else through their lines", "[dwarf]") {
  const DebugSample sample = pyagent_test::gcc_dwarf_5();
  Sections sections;
  AbbreviationBytes bytes;
  bytes.begin(1, DW_TAG_compile_unit, true).attribute(DW_AT_stmt_list, DW_FORM_sec_offset);
  bytes.begin(2, DW_TAG_subprogram, false).attribute(DW_AT_name, DW_FORM_string).attribute(DW_AT_low_pc, DW_FORM_addr);
  bytes.attribute(DW_AT_high_pc, DW_FORM_data4);
  sections.abbreviations = bytes.end();
  sections.info = unit_4(DebugBytes{}.u8(1).u32(0).u8(2).text("run").u64(0x1010).u32(0x1a).u8(0)).bytes;
  CHECK(sections.find(0x1010).empty());
  sections.address_ranges = sample.section(".debug_aranges");
  CHECK(describe(sections.find(0x1010)) == "run :0:0");
  sections.address_ranges.clear();
  sections.lines = pyagent_test::gcc_dwarf_4().section(".debug_line");
  CHECK(describe(sections.find(0x1010)) == "run sample.c:14:6");
  CHECK(describe(sections.find(0x1000)) == " sample.c:14:45");  // a line, but no function
}

TEST_CASE("range lists of DWARF 4 begin at the unit's low_pc, or where they say", "[dwarf]") {
  AbbreviationBytes bytes;
  bytes.begin(1, DW_TAG_compile_unit, true)
      .attribute(DW_AT_low_pc, DW_FORM_addr)
      .attribute(DW_AT_ranges, DW_FORM_sec_offset);
  bytes.begin(2, DW_TAG_subprogram, false)
      .attribute(DW_AT_name, DW_FORM_string)
      .attribute(DW_AT_ranges, DW_FORM_sec_offset);
  Sections sections;
  sections.abbreviations = bytes.end();
  sections.info = unit_4(DebugBytes{}.u8(1).u64(0x1000).u32(0).u8(2).text("run").u32(0).u8(0)).bytes;
  sections.ranges = DebugBytes{}
                        .u64(0x10)
                        .u64(0x20)
                        .u64(~std::uint64_t{0})
                        .u64(0x5000)
                        .u64(1)
                        .u64(2)
                        .u64(0)
                        .u64(0)
                        .u64(0x70)
                        .u64(0x80)
                        .bytes;
  for (const std::uint64_t inside : {0x1010u, 0x101fu, 0x5001u})
    CHECK(names_of(sections.find(inside)) == std::vector<std::string>{"run"});
  for (const std::uint64_t outside : {0x10u, 0x100fu, 0x1020u, 0x5000u, 0x5002u, 0x5070u})
    CHECK(sections.find(outside).empty());
}

TEST_CASE("all entries of range lists of DWARF 5 are understood", "[dwarf]") {
  AbbreviationBytes bytes;
  bytes.begin(1, DW_TAG_compile_unit, true)
      .attribute(DW_AT_low_pc, DW_FORM_addrx)
      .attribute(DW_AT_ranges, DW_FORM_sec_offset);
  bytes.attribute(DW_AT_addr_base, DW_FORM_sec_offset).attribute(DW_AT_rnglists_base, DW_FORM_sec_offset);
  bytes.begin(2, DW_TAG_subprogram, false)
      .attribute(DW_AT_name, DW_FORM_string)
      .attribute(DW_AT_ranges, DW_FORM_rnglistx);
  Sections sections;
  sections.abbreviations = bytes.end();
  const auto dies = DebugBytes{}.u8(1).uleb(0).u32(16).u32(8).u32(12).u8(2).text("run").uleb(0).u8(0);
  sections.info = DebugBytes{}.u16(5).u8(DW_UT_compile).u8(8).u32(0).append(dies).counted().bytes;
  sections.addresses = DebugBytes{}.u32(0).u16(5).u8(8).u8(0).u64(0x1000).u64(0x2000).u64(0x2100).u64(0x3000).bytes;
  const auto list = DebugBytes{}
                        .u8(DW_RLE_offset_pair)
                        .uleb(0x10)
                        .uleb(0x20)  // 0x1010
                        .u8(DW_RLE_base_addressx)
                        .uleb(3)
                        .u8(DW_RLE_offset_pair)
                        .uleb(1)
                        .uleb(2)  // 0x3001
                        .u8(DW_RLE_base_address)
                        .u64(0x4000)
                        .u8(DW_RLE_offset_pair)
                        .uleb(0x300)
                        .uleb(0x301)  // 0x4300
                        .u8(DW_RLE_startx_endx)
                        .uleb(1)
                        .uleb(2)  // 0x2000 to 0x20ff
                        .u8(DW_RLE_startx_length)
                        .uleb(2)
                        .uleb(4)  // 0x2100
                        .u8(DW_RLE_start_end)
                        .u64(0x6000)
                        .u64(0x6008)
                        .u8(DW_RLE_start_length)
                        .u64(0x7000)
                        .uleb(1)
                        .u8(0);
  sections.range_lists = DebugBytes{}.u32(0).u16(5).u8(8).u8(0).u32(1).u32(4).append(list).bytes;
  for (const std::uint64_t inside : {0x1010u, 0x101fu, 0x3001u, 0x4300u, 0x2000u, 0x20ffu, 0x2103u, 0x6007u, 0x7000u}) {
    INFO(std::hex << inside);
    CHECK(names_of(sections.find(inside)) == std::vector<std::string>{"run"});
  }
  for (const std::uint64_t outside : {0x100fu, 0x1020u, 0x3000u, 0x4301u, 0x2104u, 0x6008u, 0x7001u})
    CHECK(sections.find(outside).empty());
}

TEST_CASE("units that nobody can read are passed over", "[dwarf]") {
  const auto good = unit_4(unit_start(c99).append(function("run", 0x1000, 0x10)).u8(0).u8(0));
  const auto of_version = [](unsigned version) {
    return DebugBytes{}.u16(version).u32(0).u8(8).u8(unit_die).counted();
  };
  const auto of_addresses = DebugBytes{}.u16(4).u32(0).u8(2).u8(unit_die).counted();
  const auto of_types = DebugBytes{}
                            .u16(5)
                            .u8(DW_UT_type)
                            .u8(8)
                            .u32(0)
                            .u64(1)
                            .u32(0)
                            .append(unit_start(c99))
                            .append(function("type", 0x1000, 0x10));
  const auto without_table = unit_4(unit_start(c99), 0x1000);
  const std::string all = of_version(1).bytes + of_version(6).bytes + of_addresses.bytes + without_table.bytes +
                          good.bytes + of_types.counted().bytes;
  CHECK(names_of(Sections{all, abbreviations().end()}.find(0x1000)) == std::vector<std::string>{"run"});
}

TEST_CASE("references in circles, and to nothing, end without a name", "[dwarf]") {
  auto dies = unit_start(cpp).append(function("run", 0x1000, 0x100));
  const std::uint64_t first = offset_after(dies);
  const std::uint64_t size = inlined(0, 0, 0, 0).bytes.size();
  const auto circle = DebugBytes{dies}
                          .append(inlined(first + size, 0x1010, 0x20, 1))
                          .append(inlined(first, 0x1018, 8, 2))
                          .u8(0)
                          .u8(0)
                          .u8(0)
                          .u8(0);
  CHECK(names_of(one_unit(circle).find(0x1018)) == std::vector<std::string>{"", "", "run"});
  const auto itself = DebugBytes{dies}.append(inlined(first, 0x1010, 0x20, 1)).u8(0).u8(0).u8(0);
  CHECK(names_of(one_unit(itself).find(0x1010)) == std::vector<std::string>{"", "run"});
  for (const std::uint64_t target : {0u, 5u, 0xfffffffu, 0xffffffffu}) {
    const auto nowhere = DebugBytes{dies}.append(inlined(target, 0x1010, 0x20, 1)).u8(0).u8(0).u8(0);
    CHECK(names_of(one_unit(nowhere).find(0x1010)) == std::vector<std::string>{"", "run"});
  }
}

TEST_CASE("a name that stands in a supplementary file is not had, but its calls are", "[dwarf]") {
  AbbreviationBytes bytes = abbreviations();
  bytes.begin(20, DW_TAG_inlined_subroutine, false).attribute(DW_AT_abstract_origin, DW_FORM_GNU_ref_alt);
  bytes.attribute(DW_AT_low_pc, DW_FORM_addr).attribute(DW_AT_high_pc, DW_FORM_data4);
  const auto dies =
      unit_start(cpp).append(function("run", 0x1000, 0x100)).u8(20).u32(0x15).u64(0x1010).u32(4).u8(0).u8(0);
  CHECK(names_of(Sections{unit_4(dies).bytes, bytes.end()}.find(0x1010)) == std::vector<std::string>{"", "run"});
}

TEST_CASE("siblings are followed forwards only", "[dwarf]") {
  // A type with a child that must be passed over, or read when the sibling leads back or out of the unit.
  AbbreviationBytes bytes = abbreviations();
  bytes.begin(20, 0x01 /* DW_TAG_array_type */, true).attribute(DW_AT_sibling, DW_FORM_ref4);
  const auto before = unit_start(c99);
  const auto with_sibling = [&](std::uint64_t sibling) {
    const auto dies = DebugBytes{before}.u8(20).u32(sibling).u8(declared_die).text("inside").u8(0);
    return names_of(
        Sections{unit_4(DebugBytes{dies}.append(function("run", 0x1000, 0x10)).u8(0).u8(0)).bytes, bytes.end()}.find(
            0x1000));
  };
  const std::uint64_t here = offset_after(before), behind = here + 5;  // a code and four bytes
  for (const std::uint64_t sibling : {std::uint64_t{0}, here, behind, behind + 9, std::uint64_t{0xffffffff}}) {
    INFO(sibling);
    CHECK(with_sibling(sibling) == std::vector<std::string>{"run"});
  }
  const auto skipped = DebugBytes{before}.u8(20).u32(offset_after(before) + 7).u8(0xff).u8(0xff);
  CHECK(names_of(
            Sections{unit_4(DebugBytes{skipped}.append(function("run", 0x1000, 0x10)).u8(0).u8(0)).bytes, bytes.end()}
                .find(0x1000)) == std::vector<std::string>{"run"});
}

TEST_CASE("functions that are inlined deeper than any compiler does are cut", "[dwarf]") {
  auto dies = unit_start(c99).append(function("run", 0x1000, 0x100));
  for (int i = 0; i < 100000; ++i) dies.append(inlined(0, 0x1000, 0x100, 1));
  CHECK(one_unit(dies).find(0x1000).size() == DebugInfo::max_inlined);
}

TEST_CASE("what is shared without end is read within a limit", "[dwarf]") {
  const auto start = std::chrono::steady_clock::now();
  // 20,000 functions whose ranges are one list of 100,000 entries, in units that take their abbreviations from the
  // middle of others'.
  AbbreviationBytes bytes;
  bytes.begin(1, DW_TAG_compile_unit, true)
      .attribute(DW_AT_low_pc, DW_FORM_addr)
      .attribute(DW_AT_high_pc, DW_FORM_data4);
  bytes.begin(2, DW_TAG_subprogram, false).attribute(DW_AT_ranges, DW_FORM_sec_offset);
  Sections sections;
  sections.abbreviations = bytes.end();
  auto dies = DebugBytes{}.u8(1).u64(0x1000).u32(0x1000000);
  for (int i = 0; i < 20000; ++i) dies.u8(2).u32(0);
  sections.info = unit_4(dies.u8(0)).bytes;
  DebugBytes list;
  for (std::uint64_t i = 0; i < 100000; ++i) list.u64(i).u64(i + 1);
  sections.ranges = list.bytes;
  (void)sections.find(0x1800);

  // The same in DWARF 5, where an entry may take one byte or two.
  sections.info = DebugBytes{}.u16(5).u8(DW_UT_compile).u8(8).u32(0).append(dies).counted().bytes;
  sections.range_lists = std::string(1000000, DW_RLE_base_addressx) + '\0';
  (void)sections.find(0x1800);

  AbbreviationBytes many;
  for (std::uint64_t i = 0; i < 50000; ++i) many.begin(10 + i, DW_TAG_subprogram, false);
  Sections shifted;
  shifted.abbreviations = many.end();
  for (std::uint64_t i = 0; i < 20000; ++i) shifted.info += unit_4(DebugBytes{}.u8(1).u8(0), 7 * i).bytes;
  (void)shifted.find(0x1800);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{20});
}

TEST_CASE("every cut of every section gives an answer or none", "[dwarf]") {
  for (const DebugSample& sample : pyagent_test::debug_samples())
    for (std::size_t i = 0; i < sample.sections.size(); ++i)
      for (std::size_t length = 0; length < sample.section(sample.sections[i].first).size(); ++length) {
        DebugSample cut = sample;
        cut.sections[i].second = sample.sections[i].second.substr(0, 2 * length);
        Opened opened{cut.file()};
        if (!opened.info) continue;
        for (std::uint64_t address = 0x1000; address < 0x102c; address += 4)
          CHECK(opened.info->find(address).size() <= 4);
      }
}

TEST_CASE("every changed byte gives an answer or none", "[dwarf]") {
  for (const DebugSample& sample : pyagent_test::debug_samples())
    for (std::size_t i = 0; i < sample.sections.size(); ++i) {
      const std::string hex{sample.sections[i].second};
      for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
        for (const char* const value : {"00", "01", "7f", "80", "ff"}) {
          const std::string changed = hex.substr(0, at) + value + hex.substr(at + 2);
          DebugSample damaged = sample;
          damaged.sections[i].second = changed;
          Opened opened{damaged.file()};
          if (!opened.info) continue;
          for (std::uint64_t address = 0x1000; address < 0x102c; address += 12) (void)opened.info->find(address);
        }
    }
}
