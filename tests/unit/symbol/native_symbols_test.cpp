// NativeSymbols: which source names an address, and what is said of files that are gone or changed.
#include "pyagent/symbol/native_symbols.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include <string>

#include "support/catch.hpp"
#include "support/section_file.hpp"
#include "support/temporary_directory.hpp"

using namespace pyagent;
using pyagent_test::SectionFile;
using pyagent_test::TemporaryDirectory;

namespace {

const std::string id = "\xab\xcd\xef\x01\x23";

SectionFile library(const std::string& build_id = id) {
  SectionFile file;
  file.text(0x1000, 0x5000);
  if (!build_id.empty()) file.build_id(build_id);
  return file;
}

recording::ModuleRecord module_at(std::string path, std::string build_id = id) {
  recording::ModuleRecord module;
  module.id = 1;
  module.path = std::move(path);
  module.build_id = std::move(build_id);
  return module;
}

recording::NativeFrameRecord frame_at(std::uint64_t address, bool is_exact = true, recording::ModuleId module = 1) {
  recording::NativeFrameRecord frame;
  frame.module = module;
  frame.address = address;
  frame.flags = recording::native_flags(false, is_exact, 0);
  return frame;
}

std::string name_of(symbol::NativeSymbols& symbols, const recording::ModuleRecord& module,
                    recording::NativeFrameRecord frame) {
  const auto& locations = symbols.find(module, frame);
  REQUIRE(locations.size() == 1);
  return locations[0].name;
}

}  // namespace

/// Known to nobody else by its name.
extern "C" __attribute__((noinline)) int pyagent_test_own_function(int x) { return x * 7 + 1; }

TEST_CASE("symbols name addresses, and a return address belongs to what stands before it", "[symbol]") {
  const TemporaryDirectory directory;
  const auto module = module_at(directory.write(
      "libx.so", library().symbol("_ZN2ns5firstEi", 0x1000, 0x10).symbol("second.part.0", 0x1010, 0x10).build()));
  symbol::NativeSymbols symbols;
  CHECK(name_of(symbols, module, frame_at(0x1000)) == "ns::first");
  CHECK(name_of(symbols, module, frame_at(0x1010)) == "second");
  CHECK(name_of(symbols, module, frame_at(0x1010, false)) == "ns::first");  // the call was its last instruction
  CHECK(name_of(symbols, module, frame_at(0x1020)) == "libx.so+0x1000");
  CHECK(name_of(symbols, module, frame_at(0x2345)) == "libx.so+0x2000");
  CHECK(symbols.remarks().empty());
}

TEST_CASE("template arguments are shortened on request", "[symbol]") {
  const TemporaryDirectory directory;
  const auto module = module_at(
      directory.write("libx.so", library().symbol("_ZNSt6vectorIiSaIiEE9push_backEOi", 0x1000, 0x10).build()));
  symbol::NativeSymbols whole{{}},
      shorter{{.symbol_directories = {}, .shorten_templates = true, .roots = {}, .pid = 0}};
  CHECK(name_of(whole, module, frame_at(0x1000)) == "std::vector<int, std::allocator<int> >::push_back");
  CHECK(name_of(shorter, module, frame_at(0x1000)) == "std::vector<...>::push_back");
}

TEST_CASE("a file that was replaced is not used, and that is said", "[symbol]") {
  const TemporaryDirectory directory;
  const auto module = module_at(directory.write("libx.so", library("other").symbol("wrong", 0x1000, 0x10).build()));
  symbol::NativeSymbols symbols;
  CHECK(name_of(symbols, module, frame_at(0x1000)) == "libx.so+0x1000");
  REQUIRE(symbols.remarks().size() == 1);
  CHECK(symbols.remarks()[0] ==
        module.path + " has changed since it was recorded (its build-id differs): it was not used");

  SECTION("a directory with the right file makes up for it") {
    directory.write("symbols/libx.so", library().symbol("right", 0x1000, 0x10).build());
    symbol::NativeSymbols helped{
        {.symbol_directories = {directory.path() + "/symbols"}, .shorten_templates = false, .roots = {}, .pid = 0}};
    CHECK(name_of(helped, module, frame_at(0x1000)) == "right");
  }
  SECTION("so does a file that holds only symbols, by its build-id") {
    directory.write("symbols/ab/cdef0123.debug", library().symbol("right", 0x1000, 0x10).build());
    symbol::NativeSymbols helped{
        {.symbol_directories = {directory.path() + "/symbols"}, .shorten_templates = false, .roots = {}, .pid = 0}};
    CHECK(name_of(helped, module, frame_at(0x1000)) == "right");
  }
}

TEST_CASE("a module that is gone is named by its path, and that is said", "[symbol]") {
  symbol::NativeSymbols symbols;
  CHECK(name_of(symbols, module_at("/nowhere/libx.so (deleted)"), frame_at(0x1234)) == "libx.so+0x1000");
  REQUIRE(symbols.remarks().size() == 1);
  CHECK(symbols.remarks()[0] == "/nowhere/libx.so was not found: its functions have no names");
  CHECK(name_of(symbols, module_at(""), frame_at(0x1234)) == "[unknown module]+0x1000");
}

TEST_CASE("modules of a process with another root are found there", "[symbol]") {
  const TemporaryDirectory directory;
  directory.write("opt/libx.so", library().symbol("inside", 0x1000, 0x10).build());
  symbol::NativeSymbols symbols{
      {.symbol_directories = {}, .shorten_templates = false, .roots = {directory.path()}, .pid = 0}};
  CHECK(name_of(symbols, module_at("/opt/libx.so"), frame_at(0x1000)) == "inside");
}

TEST_CASE("a debug file's symbols add to those of the module", "[symbol]") {
  const TemporaryDirectory directory;
  const auto module = module_at(directory.write("libx.so", library().symbol("PyInit_x", 0x1000, 0x10).build()));
  directory.write("symbols/ab/cdef0123.debug",
                  library().symbol("PyInit_x", 0x1000, 0x10).symbol("inner", 0x1010, 0x10).build());
  symbol::NativeSymbols symbols{
      {.symbol_directories = {directory.path() + "/symbols"}, .shorten_templates = false, .roots = {}, .pid = 0}};
  CHECK(name_of(symbols, module, frame_at(0x1000)) == "PyInit_x");
  CHECK(name_of(symbols, module, frame_at(0x1010)) == "inner");
}

TEST_CASE("code without a module is looked up in the perf map, else it is unknown", "[symbol]") {
  const TemporaryDirectory directory;
  directory.write("tmp/perf-" + std::to_string(::getpid()) + ".map", "7000 100 jitted\n");
  symbol::NativeSymbols symbols{
      {.symbol_directories = {}, .shorten_templates = false, .roots = {directory.path()}, .pid = ::getpid()}};
  CHECK(name_of(symbols, {}, frame_at(0x7000, true, 0)) == "jitted");
  CHECK(name_of(symbols, {}, frame_at(0x7000, false, 0)) == "[unknown code]");
  CHECK(name_of(symbols, {}, frame_at(0x7100, false, 0)) == "jitted");
}

TEST_CASE("the answer to the same question stays where it is", "[symbol]") {
  const TemporaryDirectory directory;
  const auto module = module_at(directory.write("libx.so", library().symbol("f", 0x1000, 0x10).build()));
  symbol::NativeSymbols symbols;
  const auto& first = symbols.find(module, frame_at(0x1004));
  for (std::uint64_t address = 0x1000; address < 0x6000; ++address) (void)symbols.find(module, frame_at(address));
  CHECK(&symbols.find(module, frame_at(0x1004)) == &first);
  CHECK(first[0].name == "f");
}

TEST_CASE("functions of this program are named, with file and line where it was built with them", "[symbol]") {
  std::string path(4096, '\0');
  path.resize(static_cast<std::size_t>(::readlink("/proc/self/exe", path.data(), path.size())));
  Dl_info info{};
  link_map* map = nullptr;
  const auto function = reinterpret_cast<const char*>(&pyagent_test_own_function);
  REQUIRE(::dladdr1(function, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0);
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(function) - map->l_addr;
  symbol::NativeSymbols symbols;
  const auto& locations = symbols.find(module_at(path, ""), frame_at(address));
  REQUIRE_FALSE(locations.empty());
  CHECK(locations.back().name == "pyagent_test_own_function");
  if (!locations.back().file.empty()) CHECK(locations.back().file.ends_with("native_symbols_test.cpp"));
}

TEST_CASE("Cython's helpers are hidden, and a wrapper beside its code", "[symbol]") {
  const symbol::NativeLocation code{.name = "m.f", .file = {}}, other{.name = "m.g", .file = {}};
  const symbol::NativeLocation wrapper{.name = "m.f", .file = {}, .is_glue = true};
  const symbol::NativeLocation helper{.name = "__Pyx_PyObject_Call", .file = {}, .is_glue = true};
  CHECK(symbol::is_hidden(wrapper, &code));
  CHECK_FALSE(symbol::is_hidden(wrapper, &other));  // its code was inlined without a trace
  CHECK_FALSE(symbol::is_hidden(wrapper, nullptr));
  CHECK_FALSE(symbol::is_hidden(code, &code));
  CHECK(symbol::is_hidden(helper, nullptr));
}

TEST_CASE("the kernel's vdso is named from our own copy of it", "[symbol]") {
  const auto start = ::getauxval(AT_SYSINFO_EHDR);
  void* const vdso = ::dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
  const void* const function = vdso == nullptr ? nullptr : ::dlsym(vdso, "__vdso_clock_gettime");
  if (start == 0 || function == nullptr) {
    WARN("skipped: no vdso, or one without clock_gettime");
    return;
  }
  symbol::NativeSymbols symbols;
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(function) - start;
  CHECK(name_of(symbols, module_at("[vdso]", ""), frame_at(address)) == "clock_gettime");
  CHECK(name_of(symbols, module_at("[vdso]", "another build"), frame_at(address)).starts_with("[vdso]+0x"));
}
