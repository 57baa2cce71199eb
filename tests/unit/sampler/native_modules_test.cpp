// The mapped code of this process, as a sampler of another would see it.
#include "pyagent/sampler/native_modules.hpp"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/fake_process.hpp"

using namespace pyagent;
using namespace pyagent::sampler;
using pyagent::test::FakeProcess;

namespace {

Address address_of(const void* pointer) { return {reinterpret_cast<std::uint64_t>(pointer)}; }

__attribute__((noinline)) Address find_return_address() {
  asm volatile("");  // or it is one function with others that do the same
  return address_of(__builtin_return_address(0));
}

struct Modules : SampleSink {
  void add_code(const recording::CodeRecord&) override {}
  void add_module(const recording::ModuleRecord& module) override { modules.push_back(module); }
  void add_thread(const recording::ThreadRecord&) override {}
  void add_sample(const recording::SampleRecord&) override {}
  void count(recording::Counter, std::uint64_t) override {}
  std::vector<recording::ModuleRecord> modules;
};

capture::NativeFrame exact(Address pc) {
  return {.pc = pc, .found_by = capture::FoundBy::rules, .is_exact = true, .is_eval = false};
}

}  // namespace

TEST_CASE("code of a process is known by its rules, calls and modules", "[sampler]") {
  FakeProcess fake{cpython::layout_v3_13};
  const auto target = fake.target(::getpid());
  NativeModules modules{target, std::make_shared<ModuleFiles>()};
  const Address function = address_of(reinterpret_cast<const void*>(&find_return_address));
  const Address after_call = find_return_address();
  const Address heap = address_of(std::make_unique<int>().get());

  SECTION("rules") {
    CHECK(modules.find_rule(function).cfa == unwind::CfaRule::offset);
    CHECK(modules.find_rule(address_of(::dlsym(RTLD_DEFAULT, "qsort"))).cfa == unwind::CfaRule::offset);
    CHECK(modules.find_rule(heap).cfa == unwind::CfaRule::unknown);
    CHECK(modules.find_rule({}).cfa == unwind::CfaRule::unknown);
  }
  SECTION("calls") {
    CHECK(modules.follows_call(after_call));
    CHECK(!modules.follows_call(function + 1));
    CHECK(!modules.follows_call(heap));
    CHECK(modules.find_callee(after_call) == function);
    CHECK(!modules.find_callee(function));
  }
  SECTION("modules are told once, with what turns an address into one of the file") {
    Modules told;
    const auto frame = modules.describe(exact(function), told);
    const auto again = modules.describe(exact(after_call), told);
    REQUIRE(told.modules.size() == 1);
    const recording::ModuleRecord& module = told.modules[0];
    Dl_info loaded{};
    REQUIRE(::dladdr(reinterpret_cast<const void*>(function.value), &loaded) != 0);
    CHECK(module.path == process::read_executable(::getpid()).value_or(""));
    CHECK(module.bias == address_of(loaded.dli_fbase).value);
    CHECK(module.range.contains(function));
    CHECK(!module.is_interpreter);
    CHECK(frame.module == module.id);
    CHECK(again.module == module.id);
    CHECK(frame.address + module.bias == function.value);
    CHECK(frame.has(recording::NativeFlag::exact));
    CHECK(modules.describe(exact(heap), told) ==
          recording::NativeFrameRecord{.module = 0, .address = heap.value, .flags = frame.flags});
    CHECK(told.modules.size() == 1);
  }
  SECTION("the vDSO is one of them") {
    Modules told;
    const Address vdso{::getauxval(AT_SYSINFO_EHDR)};
    REQUIRE(vdso);
    CHECK(modules.describe(exact(vdso + 0x800), told).module == 1);
    CHECK(told.modules.at(0).path == "[vdso]");
  }
  SECTION("an eval loop that was not found has no address") {
    Modules told;
    const auto frame = modules.describe({.pc = {}, .found_by = capture::FoundBy::anchor, .is_eval = true}, told);
    CHECK(frame == recording::NativeFrameRecord{
                       .module = 0, .address = 0, .flags = recording::native_flags(true, false, static_cast<std::uint8_t>(capture::FoundBy::anchor))});
  }
  SECTION("stacks go on to the end of what is mapped") {
    const int local = 0;
    const AddressRange stack = modules.find_stack(address_of(&local));
    CHECK(stack.begin == address_of(&local));
    CHECK(stack.contains(address_of(__builtin_frame_address(0))));
    CHECK(modules.find_stack({}).size() == 0);
  }
}

TEST_CASE("processes that map the same file share its rules", "[sampler]") {
  FakeProcess fake{cpython::layout_v3_13};
  const auto target = fake.target(::getpid());
  const auto files = std::make_shared<ModuleFiles>();
  const auto maps = process::read_maps(::getpid());
  REQUIRE(maps);
  const auto* const mapping = maps->find(address_of(::dlsym(RTLD_DEFAULT, "qsort")));
  REQUIRE(mapping != nullptr);
  const auto load = [&] { return std::move(*interpreter::load_image(target.memory(), ::getpid(), *maps, *mapping)); };
  CHECK(files->find_or_add(load()) == files->find_or_add(load()));
}
