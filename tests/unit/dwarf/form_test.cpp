// Forms: what each takes of the section, and what it says.
#include "pyagent/dwarf/form.hpp"

#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/debug_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::DebugBytes;

namespace {

constexpr Encoding narrow{5, 8, false}, wide{5, 8, true}, old{2, 8, false};

std::span<const std::byte> view(const std::string& text) { return std::as_bytes(std::span{text.data(), text.size()}); }

struct Read {
  FormValue value;
  std::size_t size;
  bool ok;
};

Read read(std::uint16_t form, const DebugBytes& bytes, const Encoding& encoding = narrow,
          std::int64_t implicit_const = 0) {
  SectionCursor cursor{view(bytes.bytes), 0};
  const FormValue value = read_form(cursor, form, implicit_const, encoding);
  return {value, cursor.offset(), cursor.ok()};
}

}  // namespace

TEST_CASE("each form takes as many bytes as the specification says", "[dwarf]") {
  struct Row {
    std::uint16_t form;
    std::size_t size, wide_size;
  };
  // DWARF 5, 7.5.6; leading bytes of 2 are a length, a number or a short string.
  const Row rows[] = {{DW_FORM_addr, 8, 8},           {DW_FORM_block2, 2 + 0x202, 2 + 0x202},
                      {DW_FORM_data2, 2, 2},          {DW_FORM_data4, 4, 4},
                      {DW_FORM_data8, 8, 8},          {DW_FORM_block, 3, 3},
                      {DW_FORM_block1, 3, 3},         {DW_FORM_data1, 1, 1},
                      {DW_FORM_flag, 1, 1},           {DW_FORM_sdata, 1, 1},
                      {DW_FORM_strp, 4, 8},           {DW_FORM_udata, 1, 1},
                      {DW_FORM_ref_addr, 4, 8},       {DW_FORM_ref1, 1, 1},
                      {DW_FORM_ref2, 2, 2},           {DW_FORM_ref4, 4, 4},
                      {DW_FORM_ref8, 8, 8},           {DW_FORM_ref_udata, 1, 1},
                      {DW_FORM_sec_offset, 4, 8},     {DW_FORM_exprloc, 3, 3},
                      {DW_FORM_flag_present, 0, 0},   {DW_FORM_strx, 1, 1},
                      {DW_FORM_addrx, 1, 1},          {DW_FORM_ref_sup4, 4, 4},
                      {DW_FORM_strp_sup, 4, 8},       {DW_FORM_data16, 16, 16},
                      {DW_FORM_line_strp, 4, 8},      {DW_FORM_ref_sig8, 8, 8},
                      {DW_FORM_implicit_const, 0, 0}, {DW_FORM_loclistx, 1, 1},
                      {DW_FORM_rnglistx, 1, 1},       {DW_FORM_ref_sup8, 8, 8},
                      {DW_FORM_strx1, 1, 1},          {DW_FORM_strx2, 2, 2},
                      {DW_FORM_strx3, 3, 3},          {DW_FORM_strx4, 4, 4},
                      {DW_FORM_addrx1, 1, 1},         {DW_FORM_addrx2, 2, 2},
                      {DW_FORM_addrx3, 3, 3},         {DW_FORM_addrx4, 4, 4},
                      {DW_FORM_GNU_addr_index, 1, 1}, {DW_FORM_GNU_str_index, 1, 1},
                      {DW_FORM_GNU_ref_alt, 4, 8},    {DW_FORM_GNU_strp_alt, 4, 8}};
  const DebugBytes bytes{std::string(0x1000, '\2')};
  for (const Row& row : rows) {
    INFO(row.form);
    CHECK(read(row.form, bytes).size == row.size);
    CHECK(read(row.form, bytes, wide).size == row.wide_size);
    SectionCursor cursor{view(bytes.bytes), 0};
    skip_form(cursor, row.form, narrow);
    CHECK(cursor.offset() == row.size);
    if (row.size != 0) CHECK_FALSE(read(row.form, DebugBytes{bytes.bytes.substr(0, row.size - 1)}).ok);
  }
  CHECK(read(DW_FORM_ref_addr, bytes, old).size == 8);
  CHECK(read(DW_FORM_string, DebugBytes{}.text("name")).size == 5);
}

TEST_CASE("a form says what its number is", "[dwarf]") {
  CHECK(read(DW_FORM_string, DebugBytes{}.text("name")).value.text == "name");
  CHECK(read(DW_FORM_sdata, DebugBytes{}.sleb(-2)).value.number == ~std::uint64_t{1});
  CHECK(read(DW_FORM_implicit_const, {}, narrow, 77).value.number == 77);
  CHECK(read(DW_FORM_ref4, DebugBytes{}.u32(9)).value.kind == ValueKind::reference);
  CHECK(read(DW_FORM_ref_addr, DebugBytes{}.u32(9)).value.kind == ValueKind::far_reference);
  CHECK(read(DW_FORM_ref_sig8, DebugBytes{}.u64(9)).value.kind == ValueKind::elsewhere);
  CHECK(read(DW_FORM_GNU_strp_alt, DebugBytes{}.u32(9)).value.kind == ValueKind::elsewhere);
  CHECK(read(DW_FORM_strx3, DebugBytes{}.number(0x30201, 3)).value.number == 0x30201);
  CHECK(read(DW_FORM_addrx2, DebugBytes{}.u16(5)).value.kind == ValueKind::address_index);
}

TEST_CASE("a form may stand in the section, but not lead to itself", "[dwarf]") {
  const auto value = read(DW_FORM_indirect, DebugBytes{}.uleb(DW_FORM_data2).u16(0x1234));
  CHECK(value.value.number == 0x1234);
  CHECK(value.size == 3);
  CHECK_FALSE(read(DW_FORM_indirect, DebugBytes{}.uleb(DW_FORM_indirect).uleb(DW_FORM_data1).u8(1)).ok);
  CHECK_FALSE(read(DW_FORM_indirect, DebugBytes{}.uleb(DW_FORM_implicit_const).u8(1)).ok);
  CHECK_FALSE(read(DW_FORM_indirect, DebugBytes{}.uleb(0x10000 + DW_FORM_data1).u8(1)).ok);
}

TEST_CASE("a form that nobody described ends the reading", "[dwarf]") {
  const auto value = read(0x7e, DebugBytes{std::string(20, '\1')});
  CHECK_FALSE(value.ok);
  CHECK_FALSE(value.value);
}

TEST_CASE("a block that is longer than the section ends the reading", "[dwarf]") {
  CHECK_FALSE(read(DW_FORM_block4, DebugBytes{}.u32(0xffffffff)).ok);
  CHECK_FALSE(read(DW_FORM_exprloc, DebugBytes{}.uleb(std::numeric_limits<std::uint64_t>::max())).ok);
}
