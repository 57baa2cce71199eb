// CFI sections: entries, CIEs of every version and augmentation, FDEs with every encoding of pointers.
#include "pyagent/dwarf/cfi_section.hpp"

#include "support/catch.hpp"
#include "support/cfi_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::append_bytes;
using pyagent_test::append_value;
using pyagent_test::Bytes;
using pyagent_test::bytes_of;
using pyagent_test::CfiBuilder;

namespace {

CfiSection section_of(const CfiBuilder& builder) {
  CfiSection section;
  section.bytes = builder.bytes;
  section.address = builder.address;
  section.is_debug_frame = builder.is_debug_frame;
  return section;
}

Result<Cie> read_raw_cie(const Bytes& content, bool is_debug_frame = false) {
  CfiBuilder builder;
  builder.is_debug_frame = is_debug_frame;
  builder.add_raw_cie(content);
  const CfiSection section = section_of(builder);
  const auto entry = read_entry(section, 0);
  REQUIRE(entry);
  auto cie = read_cie(section, *entry);
  if (cie) cie->instructions = {};  // they end with the builder
  return cie;
}

Bytes concatenated(Bytes first, const Bytes& second) {
  append_bytes(first, second);
  return first;
}

}  // namespace

TEST_CASE("entries follow each other, and end with the section", "[dwarf]") {
  CfiBuilder builder;
  const auto cie = builder.add_cie({});
  const auto fde = builder.add_fde(cie, 0x5000, 16, {});
  builder.add_terminator();
  const CfiSection section = section_of(builder);
  const auto first = read_entry(section, 0);
  REQUIRE(first);
  CHECK(first->is_cie);
  CHECK(first->end == fde);
  const auto second = read_entry(section, first->end);
  REQUIRE(second);
  CHECK_FALSE(second->is_cie);
  CHECK(second->cie == cie);
  const auto third = read_entry(section, second->end);
  REQUIRE(third);
  CHECK(third->is_terminator);
  CHECK(read_entry(section, third->end).error().code == Errc::not_found);
}

TEST_CASE("entries of the 64-bit format have 4-byte CIE pointers in .eh_frame, 8-byte ones in .debug_frame",
          "[dwarf]") {
  for (const bool is_debug_frame : {false, true}) {
    Bytes bytes;
    append_value(bytes, 0xffffffffu);
    append_value(bytes, std::uint64_t{16});
    if (is_debug_frame) append_value(bytes, ~std::uint64_t{0});
    if (!is_debug_frame) append_value(bytes, std::uint32_t{0});
    bytes.resize(28);
    CfiSection section;
    section.bytes = bytes;
    section.is_debug_frame = is_debug_frame;
    const auto entry = read_entry(section, 0);
    REQUIRE(entry);
    CHECK(entry->is_cie);
    CHECK(entry->body == (is_debug_frame ? 20 : 16));
    CHECK(entry->end == 28);
  }
}

TEST_CASE("an entry that is longer than the section, or leads out of it, is refused", "[dwarf]") {
  CfiBuilder builder;
  const auto cie = builder.add_cie({});
  const auto fde = builder.add_fde(cie, 0x5000, 16, {});
  const CfiSection section = section_of(builder);
  const auto read_with = [&](std::uint64_t at, std::uint32_t value, std::uint64_t offset) {
    Bytes changed = builder.bytes;
    std::memcpy(changed.data() + at, &value, sizeof value);
    CfiSection damaged = section;
    damaged.bytes = changed;
    return read_entry(damaged, offset).error().code;
  };
  CHECK(read_with(0, 0x7fffffff, 0) == Errc::truncated);
  CHECK(read_with(0, 0xffffffff, 0) == Errc::truncated);
  CHECK(read_with(0, 3, 0) == Errc::damaged);
  CHECK(read_with(fde + 4, 0x7fffffff, fde) == Errc::damaged);
  CHECK(read_with(fde + 4, static_cast<std::uint32_t>(fde + 4), fde) == Errc::ok);
  CHECK(read_with(fde + 4, static_cast<std::uint32_t>(fde + 5), fde) == Errc::damaged);  // a CIE before the section
  CHECK(read_entry(section, ~std::uint64_t{0}).error().code == Errc::not_found);
}

// GCC 12 on x86-64, int main() of a C++ program with exceptions, `readelf --debug-dump=frames` of its object:
//   Version 1, Augmentation "zPLR", Code alignment 1, Data alignment -8, Return address column 16,
//   Augmentation data 9b <4 bytes of a pointer> 1b 1b, DW_CFA_def_cfa r7 ofs 8, DW_CFA_offset r16 at cfa-8
TEST_CASE("a C++ compiler's CIE is read", "[dwarf]") {
  const Bytes content =
      bytes_of(1, 'z', 'P', 'L', 'R', 0, 1, 0x78, 16, 7, 0x9b, 1, 2, 3, 4, 0x1b, 0x1b, 0x0c, 7, 8, 0x90, 1);
  const auto cie = read_raw_cie(content);
  REQUIRE(cie);
  CHECK(cie->code_alignment == 1);
  CHECK(cie->data_alignment == -8);
  CHECK(cie->return_register == 16);
  CHECK(cie->pointer_encoding == (DW_EH_PE_pcrel | DW_EH_PE_sdata4));
  CHECK(cie->has_augmentation_data);
  CHECK_FALSE(cie->is_signal_frame);
}

TEST_CASE("CIEs of versions 1, 3 and 4 are read, others refused", "[dwarf]") {
  CHECK(read_raw_cie(bytes_of(1, 0, 4, 0x7c, 30))->return_register == 30);
  CHECK(read_raw_cie(bytes_of(3, 0, 4, 0x7c, 0x82, 0x02))->return_register == 258);  // ULEB128 since version 3
  const auto fourth = read_raw_cie(bytes_of(4, 0, 8, 0, 4, 0x7c, 30), true);
  REQUIRE(fourth);
  CHECK(fourth->code_alignment == 4);
  CHECK(fourth->data_alignment == -4);
  CHECK(fourth->pointer_encoding == DW_EH_PE_absptr);
  CHECK(read_raw_cie(bytes_of(4, 0, 4, 0, 4, 0x7c, 30), true).error().code == Errc::damaged);  // 4-byte addresses
  CHECK(read_raw_cie(bytes_of(4, 0, 8, 2, 4, 0x7c, 30), true).error().code == Errc::damaged);  // segments
  for (const int version : {0, 2, 5, 255})
    CHECK(read_raw_cie(bytes_of(version, 0, 4, 0x7c, 30)).error().code == Errc::damaged);
}

TEST_CASE("augmentations are read, unknown ones refused", "[dwarf]") {
  const auto with = [](const Bytes& letters, const Bytes& data) {
    return read_raw_cie(concatenated(concatenated(concatenated(bytes_of(1), letters), bytes_of(0, 1, 0x78, 16)), data));
  };
  CHECK(with(bytes_of('z', 'R', 'S'), bytes_of(1, 0x1b))->is_signal_frame);
  CHECK(with(bytes_of('S'), {})->is_signal_frame);  // .debug_frame: no data
  CHECK(with(bytes_of('z', 'R', 'B'), bytes_of(1, 0x1b)));
  CHECK(with(bytes_of('z', 'P', 'R'), bytes_of(6, 0x03, 1, 2, 3, 4, 0x0b))->pointer_encoding == DW_EH_PE_sdata4);
  CHECK(with(bytes_of('z', 'P', 'R'), bytes_of(2, 0xff, 0x0b))->pointer_encoding == DW_EH_PE_sdata4);  // omitted
  CHECK_FALSE(with(bytes_of('z', 'R'), bytes_of(0)));  // no room for the encoding
  CHECK_FALSE(with(bytes_of('z', 'Q', 'R'), bytes_of(1, 0x1b)));
  CHECK_FALSE(with(bytes_of('R'), bytes_of(1, 0x1b)));
  CHECK_FALSE(with(bytes_of('z', 'P', 'R'), bytes_of(6, 0x07, 1, 2, 3, 4, 0x0b)));  // a format that does not exist
  CHECK_FALSE(with(bytes_of('z', 'S', 'S', 'S', 'S', 'S', 'S', 'S', 'S'), bytes_of(0)));
  const auto old = read_raw_cie(bytes_of(1, 'e', 'h', 0, 9, 9, 9, 9, 9, 9, 9, 9, 1, 0x78, 16));
  REQUIRE(old);
  CHECK(old->data_alignment == -8);
}

TEST_CASE("a CIE with more instructions than any has is refused", "[dwarf]") {
  Bytes content = bytes_of(1, 0, 1, 0x78, 16);
  content.resize(content.size() + max_cie_instructions + 8);
  CHECK(read_raw_cie(content).error().code == Errc::too_large);
}

TEST_CASE("pointers are read in every encoding", "[dwarf]") {
  // An FDE's start stands 8 bytes after the entry, which stands at 0x1000 + its offset.
  const auto range_with = [](std::uint8_t encoding, const Bytes& start_and_size) -> Result<FunctionRange> {
    CfiBuilder builder;
    const auto cie_at = builder.add_cie({}, "zR", encoding);
    const auto fde_at = builder.bytes.size();
    append_value(builder.bytes, static_cast<std::uint32_t>(4 + start_and_size.size() + 1));
    append_value(builder.bytes, static_cast<std::uint32_t>(fde_at + 4 - cie_at));
    append_bytes(builder.bytes, concatenated(start_and_size, bytes_of(0)));
    REQUIRE(fde_at + 8 == 0x20);
    const CfiSection section = section_of(builder);
    const auto cie = read_cie(section, *read_entry(section, cie_at));
    REQUIRE(cie);
    const auto fde = read_fde(section, *read_entry(section, fde_at), *cie);
    if (!fde) return fde.error();
    return fde->range;
  };
  const auto absolute = FunctionRange{0x1234, 0x1244}, relative = FunctionRange{0x1020 + 0x1234, 0x1020 + 0x1244};
  const Bytes two = bytes_of(0x34, 0x12, 0x10, 0), four = bytes_of(0x34, 0x12, 0, 0, 0x10, 0, 0, 0);
  const Bytes eight = bytes_of(0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0),
              leb = bytes_of(0xb4, 0x24, 0x10);
  for (const auto& [format, bytes] :
       {std::pair{DW_EH_PE_absptr, eight}, std::pair{DW_EH_PE_udata8, eight}, std::pair{DW_EH_PE_sdata8, eight},
        std::pair{DW_EH_PE_udata4, four}, std::pair{DW_EH_PE_sdata4, four}, std::pair{DW_EH_PE_udata2, two},
        std::pair{DW_EH_PE_sdata2, two}, std::pair{DW_EH_PE_uleb128, leb}, std::pair{DW_EH_PE_sleb128, leb}}) {
    CAPTURE(int{format});
    CHECK(range_with(format, bytes).value_or({}) == absolute);
    CHECK(range_with(format | DW_EH_PE_pcrel, bytes).value_or({}) == relative);
    CHECK_FALSE(range_with(format | DW_EH_PE_indirect, bytes));
    CHECK_FALSE(range_with(format | DW_EH_PE_textrel, bytes));
    CHECK_FALSE(range_with(format | DW_EH_PE_datarel, bytes));  // .eh_frame has no data base
  }
  CHECK(range_with(DW_EH_PE_pcrel | DW_EH_PE_sdata4, bytes_of(0xf0, 0xff, 0xff, 0xff, 0x10, 0, 0, 0)).value_or({}) ==
        FunctionRange{0x1010, 0x1020});
  CHECK_FALSE(range_with(0x07, eight));
  CHECK_FALSE(range_with(DW_EH_PE_absptr, four));  // too short
  CHECK_FALSE(
      range_with(DW_EH_PE_udata8, bytes_of(255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0)));  // wraps
}

TEST_CASE("a pointer may count from the data when it is known where that is", "[dwarf]") {
  const Bytes bytes = bytes_of(0x10, 0, 0, 0);
  ByteCursor cursor{bytes};
  CHECK(take_pointer(cursor, DW_EH_PE_datarel | DW_EH_PE_sdata4, 0x5000, 0x2000) == std::uint64_t{0x2010});
}

TEST_CASE("signed LEB128 numbers have the values of the standard's examples", "[dwarf]") {
  const auto value = [](const Bytes& bytes) {
    ByteCursor cursor{bytes};
    const auto number = take_signed_leb128(cursor);
    CHECK(cursor.ok());
    return number;
  };
  // DWARF 5, table 7.8
  CHECK(value(bytes_of(2)) == 2);
  CHECK(value(bytes_of(0x7e)) == -2);
  CHECK(value(bytes_of(0xff, 0)) == 127);
  CHECK(value(bytes_of(0x81, 0x7f)) == -127);
  CHECK(value(bytes_of(0x80, 1)) == 128);
  CHECK(value(bytes_of(0x80, 0x7f)) == -128);
  CHECK(value(bytes_of(0x81, 1)) == 129);
  CHECK(value(bytes_of(0xff, 0x7e)) == -129);
  // and the ends: all of 64 bits
  CHECK(value(bytes_of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f)) == INT64_MIN);
  CHECK(value(bytes_of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0)) == INT64_MAX);
  for (const Bytes& bytes :
       {bytes_of(), bytes_of(0x80), bytes_of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
        bytes_of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2)}) {
    ByteCursor cursor{bytes};
    CHECK(take_signed_leb128(cursor) == 0);
    CHECK_FALSE(cursor.ok());
  }
}

TEST_CASE("a section that ends anywhere is read up to there", "[dwarf]") {
  CfiBuilder builder;
  const auto cie = builder.add_cie(bytes_of(0x0c, 7, 8, 0x90, 1));
  builder.add_fde(cie, 0x5000, 16, bytes_of(0x41, 0x0e, 16));
  for (std::size_t size = 0; size < builder.bytes.size(); ++size) {
    const Bytes cut(builder.bytes.begin(), builder.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    CfiSection section;
    section.bytes = cut;
    std::size_t count = 0;
    for (std::uint64_t offset = 0;; ++count) {
      const auto entry = read_entry(section, offset);
      if (!entry) break;
      if (entry->is_cie) CHECK(read_cie(section, *entry));
      offset = entry->end;
    }
    CHECK(count == (size >= 24 ? 1 : 0));
  }
}
