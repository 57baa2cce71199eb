// UnwindTable: packing of rules, and looking them up.
#include "pyagent/unwind/unwind_table.hpp"

#include <vector>

#include "support/catch.hpp"

using namespace pyagent;
using namespace pyagent::unwind;

namespace {

constexpr RegisterNumbers x86_64 = register_numbers(EM_X86_64), aarch64 = register_numbers(EM_AARCH64);

UnwindRule rule_of(std::uint8_t from, std::int32_t offset, SavedRegister pointer, SavedRegister link) {
  UnwindRule rule;
  rule.cfa = CfaRule::offset;
  rule.cfa_register = from;
  rule.cfa_offset = offset;
  rule.frame_pointer = pointer;
  rule.return_address = link;
  return rule;
}

constexpr SavedRegister at_cfa(std::int32_t offset) { return {SavedRule::at_cfa, 0, offset}; }
constexpr SavedRegister same{};

bool packs(const UnwindRule& rule, RegisterNumbers registers) {
  const auto packed = pack_rule(rule, registers);
  if (packed) CHECK(unpack_rule(*packed, registers, {}) == rule);
  return packed.has_value();
}

}  // namespace

TEST_CASE("rules that compilers write for x86-64 fit into four bytes, and come back", "[unwind]") {
  for (const std::uint8_t from : {std::uint8_t{7}, std::uint8_t{6}})
    for (const std::int32_t offset : {0, 8, 16, 24, 4096, 131'064})
      for (const std::int32_t saved : {0, -16, -24, -112, -131'064}) {
        CAPTURE(int{from}, offset, saved);
        CHECK(packs(rule_of(from, offset, saved == 0 ? same : at_cfa(saved), at_cfa(-8)), x86_64));
      }
  CHECK(packs(UnwindRule{}, x86_64));
  UnwindRule end;
  end.cfa = CfaRule::end;
  CHECK(packs(end, x86_64));
}

TEST_CASE("rules that compilers write for aarch64 fit into four bytes, and come back", "[unwind]") {
  for (const bool is_signed : {false, true}) {
    const auto signed_rule = [&](std::uint8_t from, std::int32_t offset, SavedRegister pointer, SavedRegister link) {
      UnwindRule rule = rule_of(from, offset, pointer, link);
      rule.is_return_address_signed = is_signed;
      return rule;
    };
    CHECK(packs(signed_rule(31, 0, same, same), aarch64));                 // entry: all in registers
    CHECK(packs(signed_rule(31, 32, same, same), aarch64));                // leaf with locals
    CHECK(packs(signed_rule(31, 48, at_cfa(-48), at_cfa(-40)), aarch64));  // stp x29, x30, [sp, -48]!
    CHECK(packs(signed_rule(29, 96, at_cfa(-96), at_cfa(-88)), aarch64));  // mov x29, sp
    CHECK(packs(signed_rule(31, 16, same, at_cfa(-16)), aarch64));         // str x30, [sp, -16]!
    CHECK(packs(signed_rule(31, 16, at_cfa(-16), at_cfa(-8)), aarch64));
  }
}

TEST_CASE("rules of other kinds do not fit, and are left to the rare ones", "[unwind]") {
  const UnwindRule plain = rule_of(7, 16, at_cfa(-16), at_cfa(-8));
  REQUIRE(packs(plain, x86_64));
  const auto changed = [&](auto change) {
    UnwindRule rule = plain;
    change(rule);
    return packs(rule, x86_64);
  };
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa = CfaRule::deref; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa = CfaRule::signal; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa_register = 10; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa_offset = 12; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa_offset = 131'072; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa_offset = -8; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.cfa_add = 8; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.plt_limit = 11; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.is_signal_frame = true; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.expression_size = 1; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.frame_pointer = at_cfa(0); }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.frame_pointer = at_cfa(-131'072); }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.frame_pointer = {SavedRule::at_register, 6, 0}; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.frame_pointer = {SavedRule::undefined}; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.return_address = {SavedRule::in_register, 2}; }));
  CHECK_FALSE(changed([](UnwindRule& rule) { rule.return_address = at_cfa(-24); }));
  UnwindRule signal_only;
  signal_only.is_signal_frame = true;
  CHECK_FALSE(packs(signal_only, x86_64));
}

TEST_CASE("every packed word stands for some rule, and most for one that packs to the same word", "[unwind]") {
  const std::vector<UnwindRule> rare(3, rule_of(10, 0, {SavedRule::at_register, 6, 0}, at_cfa(-8)));
  std::uint32_t word = 1;
  for (int i = 0; i < 200'000; ++i) {
    word = word * 1664525 + 1013904223;
    const std::uint32_t used = (word >> 7) ^ (word << 13);
    const UnwindRule rule = unpack_rule(used, x86_64, rare);
    const auto packed = pack_rule(rule, x86_64);
    if (packed) CHECK(unpack_rule(*packed, x86_64, rare) == rule);
  }
  CHECK(unpack_rule(pack_rare(2), x86_64, rare) == rare[2]);
  CHECK(unpack_rule(pack_rare(3), x86_64, rare) == UnwindRule{});
}

namespace {

/// Two functions, [0x1000, 0x1010) with two rules and [0x1200, 0x1400) with a rare one, and nothing between.
struct SmallTable {
  std::vector<UnwindRule> rare{rule_of(10, 0, {SavedRule::at_register, 6, 0}, at_cfa(-8))};
  UnwindRule first = rule_of(7, 8, same, at_cfa(-8)), second = rule_of(7, 16, at_cfa(-16), at_cfa(-8));
  std::vector<UnwindRow> rows{{0, *pack_rule(first, x86_64)},
                              {1, *pack_rule(second, x86_64)},
                              {0x10, packed_unknown},
                              {0x200, pack_rare(0)},
                              {0x400, packed_unknown}};
  std::vector<std::uint32_t> buckets{0, 2, 3, 3, 4};
  UnwindTable view() const { return {0x1000, rows, buckets, rare}; }
};

}  // namespace

TEST_CASE("a rule holds from its row up to the next", "[unwind]") {
  const SmallTable table;
  const UnwindTable view = table.view();
  CHECK(view.find(0x1000) == table.first);
  CHECK(view.find(0x1001) == table.second);
  CHECK(view.find(0x100f) == table.second);
  CHECK(view.find(0x1010) == UnwindRule{});
  CHECK(view.find(0x11ff) == UnwindRule{});
  CHECK(view.find(0x1200) == table.rare[0]);
  CHECK(view.find(0x13ff) == table.rare[0]);
}

TEST_CASE("nothing is known before, after and without rows", "[unwind]") {
  const SmallTable table;
  const UnwindTable view = table.view();
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0xfff}, std::uint64_t{0x1400},
                                      std::uint64_t{0x1500}, std::uint64_t{0x1'0000'1000}, ~std::uint64_t{0}})
    CHECK(view.find(address) == UnwindRule{});
  CHECK(UnwindTable{}.find(0) == UnwindRule{});
  CHECK(UnwindTable{}.empty());
}

TEST_CASE("a damaged table is not read beyond its end", "[unwind]") {
  SmallTable table;
  table.buckets = {0, 5, 0xffffffff, 3, 4};
  const UnwindTable view = table.view();
  CHECK(view.find(0x1100) == UnwindRule{});
  CHECK(view.find(0x1200) == UnwindRule{});
  table.rows[4].start = 0;  // out of order, and no end
  CHECK(table.view().find(0x13ff) == UnwindRule{});
}
