// Instance attributes in each of the places where CPython has kept them, from fake objects.
#include "pyagent/cpython/find_attribute.hpp"

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

constexpr std::uint64_t inline_values = 1 << 2;
constexpr std::uint64_t managed_dict = 1 << 4;

Result<Address> find(FakeObjects& objects, Address object, std::string_view name) {
  return find_attribute(objects.memory(), objects.layout(), object, name);
}

/// Entries _ident: 7, _name: 8; _daemon has no value.
std::array<FakeEntry, 3> attributes(FakeObjects& objects) {
  return {FakeEntry{1, objects.str("_ident"), {7}}, FakeEntry{2, objects.str("_daemon"), {}}, FakeEntry{3, objects.str("_name"), {8}}};
}

void check_attributes(FakeObjects& objects, Address object) {
  CHECK(find(objects, object, "_ident").value_or({}) == Address{7});
  CHECK(find(objects, object, "_name").value_or({}) == Address{8});
  CHECK(find(objects, object, "_daemon").error().code == Errc::not_found);
  CHECK(find(objects, object, "_other").error().code == Errc::not_found);
  bool is_found = false;
  refuse_each_read(objects.memory(), [&](const auto& memory) {
    const auto found = find_attribute(memory, objects.layout(), object, "_name");
    is_found = found && *found == Address{8};
    if (found) CHECK(*found == Address{8});
  });
  CHECK(is_found);
}

}  // namespace

TEST_CASE("find_attribute follows tp_dictoffset", "[cpython]") {
  for (const Layout* layout : {&layout_v3_5, &layout_v3_10, &layout_v3_11, &layout_v3_12, &layout_v3_13t, &layout_v3_15}) {
    FakeObjects objects{*layout};
    const Address type = objects.type("Thread");
    objects.memory().put(type + layout->type.dictoffset, std::int64_t{layout->object.size + 24});
    const Address object = objects.object(type, 32);
    objects.memory().put(object + layout->object.size + 24, objects.dict(attributes(objects)));
    check_attributes(objects, object);

    for (const std::int64_t none : {0, -8}) {
      objects.memory().put(type + layout->type.dictoffset, none);
      CHECK(find(objects, object, "_name").error().code == Errc::not_found);
    }
  }
}

TEST_CASE("find_attribute in 3.11 follows the values pointer, or the dict once there is one", "[cpython]") {
  FakeObjects objects{layout_v3_11};
  const auto entries = attributes(objects);
  const Address type = objects.type("Thread", {}, managed_dict);
  objects.memory().put(type + layout_v3_11.type.cached_keys, objects.dict_keys(entries, FakeTable::split));
  const Address object = objects.object(type, 0, 32);
  CHECK(find(objects, object, "_name").error().code == Errc::not_found);
  objects.memory().put(object - 32, objects.dict_values(entries));
  check_attributes(objects, object);

  const Address with_dict = objects.object(type, 0, 32);
  objects.memory().put(with_dict - 24, objects.dict(entries));
  check_attributes(objects, with_dict);
}

TEST_CASE("find_attribute in 3.12 tells values from a dict by the lowest bit", "[cpython]") {
  FakeObjects objects{layout_v3_12};
  const auto entries = attributes(objects);
  const Address type = objects.type("Thread", {}, managed_dict);
  objects.memory().put(type + layout_v3_12.type.cached_keys, objects.dict_keys(entries, FakeTable::split));
  const Address object = objects.object(type, 0, 24);
  CHECK(find(objects, object, "_name").error().code == Errc::not_found);
  objects.memory().put(object - 24, objects.dict_values(entries) - 1);
  check_attributes(objects, object);

  const Address with_dict = objects.object(type, 0, 24);
  objects.memory().put(with_dict - 24, objects.dict(entries));
  check_attributes(objects, with_dict);
}

TEST_CASE("find_attribute from 3.13 on finds values inside the object", "[cpython]") {
  for (const Layout* layout : {&layout_v3_13, &layout_v3_13t, &layout_v3_14, &layout_v3_14t, &layout_v3_15}) {
    FakeObjects objects{*layout};
    const auto entries = attributes(objects);
    const std::uint64_t before = layout->flags.free_threaded ? 8 : 24;
    const std::uint64_t basicsize = layout->object.size + 16;
    const Address type = objects.type("Thread", {}, managed_dict | inline_values, basicsize);
    objects.memory().put(type + layout->type.cached_keys, objects.dict_keys(entries, FakeTable::split));
    const Address object = objects.object(type, 16 + 8 + 8 * entries.size(), before);
    for (std::size_t i = 0; i < entries.size(); ++i) objects.memory().put(object + basicsize + 8 + 8 * i, entries[i].value);
    check_attributes(objects, object);

    const Address with_dict = objects.object(type, 16, before);
    objects.memory().put(with_dict - before, objects.dict(entries));
    check_attributes(objects, with_dict);

    objects.memory().put(type + layout->type.flags, managed_dict);  // no values inside its instances
    const Address without_values = objects.object(type, 16 + 8 + 8 * entries.size(), before);
    for (std::size_t i = 0; i < entries.size(); ++i) objects.memory().put(without_values + basicsize + 8 + 8 * i, entries[i].value);
    CHECK(find(objects, without_values, "_name").error().code == Errc::not_found);
  }
}
