// find_rule and find_function: through .eh_frame_hdr's table, without one, and in this very process.
#include "pyagent/dwarf/find_rule.hpp"

#include <dlfcn.h>
#include <link.h>

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/cfi_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::Bytes;
using pyagent_test::bytes_of;
using pyagent_test::CfiBuilder;
using unwind::CfaRule;
using unwind::UnwindRule;

namespace {

constexpr std::uint64_t header_address = 0x800;

/// Three functions, not in order: [0x6000, 0x6010), [0x5000, 0x5020) with two rules, [0x7000, 0x7001).
struct ThreeFunctions {
  CfiBuilder builder;
  Bytes header;

  ThreeFunctions() {
    const auto cie = builder.add_cie(bytes_of(0x0c, 7, 8, 0x90, 1));
    builder.add_fde(cie, 0x6000, 0x10, bytes_of(0x0e, 24));
    builder.add_fde(cie, 0x5000, 0x20, bytes_of(0x44, 0x0e, 16));
    builder.add_fde(cie, 0x7000, 1, bytes_of(0x07, 16));
    builder.add_terminator();
    header = builder.header(header_address);
  }

  EhFrame eh_frame(bool has_header = true) const {
    EhFrame found;
    found.section.bytes = builder.bytes;
    found.section.address = builder.address;
    if (has_header) found.header = header;
    found.header_address = header_address;
    return found;
  }
};

int cfa_offset(const EhFrame& eh_frame, std::uint64_t address) {
  const auto rule = find_rule(eh_frame, address);
  REQUIRE(rule);
  return rule->cfa == CfaRule::offset ? rule->cfa_offset : -1;
}

}  // namespace

TEST_CASE("the rule at an address is found, with the header's table and without", "[dwarf]") {
  const ThreeFunctions functions;
  for (const bool has_header : {true, false}) {
    const EhFrame eh_frame = functions.eh_frame(has_header);
    CHECK(cfa_offset(eh_frame, 0x5000) == 8);
    CHECK(cfa_offset(eh_frame, 0x5003) == 8);
    CHECK(cfa_offset(eh_frame, 0x5004) == 16);
    CHECK(cfa_offset(eh_frame, 0x501f) == 16);
    CHECK(cfa_offset(eh_frame, 0x6000) == 24);
    CHECK(cfa_offset(eh_frame, 0x600f) == 24);
    CHECK(find_rule(eh_frame, 0x7000)->cfa == CfaRule::end);
    for (const std::uint64_t gap : {0x0u, 0x4fffu, 0x5020u, 0x5fffu, 0x6010u, 0x7001u, 0x7fffffffu})
      CHECK(find_rule(eh_frame, gap).value_or({.cfa = CfaRule::end}) == UnwindRule{});
    CHECK(find_function(eh_frame, 0x5010).value_or({}) == FunctionRange{0x5000, 0x5020});
    CHECK(find_function(eh_frame, 0x6010).error().code == Errc::not_found);
  }
}

TEST_CASE("a function of no size does not hide the next one at its address", "[dwarf]") {
  ThreeFunctions functions;
  CfiBuilder& builder = functions.builder;
  const auto cie = builder.add_cie(bytes_of(0x0c, 7, 32, 0x90, 1));
  builder.add_fde(cie, 0x6000, 0, {});
  builder.add_fde(cie, 0x6000, 0, {});
  functions.header = builder.header(header_address);
  CHECK(cfa_offset(functions.eh_frame(), 0x6000) == 24);
}

// LLD: of the entries for 0x5800 only the first is in the table.
TEST_CASE("a function that the table leaves out behind one of no size is found in the section", "[dwarf]") {
  CfiBuilder builder;
  const auto cie = builder.add_cie(bytes_of(0x0c, 7, 8, 0x90, 1));
  builder.add_fde(cie, 0x5800, 0, {});
  const auto hidden = builder.functions.size();
  builder.add_fde(cie, 0x5800, 0x10, bytes_of(0x0e, 40));
  builder.add_fde(cie, 0x5900, 0x10, bytes_of(0x0e, 48));
  builder.functions.erase(builder.functions.begin() + static_cast<std::ptrdiff_t>(hidden));
  const Bytes header = builder.header(header_address);
  EhFrame eh_frame;
  eh_frame.section.bytes = builder.bytes;
  eh_frame.section.address = builder.address;
  eh_frame.header = header;
  eh_frame.header_address = header_address;
  CHECK(cfa_offset(eh_frame, 0x5800) == 40);
  CHECK(cfa_offset(eh_frame, 0x580f) == 40);
  CHECK(find_function(eh_frame, 0x5800).value_or({}) == FunctionRange{0x5800, 0x5810});
  CHECK(cfa_offset(eh_frame, 0x5810) == -1);
  CHECK(cfa_offset(eh_frame, 0x5900) == 48);
}

TEST_CASE("a header of another form is not used", "[dwarf]") {
  const ThreeFunctions functions;
  const auto with = [&](std::size_t at, int value) {
    Bytes header = functions.header;
    header[at] = static_cast<std::byte>(value);
    EhFrame eh_frame = functions.eh_frame();
    eh_frame.header = header;
    const int found = cfa_offset(eh_frame, 0x5004);  // entry by entry
    eh_frame.has_exact_size = false;
    CHECK(find_function(eh_frame, 0x5004).error().code == Errc::not_found);  // and not beyond the section's end
    return found;
  };
  CHECK(with(0, 2) == 16);      // version
  CHECK(with(1, 0x9b) == 16);   // indirect
  CHECK(with(2, 0xff) == 16);   // no count
  CHECK(with(3, 0xff) == 16);   // no table
  CHECK(with(3, 0x3c) == 16);   // a table of 8-byte numbers
  CHECK(with(11, 0x7f) == 16);  // more entries than there is room for
}

TEST_CASE("a table that leads astray gives an error or nothing", "[dwarf]") {
  const ThreeFunctions functions;
  Bytes header = functions.header;
  const auto fde_to = [&](std::uint32_t value) {
    std::memcpy(header.data() + 12 + 4, &value, sizeof value);
    EhFrame eh_frame = functions.eh_frame();
    eh_frame.header = header;
    return find_rule(eh_frame, 0x5004);
  };
  CHECK(fde_to(0x7fffffff).error().code == Errc::damaged);
  CHECK(fde_to(0x80000000).error().code == Errc::damaged);
  CHECK(fde_to(static_cast<std::uint32_t>(functions.builder.address - header_address)).error().code ==
        Errc::damaged);                                               // a CIE
  const std::uint64_t other = functions.builder.functions[0].second;  // the function at 0x6000
  CHECK(fde_to(static_cast<std::uint32_t>(other - header_address)).value_or({.cfa = CfaRule::end}) == UnwindRule{});
}

TEST_CASE("a section or a header that ends anywhere does no harm", "[dwarf]") {
  const ThreeFunctions functions;
  const auto first = [](const Bytes& bytes, std::size_t size) {
    return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  };
  for (std::size_t size = 0; size < functions.builder.bytes.size(); ++size) {
    const Bytes cut = first(functions.builder.bytes, size);
    for (const bool has_header : {true, false}) {
      EhFrame eh_frame = functions.eh_frame(has_header);
      eh_frame.section.bytes = cut;
      const bool has_entry = size >= functions.builder.functions[2].second - functions.builder.address;
      CHECK((find_rule(eh_frame, 0x5004).value_or({}).cfa == CfaRule::offset) == has_entry);
    }
  }
  for (std::size_t size = 0; size < functions.header.size(); ++size) {
    const Bytes cut = first(functions.header, size);
    EhFrame eh_frame = functions.eh_frame();
    eh_frame.header = cut;
    CHECK(cfa_offset(eh_frame, 0x5004) == 16);
  }
}

namespace {

/// What a program sees of its own modules, as glibc's _dl_find_object would say.
struct OwnModule {
  std::span<const std::byte> mapped;
  const void* header = nullptr;
};

OwnModule own_module(const void* code) {
  struct Search {
    std::uint64_t address;
    OwnModule found;
  } search{reinterpret_cast<std::uint64_t>(code), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        Search& wanted = *static_cast<Search*>(data);
        std::uint64_t low = ~std::uint64_t{0}, high = 0, header = 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type == PT_GNU_EH_FRAME) header = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type != PT_LOAD) continue;
          low = std::min<std::uint64_t>(low, info->dlpi_addr + segment.p_vaddr);
          high = std::max<std::uint64_t>(high, info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
        }
        if (wanted.address < low || wanted.address >= high) return 0;
        wanted.found = {{reinterpret_cast<const std::byte*>(low), high - low}, reinterpret_cast<const void*>(header)};
        return 1;
      },
      &search);
  return search.found;
}

/// Where libgcc's unwinder says that the function at `address` begins.
std::uint64_t start_by_libgcc(std::uint64_t address) {
  struct {
    void *text, *data, *function;
  } bases{};
  using Find = const void* (*)(void*, void*);
  const auto find = reinterpret_cast<Find>(::dlsym(RTLD_DEFAULT, "_Unwind_Find_FDE"));
  REQUIRE(find != nullptr);
  return find(reinterpret_cast<void*>(address), &bases) == nullptr ? 0
                                                                   : reinterpret_cast<std::uint64_t>(bases.function);
}

}  // namespace

TEST_CASE("functions of mapped libraries begin where libgcc's unwinder says", "[dwarf]") {
  for (const char* name : {"malloc", "qsort", "_ZNSt6localeC1Ev", "_Unwind_RaiseException"}) {
    const void* const function = ::dlsym(RTLD_DEFAULT, name);
    REQUIRE(function != nullptr);
    const OwnModule module = own_module(function);
    REQUIRE_FALSE(module.mapped.empty());
    const auto eh_frame = view_mapped_eh_frame(module.mapped, module.header, EM_X86_64);
    REQUIRE(eh_frame);
    std::size_t known = 0;
    for (std::uint64_t address = reinterpret_cast<std::uint64_t>(function), end = address + 4096; address < end;
         ++address) {
      const auto found = find_function(*eh_frame, address);
      CHECK((found ? found->start : 0) == start_by_libgcc(address));
      const auto rule = find_rule(*eh_frame, address);
      REQUIRE(rule);
      CHECK((rule->cfa != CfaRule::unknown) == static_cast<bool>(found));
      known += static_cast<bool>(found);
    }
    CHECK(known > 1000);
    CHECK(find_rule(*eh_frame, reinterpret_cast<std::uint64_t>(function))->cfa_offset == 8);  // a function's entry
  }
}

TEST_CASE("a mapped header outside of its module, or without a table, is refused", "[dwarf]") {
  const void* const function = ::dlsym(RTLD_DEFAULT, "malloc");
  const OwnModule module = own_module(function);
  CHECK(view_mapped_eh_frame(module.mapped, nullptr, EM_X86_64).error().code == Errc::damaged);
  CHECK(view_mapped_eh_frame(module.mapped, &module, EM_X86_64).error().code == Errc::damaged);
  const ThreeFunctions functions;
  Bytes header = functions.header;
  CHECK(view_mapped_eh_frame(header, header.data(), EM_X86_64).error().code ==
        Errc::damaged);  // .eh_frame is elsewhere
  header[3] = std::byte{0xff};
  CHECK(view_mapped_eh_frame(header, header.data(), EM_X86_64).error().code == Errc::not_found);
}
