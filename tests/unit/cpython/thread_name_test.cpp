// From an interpreter to the name of one of its threads, with fake objects.
#include "pyagent/cpython/thread_name.hpp"

#include <string>  // string

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

constexpr std::uint64_t thread_id = 0x7f3d'0000'1700;

/// sys.modules["threading"]._active[thread_id]._name == "Worker-\u00e9". Thread objects have a dict by tp_dictoffset,
/// which every version allows.
Address build_interpreter(FakeObjects& objects) {
  const Layout& layout = objects.layout();
  BlockMemory& memory = objects.memory();
  const Address type = objects.type("Thread");
  memory.put(type + layout.type.dictoffset, std::int64_t{layout.object.size});
  const Address thread = objects.object(type, 8);
  memory.put(thread + layout.object.size, objects.dict({{1, objects.str("_name"), objects.str(U"Worker-\u00e9")}}));
  const Address active = objects.dict({{5, {8}, {8}}, {thread_id, {16}, thread}});
  const Address module = objects.object(objects.type("module"), 8);
  memory.put(module + layout.object.size, objects.dict({{1, objects.str("__name__"), {8}}, {2, objects.str("_active"), active}}));
  const Address modules = objects.dict({{1, objects.str("sys"), {8}}, {2, objects.str("threading"), module}});
  const Address interpreter = memory.add(layout.interpreter.modules + 8);
  memory.put(interpreter + layout.interpreter.modules, modules);
  return interpreter;
}

}  // namespace

TEST_CASE("read_thread_name gives the name that threading has for the thread", "[cpython]") {
  for (const LayoutRow& row : layout_rows)
    for (const Layout* layout : {row.layout, row.free_threaded}) {
      if (layout == nullptr) continue;
      FakeObjects objects{*layout};
      const Address interpreter = build_interpreter(objects);
      std::array<char, 64> out;
      const auto name = read_thread_name(objects.memory(), *layout, interpreter, thread_id, out);
      REQUIRE(name);
      CHECK(std::string(out.data(), name->size) == "Worker-\xc3\xa9");
      CHECK_FALSE(name->is_cut);
      CHECK(read_thread_name(objects.memory(), *layout, interpreter, thread_id + 1, out).error().code == Errc::not_found);

      bool is_read = false;
      refuse_each_read(objects.memory(), [&](const auto& memory) {
        const auto read = read_thread_name(memory, *layout, interpreter, thread_id, out);
        is_read = read && std::string(out.data(), read->size) == "Worker-\xc3\xa9";
        if (read) CHECK(is_read);
      });
      CHECK(is_read);
    }
}
