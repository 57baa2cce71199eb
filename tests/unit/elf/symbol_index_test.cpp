// SymbolIndex: extents of functions, gaps between them, aliases; this program's compared with readelf.
#include "pyagent/elf/symbol_index.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "pyagent/elf/image_file.hpp"
#include "support/catch.hpp"
#include "support/section_file.hpp"

using namespace pyagent;
using pyagent_test::SectionFile;

namespace {

/// A file and the index of its symbols.
class Indexed {
 public:
  explicit Indexed(const SectionFile& file) : bytes_(pyagent_test::bytes_of(file.build())) {
    image_ = *elf::Image::parse(bytes_);
    const elf::Image* const image = &image_;
    index_ = elf::SymbolIndex{{&image, 1}};
  }
  std::string name(std::uint64_t address) const {
    const auto symbol = index_.find(address);
    return symbol ? std::string{symbol->name} : "-";
  }
  const elf::SymbolIndex& index() const { return index_; }

 private:
  std::vector<std::byte> bytes_;
  elf::Image image_;
  elf::SymbolIndex index_;
};

}  // namespace

TEST_CASE("a symbol reaches as far as its size, and no further", "[elf]") {
  const Indexed file{SectionFile{}.text(0x1000, 0x100).symbol("first", 0x1000, 0x10).symbol("second", 0x1020, 0x10)};
  CHECK(file.name(0xfff) == "-");
  CHECK(file.name(0x1000) == "first");
  CHECK(file.name(0x100f) == "first");
  CHECK(file.name(0x1010) == "-");
  CHECK(file.name(0x101f) == "-");
  CHECK(file.name(0x1020) == "second");
  CHECK(file.name(0x102f) == "second");
  CHECK(file.name(0x1030) == "-");
}

TEST_CASE("of nested symbols the innermost is found, and the outer one behind it", "[elf]") {
  const Indexed file{SectionFile{}.text(0x1000, 0x100).symbol("outer", 0x1000, 0x80).symbol("inner", 0x1020, 0x10)};
  CHECK(file.name(0x101f) == "outer");
  CHECK(file.name(0x1020) == "inner");
  CHECK(file.name(0x1030) == "outer");
  CHECK(file.name(0x107f) == "outer");
}

TEST_CASE("a symbol without size reaches to the next symbol or the end of its section", "[elf]") {
  const Indexed file{SectionFile{}
                         .text(0x1000, 0x40)
                         .text(0x2000, 0x40, ".text.more")
                         .symbol("start", 0x1000, 0)
                         .symbol("sized", 0x1010, 8)
                         .symbol("inside", 0x1014, 0)
                         .symbol("last", 0x1030, 0)
                         .symbol("other", 0x2010, 0, STT_FUNC, STB_LOCAL, 2)};
  CHECK(file.name(0x100f) == "start");
  CHECK(file.name(0x1014) == "sized");  // a label in a function is no function
  CHECK(file.name(0x1018) == "-");
  CHECK(file.name(0x103f) == "last");
  CHECK(file.name(0x1040) == "-");
  CHECK(file.name(0x200f) == "-");
  CHECK(file.name(0x203f) == "other");
  CHECK(file.index().find(0x103f)->is_open_ended);
  CHECK_FALSE(file.index().find(0x1010)->is_open_ended);
}

TEST_CASE("only what is code is a function", "[elf]") {
  const Indexed file{SectionFile{}
                         .text(0x1000, 0x100)
                         .section(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0x3000, std::string(64, 'x'))
                         .symbol("variable", 0x1000, 8, STT_OBJECT)
                         .symbol("data", 0x3000, 8, STT_NOTYPE, STB_GLOBAL, 2)
                         .symbol("$x", 0x1010, 0, STT_NOTYPE, STB_GLOBAL)
                         .symbol("$d.7", 0x1018, 0, STT_NOTYPE, STB_GLOBAL)
                         .symbol(".Llocal", 0x1020, 0, STT_NOTYPE, STB_LOCAL)
                         .symbol("constant", 0x1028, 8, STT_FUNC, STB_GLOBAL, SHN_ABS)
                         .symbol("assembler", 0x1030, 8, STT_NOTYPE, STB_LOCAL)
                         .symbol("chosen_at_start", 0x1040, 8, STT_GNU_IFUNC)};
  for (const std::uint64_t address : {0x1000u, 0x1010u, 0x1018u, 0x1020u, 0x1028u, 0x3000u})
    CHECK(file.name(address) == "-");
  CHECK(file.name(0x1030) == "assembler");
  CHECK(file.name(0x1044) == "chosen_at_start");
}

TEST_CASE("of several names for one function the best known one is shown", "[elf]") {
  const Indexed file{SectionFile{}
                         .text(0x1000, 0x100)
                         .symbol("__libc_read", 0x1000, 8, STT_FUNC, STB_GLOBAL)
                         .symbol("__read", 0x1000, 8, STT_FUNC, STB_GLOBAL)
                         .symbol("read", 0x1000, 8, STT_FUNC, STB_WEAK)
                         .symbol("local_one", 0x1010, 8, STT_FUNC, STB_LOCAL)
                         .symbol("weak_one", 0x1010, 8, STT_FUNC, STB_WEAK)
                         .symbol("a.constprop.0", 0x1020, 8, STT_FUNC, STB_LOCAL)
                         .symbol("b", 0x1020, 8, STT_FUNC, STB_LOCAL)
                         .symbol("_ZN1AC2Ev", 0x1030, 8)
                         .symbol("_ZN1AC1Ev", 0x1030, 8)
                         .symbol("label", 0x1040, 8, STT_NOTYPE)
                         .symbol("_typed", 0x1040, 8)
                         .symbol("memcpy@@GLIBC_2.14", 0x1050, 8)};
  CHECK(file.name(0x1000) == "read");
  CHECK(file.name(0x1010) == "weak_one");
  CHECK(file.name(0x1020) == "b");
  CHECK(file.name(0x1030) == "_ZN1AC1Ev");
  CHECK(file.name(0x1040) == "_typed");
  CHECK(file.name(0x1050) == "memcpy");
}

TEST_CASE("sizes that lead out of the section are cut at its end", "[elf]") {
  const Indexed file{SectionFile{}
                         .text(0x1000, 0x100)
                         .symbol("endless", 0x1080, ~std::uint64_t{0})
                         .symbol("elsewhere", 0x5000, 16)
                         .symbol("wraps", ~std::uint64_t{0} - 4, 16)
                         .symbol("no_such_section", 0x1000, 16, STT_FUNC, STB_GLOBAL, 999)};
  CHECK(file.name(0x10ff) == "endless");
  CHECK(file.name(0x1100) == "-");
  CHECK(file.name(0x5000) == "-");
  CHECK(file.name(~std::uint64_t{0} - 2) == "-");
  CHECK(file.name(0x1000) == "no_such_section");  // as in a file without section headers: the segment holds it
}

TEST_CASE("this program's functions are found at each of their bytes' ends, and nothing between them", "[elf]") {
  std::string path(4096, '\0');
  path.resize(static_cast<std::size_t>(::readlink("/proc/self/exe", path.data(), path.size())));
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(("readelf -sW '" + path + "' 2>/dev/null").c_str(), "r"),
                                                   ::pclose};
  struct Extent {
    std::uint64_t size = 0;
    std::set<std::string> names;
  };
  std::map<std::uint64_t, Extent> functions;
  char line[16384];
  while (std::fgets(line, sizeof line, pipe.get()) != nullptr) {
    unsigned index = 0;
    unsigned long long value = 0;
    char size[32], type[32], binding[32], visibility[32], section[32], name[8192];
    if (std::sscanf(line, " %u: %llx %31s %31s %31s %31s %31s %8191s", &index, &value, size, type, binding, visibility,
                    section, name) != 8)
      continue;
    if (std::strcmp(section, "UND") == 0 || (std::strcmp(type, "FUNC") != 0 && std::strcmp(type, "IFUNC") != 0))
      continue;
    name[std::strcspn(name, "@")] = '\0';
    Extent& extent = functions[value];
    extent.size = std::max<std::uint64_t>(extent.size, std::strtoull(size, nullptr, 0));
    extent.names.insert(name);
  }
  if (functions.empty()) {
    WARN("skipped: readelf is not installed");
    return;
  }
  const auto program = elf::ImageFile::open(path);
  REQUIRE(program);
  const elf::Image* const image = &program->image();
  const elf::SymbolIndex index{{&image, 1}};
  std::size_t wrong = 0, gaps = 0;
  std::uint64_t covered = 0;
  for (auto at = functions.begin(); at != functions.end(); ++at) {
    const auto& [start, extent] = *at;
    const std::uint64_t end = start + extent.size;
    const auto next = std::next(at);
    if (extent.size == 0 || start < covered || (next != functions.end() && next->first < end))
      continue;  // nested, or assembler's
    for (const std::uint64_t address : {start, start + extent.size / 2, end - 1}) {
      const auto symbol = index.find(address);
      if (!symbol || !extent.names.contains(std::string{symbol->name}) || symbol->start != start || symbol->end != end)
        ++wrong;
    }
    covered = end;
    if (next == functions.end() || next->first == end) continue;
    ++gaps;
    if (const auto symbol = index.find(end); symbol && !symbol->is_open_ended) ++wrong;
  }
  CHECK(functions.size() > 100);
  CHECK(gaps > 10);
  CHECK(wrong == 0);
}
