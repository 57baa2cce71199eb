// RuleCache: found again, apart by generation, empty when all zero.
#include "pyagent/unwind/rule_cache.hpp"

#include <memory>
#include <type_traits>

#include "support/catch.hpp"
#include "support/fake_stack.hpp"

using namespace pyagent;

static_assert(std::is_trivially_default_constructible_v<unwind::RuleCache<>>);

TEST_CASE("a cache of zero bytes is empty, for address null too", "[unwind]") {
  const auto cache = std::make_unique<unwind::RuleCache<64>>();
  unwind::UnwindRule rule;
  for (std::uint64_t address = 0; address < 10'000; ++address) REQUIRE_FALSE(cache->find(Address{address}, 0, rule));
}

TEST_CASE("a rule is found again at its address in its generation", "[unwind]") {
  const auto cache = std::make_unique<unwind::RuleCache<64>>();
  const unwind::UnwindRule kept = test::rule_by_sp(48, 16);
  cache->keep(Address{0x1234}, 5, kept);
  unwind::UnwindRule rule;
  REQUIRE(cache->find(Address{0x1234}, 5, rule));
  CHECK(rule == kept);
  CHECK_FALSE(cache->find(Address{0x1234}, 6, rule));
  CHECK_FALSE(cache->find(Address{0x1235}, 5, rule));
}

TEST_CASE("the newer of two rules in one place stays", "[unwind]") {
  const auto cache = std::make_unique<unwind::RuleCache<1>>();
  cache->keep(Address{0x1234}, 5, test::rule_by_sp(48));
  cache->keep(Address{0x4321}, 5, test::rule_by_fp());
  unwind::UnwindRule rule;
  CHECK_FALSE(cache->find(Address{0x1234}, 5, rule));
  REQUIRE(cache->find(Address{0x4321}, 5, rule));
  CHECK(rule == test::rule_by_fp());
}

TEST_CASE("return addresses that lie near each other spread over the cache", "[unwind]") {
  const auto cache = std::make_unique<unwind::RuleCache<512>>();
  for (std::uint64_t i = 0; i < 256; ++i) cache->keep(Address{0x5555'0000'1000 + 16 * i}, 1, test::rule_by_sp(8));
  unsigned found = 0;
  unwind::UnwindRule rule;
  for (std::uint64_t i = 0; i < 256; ++i) found += cache->find(Address{0x5555'0000'1000 + 16 * i}, 1, rule) ? 1 : 0;
  CHECK(found > 180);  // 199 of 256 would be left if places were drawn at random
}
