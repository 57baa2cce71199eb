// Dicts of every shape, from fake objects.
#include "pyagent/cpython/read_dict.hpp"

#include <string>  // to_string
#include <vector>  // vector

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

const Layout* const layouts[] = {&layout_v3_5, &layout_v3_6, &layout_v3_10, &layout_v3_11, &layout_v3_12, &layout_v3_13, &layout_v3_14t};

Result<Address> find(FakeObjects& objects, Address dict, std::string_view key) {
  return find_in_dict(objects.memory(), objects.layout(), dict, key);
}

/// Entries key0: 1000, key1: 1001, ...
std::vector<FakeEntry> numbered(FakeObjects& objects, std::size_t count) {
  std::vector<FakeEntry> entries;
  for (std::size_t i = 0; i < count; ++i)
    entries.push_back({static_cast<std::int64_t>(i), objects.str("key" + std::to_string(i)), {1000 + i}});
  return entries;
}

}  // namespace

TEST_CASE("find_in_dict finds each key of small and large dicts", "[cpython]") {
  for (const Layout* layout : layouts)
    for (const auto form : {FakeTable::general, FakeTable::all_str})
      for (const std::size_t count : {1u, 5u, 200u, 400u}) {
        FakeObjects objects{*layout};
        const Address dict = objects.dict(numbered(objects, count), form);
        for (const std::size_t i : {std::size_t{0}, count / 2, count - 1})
          CHECK(find(objects, dict, "key" + std::to_string(i)).value_or({}) == Address{1000 + i});
        CHECK(find(objects, dict, "key").error().code == Errc::not_found);
      }
}

TEST_CASE("find_in_dict finds keys after more than 65535 slots, whose indices are wider", "[cpython]") {
  for (const Layout* layout : {&layout_v3_10, &layout_v3_13}) {
    FakeObjects objects{*layout};
    std::vector<FakeEntry> entries(50'000, FakeEntry{0, objects.str("same"), {1}});
    entries.push_back({0, objects.str("last"), {2}});
    CHECK(find(objects, objects.dict(entries), "last").value_or({}) == Address{2});
  }
}

TEST_CASE("find_in_dict passes over deleted entries", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address key = objects.str("key");
    const Address dict = objects.dict({{1, {}, {}}, {1, key, {}}, {1, key, {7}}, {1, {}, {}}});
    CHECK(find(objects, dict, "key").value_or({}) == Address{7});
    CHECK(find(objects, objects.dict({}), "key").error().code == Errc::not_found);
  }
}

TEST_CASE("find_in_dict takes the values of a split table from where they are", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    auto entries = numbered(objects, 12);
    entries[4].value = {};  // this instance lacks it
    const Address dict = objects.dict(entries, FakeTable::split);
    CHECK(find(objects, dict, "key0").value_or({}) == Address{1000});
    CHECK(find(objects, dict, "key11").value_or({}) == Address{1011});
    CHECK(find(objects, dict, "key4").error().code == Errc::not_found);
  }
}

TEST_CASE("find_in_dict finds int keys", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const std::int64_t thread_id = 0x7f3d'1234'5700;
    const Address dict = objects.dict({{17, {8}, {1}}, {thread_id, {16}, {2}}, {0, {24}, {3}}});
    const auto find_id = [&](std::uint64_t key) { return find_in_dict(objects.memory(), *layout, dict, key); };
    CHECK(find_id(0x7f3d'1234'5700).value_or({}) == Address{2});
    CHECK(find_id(0).value_or({}) == Address{3});
    CHECK(find_id(18).error().code == Errc::not_found);
  }
  FakeObjects objects{layout_v3_13};
  const Address all_str = objects.dict({{0, objects.str("0"), {1}}}, FakeTable::all_str);
  CHECK(find_in_dict(objects.memory(), layout_v3_13, all_str, std::uint64_t{0}).error().code == Errc::not_found);
}

TEST_CASE("find_in_dict looks at so many entries and no more", "[cpython]") {
  for (const Layout* layout : {&layout_v3_5, &layout_v3_10, &layout_v3_12}) {
    FakeObjects objects{*layout};
    std::vector<FakeEntry> entries(max_dict_entries, FakeEntry{0, {8}, {1}});
    entries.push_back({5, {8}, {2}});
    const Address dict = objects.dict(entries);
    CHECK(find_in_dict(objects.memory(), *layout, dict, std::uint64_t{5}).error().code == Errc::too_large);
    entries[0].hash = 5;
    CHECK(find_in_dict(objects.memory(), *layout, objects.dict(entries), std::uint64_t{5}).value_or({}) == Address{1});
  }
}

TEST_CASE("find_in_dict refuses what can't be a dict", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address keys = objects.dict_keys({}, FakeTable::general);
    const Address dict = objects.dict({});
    objects.memory().put(dict + layout->dict.keys, keys);
    const auto wrong = [&](Offset at, auto value) {
      objects.memory().put(keys + at, value);
      CHECK(find(objects, dict, "key").error().code == Errc::wrong_type);
      objects.memory().put(keys + at, decltype(value){});
    };
    if (layout->dict_keys_shape == DictKeys::log2_indices) wrong(layout->dict_keys.index_bytes, std::uint8_t{200});
    else wrong(layout->dict_keys.size, ~std::uint64_t{0});
    if (layout->dict_keys.nentries != absent) wrong(layout->dict_keys.nentries, ~std::uint64_t{0});
    objects.memory().put(dict + layout->dict.keys, Address{1});
    CHECK(find(objects, dict, "key").error().code == Errc::unreadable);
  }
}

TEST_CASE("find_in_dict survives each read that fails", "[cpython]") {
  for (const Layout* layout : layouts)
    for (const auto form : {FakeTable::general, FakeTable::all_str, FakeTable::split}) {
      FakeObjects objects{*layout};
      const Address dict = objects.dict(numbered(objects, 9), form);
      bool is_found = false;
      refuse_each_read(objects.memory(), [&](const auto& memory) {
        const auto found = find_in_dict(memory, *layout, dict, "key8");
        is_found = found && *found == Address{1008};
        // A key that can't be read is passed over, so a failed read may be harmless; a wrong value never is.
        if (found) CHECK(*found == Address{1008});
      });
      CHECK(is_found);
    }
}
