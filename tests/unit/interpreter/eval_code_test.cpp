#include "pyagent/interpreter/eval_code.hpp"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent;

namespace {

/// A table of functions.
struct Table {
  std::vector<Elf64_Sym> symbols;
  std::string names = std::string(1, '\0');

  Table& add(const char* name, std::uint64_t value, std::uint64_t size) {
    Elf64_Sym symbol{};
    symbol.st_name = static_cast<Elf64_Word>(names.size());
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_shndx = 1;
    symbol.st_value = value;
    symbol.st_size = size;
    symbols.push_back(symbol);
    names += name;
    names += '\0';
    return *this;
  }

  std::vector<AddressRange> find(std::string_view name, std::uint64_t bias) const {
    std::vector<AddressRange> found;
    interpreter::detail::add_code({std::as_bytes(std::span{symbols}), std::as_bytes(std::span{names})}, name, bias, found);
    return found;
  }
};

}  // namespace

TEST_CASE("the eval loop's code includes what the compiler split off, and nothing that is only called alike", "[interpreter]") {
  const auto found = Table{}
                         .add("_PyEval_EvalFrameDefault", 0x1000, 0x200)
                         .add("_PyEval_EvalFrameDefault.cold", 0x9000, 0x10)
                         .add("_PyEval_EvalFrameDefaultish", 0x2000, 0x10)
                         .add("_PyEval_EvalFrame", 0x3000, 0x10)
                         .add("_PyEval_EvalFrameDefault", 0x4000, 0)
                         .find("_PyEval_EvalFrameDefault", 0x400000);
  REQUIRE(found.size() == 2);
  CHECK(found[0].begin == Address{0x401000});
  CHECK(found[0].end == Address{0x401200});
  CHECK(found[1].begin == Address{0x409000});
}
