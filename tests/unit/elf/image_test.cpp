// Image: headers, sections, symbols and notes of ELF files, sound and hostile ones; compared with readelf.
#include "pyagent/elf/image.hpp"

#include <cstdio>
#include <cstring>
#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "pyagent/elf/mapped_file.hpp"
#include "support/catch.hpp"
#include "support/elf_builder.hpp"

using namespace pyagent;
using pyagent_test::ElfBuilder;

namespace {

ElfBuilder small_library() {
  ElfBuilder builder;
  builder.symbols = {{"alpha", 0x10040, 8}, {"beta", 0x10048, 16}, {"elsewhere", 0, 0, SHN_UNDEF}};
  builder.runtime_address = 0x20000;
  return builder;
}

/// Lines that `command` prints.
std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(command.c_str(), "r"), ::pclose};
  char line[4096];
  while (std::fgets(line, sizeof line, pipe.get()) != nullptr) lines.emplace_back(line, std::strcspn(line, "\n"));
  return lines;
}

}  // namespace

TEST_CASE("an image tells what it is, and what it loads where", "[elf]") {
  ElfBuilder builder = small_library();
  const auto file = builder.build();
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  CHECK(image->is_relocatable());
  CHECK(image->machine() == EM_X86_64);
  REQUIRE(image->segments().size() == 1);
  CHECK(image->segments()[0].address == 0x10000);
  CHECK(image->segments()[0].executable);
  CHECK(image->find_offset(0x10040).value_or(0) == 0x40);
  CHECK_FALSE(image->find_offset(0xffff));
}

TEST_CASE("sections are found by name", "[elf]") {
  ElfBuilder builder = small_library();
  const auto file = builder.build();
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  REQUIRE(image->find_section(".PyRuntime") != nullptr);
  CHECK(image->find_section(".PyRuntime")->address == 0x20000);
  CHECK(image->find_section(".nothing") == nullptr);
}

TEST_CASE("symbols are found by name, with sections and without", "[elf]") {
  ElfBuilder builder = small_library();
  builder.sections = GENERATE(true, false);
  const auto file = builder.build();
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  const auto& symbols = image->dynamic_symbols();
  REQUIRE(symbols.find("beta"));
  CHECK(symbols.find("beta")->value == 0x10048);
  CHECK(symbols.find("beta")->size == 16);
  CHECK(symbols.find("beta")->binding == STB_GLOBAL);
  CHECK(symbols.find("alpha")->value == 0x10040);
  CHECK_FALSE(symbols.find("gamma"));
  CHECK_FALSE(symbols.find("elsewhere"));  // named, but not defined here
  CHECK(symbols.size() == 4);
  std::string names;
  symbols.for_each([&](const elf::Symbol& symbol) { names += std::string{symbol.name} + " "; });
  CHECK(names == "alpha beta ");
}

TEST_CASE("the build-id is found", "[elf]") {
  ElfBuilder builder;
  const auto file = builder.build();
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  REQUIRE(image->build_id().size() == 4);
  CHECK(image->build_id()[0] == std::byte{0xde});
  CHECK(image->build_id()[3] == std::byte{0xef});
}

TEST_CASE("what is not a 64-bit little-endian ELF file is refused", "[elf]") {
  auto file = small_library().build();
  CHECK(elf::Image::parse({}).error().code == Errc::wrong_type);
  ElfBuilder::poke(file, EI_CLASS, char{ELFCLASS32});
  CHECK(elf::Image::parse(file).error().code == Errc::unsupported_build);
  ElfBuilder::poke(file, EI_CLASS, char{ELFCLASS64});
  ElfBuilder::poke(file, EI_DATA, char{ELFDATA2MSB});
  CHECK(elf::Image::parse(file).error().code == Errc::unsupported_build);
  ElfBuilder::poke(file, 0, 'x');
  CHECK(elf::Image::parse(file).error().code == Errc::wrong_type);
}

TEST_CASE("headers that lead out of the file are refused", "[elf]") {
  ElfBuilder builder = small_library();
  const auto sound = builder.build();
  const auto parse_with = [&](std::uint64_t offset, auto value) {
    auto file = sound;
    ElfBuilder::poke(file, offset, value);
    return elf::Image::parse(file).error().code;
  };
  const std::uint64_t beyond = ~std::uint64_t{0} - 8;
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_phoff), beyond) == Errc::truncated);
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_phnum), std::uint16_t{0xfffe}) == Errc::too_large);
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_phentsize), std::uint16_t{8}) == Errc::damaged);
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_shoff), beyond) == Errc::truncated);
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_shnum), std::uint16_t{999}) == Errc::truncated);
  CHECK(parse_with(offsetof(Elf64_Ehdr, e_shstrndx), std::uint16_t{4}) == Errc::damaged);
  CHECK(parse_with(builder.headers + offsetof(Elf64_Phdr, p_offset), beyond) == Errc::truncated);
  CHECK(parse_with(builder.headers + offsetof(Elf64_Phdr, p_filesz), beyond) == Errc::damaged);
  CHECK(parse_with(builder.headers + offsetof(Elf64_Phdr, p_vaddr), beyond) == Errc::damaged);
}

TEST_CASE("a damaged hash table finds nothing, and comes to an end", "[elf]") {
  ElfBuilder builder = small_library();
  builder.sections = false;
  const auto sound = builder.build();
  const auto find_with = [&](std::uint64_t offset, std::uint32_t value) {
    auto file = sound;
    ElfBuilder::poke(file, builder.hash + offset, value);
    const auto image = elf::Image::parse(file);
    REQUIRE(image);
    return image->dynamic_symbols().find("beta").has_value();
  };
  CHECK(find_with(0, 1));                 // bucket count, as it was
  CHECK_FALSE(find_with(0, 0));           // no bucket
  CHECK_FALSE(find_with(0, 0xffffffff));  // more buckets than there are bytes
  CHECK_FALSE(find_with(4, 0xffffffff));  // first symbol behind the bucket
  CHECK_FALSE(find_with(8, 0xffffffff));  // bloom filter beyond the file
  CHECK_FALSE(find_with(24, 0xfffffff0)); // bucket beyond the symbols
}

TEST_CASE("every cut of a file is refused or read without its missing parts", "[elf]") {
  ElfBuilder builder = small_library();
  const auto file = builder.build();
  for (std::size_t length = 0; length < file.size(); ++length) {
    // Its own allocation: a sanitizer sees a read behind it.
    const std::vector<std::byte> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    const auto image = elf::Image::parse(cut);
    CHECK_FALSE(image);
  }
}

TEST_CASE("this program's sections and symbols are those that readelf prints", "[elf]") {
  if (lines_of("readelf --version 2>/dev/null").empty()) {
    WARN("skipped: readelf is not installed");
    return;
  }
  const auto program = elf::MappedFile::open("/proc/self/exe");
  REQUIRE(program);
  const auto image = elf::Image::parse(program->bytes());
  REQUIRE(image);
  std::string path(4096, '\0');
  path.resize(static_cast<std::size_t>(::readlink("/proc/self/exe", path.data(), path.size())));

  std::size_t sections = 0, symbols = 0;
  for (const auto& line : lines_of("readelf -SW '" + path + "'")) {
    unsigned index = 0;
    char name[256], type[64];
    unsigned long long address = 0, offset = 0, size = 0;
    if (std::sscanf(line.c_str(), " [%u] %255s %63s %llx %llx %llx", &index, name, type, &address, &offset, &size) != 6) continue;
    if (index == 0) continue;  // its columns are shifted: it has no name
    INFO(line);
    ++sections;
    REQUIRE(index < image->sections().size());
    CHECK(image->sections()[index].name == name);
    CHECK(image->sections()[index].address == address);
    CHECK(image->sections()[index].offset == offset);
    CHECK(image->sections()[index].size == size);
  }
  CHECK(sections + 1 == image->sections().size());

  for (const auto& line : lines_of("readelf --dyn-syms -W '" + path + "'")) {
    unsigned index = 0;
    unsigned long long value = 0;
    char size[32], type[32], binding[32], visibility[32], section[32], name[2048];
    if (std::sscanf(line.c_str(), " %u: %llx %31s %31s %31s %31s %31s %2047s", &index, &value, size, type, binding, visibility, section,
                    name) != 8)
      continue;
    if (std::strcmp(section, "UND") == 0) continue;
    name[std::strcspn(name, "@")] = '\0';
    INFO(line);
    ++symbols;
    const auto symbol = image->dynamic_symbols().at(index);
    REQUIRE(symbol);
    CHECK(symbol->name == name);
    CHECK(symbol->value == value);
    CHECK(symbol->size == std::strtoull(size, nullptr, 0));
    CHECK(image->dynamic_symbols().find(name));
  }
  std::size_t defined = 0;
  image->dynamic_symbols().for_each([&](const elf::Symbol&) { ++defined; });
  CHECK(defined == symbols);
}
