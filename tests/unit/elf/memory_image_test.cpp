// read_memory_image: a file put together from memory finds the same symbols as the file.
#include "pyagent/elf/memory_image.hpp"

#include <cstdint>
#include <dlfcn.h>
#include <unistd.h>

#include "pyagent/elf/image.hpp"
#include "pyagent/elf/mapped_file.hpp"
#include "pyagent/memory/buffer_memory.hpp"
#include "pyagent/memory/remote_memory.hpp"
#include "support/catch.hpp"
#include "support/elf_builder.hpp"

using namespace pyagent;

TEST_CASE("the C library is read from memory as from its file", "[elf]") {
  Dl_info info{};
  REQUIRE(::dladdr(reinterpret_cast<void*>(&::getpid), &info) != 0);
  const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  const auto copy = elf::read_memory_image(memory::RemoteMemory{::getpid()}, Address{base});
  REQUIRE(copy);
  const auto image = elf::Image::parse(*copy);
  REQUIRE(image);
  const auto file = elf::MappedFile::open(info.dli_fname);
  REQUIRE(file);
  const auto original = elf::Image::parse(file->bytes());
  REQUIRE(original);

  CHECK(image->sections().empty());
  CHECK(image->dynamic_symbols().size() == original->dynamic_symbols().size());
  original->dynamic_symbols().for_each([&](const elf::Symbol& symbol) {
    INFO(symbol.name);
    CHECK(image->dynamic_symbols().find(symbol.name));
  });
  REQUIRE(image->dynamic_symbols().find("getpid"));
  CHECK(base + image->dynamic_symbols().find("getpid")->value == reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "getpid")));
  CHECK(image->build_id().size() == original->build_id().size());
}

TEST_CASE("an image that is no ELF file or cannot be read is refused", "[elf]") {
  pyagent_test::ElfBuilder builder;
  auto file = builder.build();
  const auto read = [&] { return elf::read_memory_image(memory::BufferMemory{Address{0x10000}, file}, Address{0x10000}); };
  CHECK(read());
  CHECK(elf::read_memory_image(memory::BufferMemory{Address{0x10000}, file}, Address{0x20000}).error().code == Errc::unreadable);
  builder.poke(file, builder.headers + offsetof(Elf64_Phdr, p_filesz), ~std::uint64_t{0});
  CHECK(read().error().code == Errc::too_large);
  builder.poke(file, builder.headers + offsetof(Elf64_Phdr, p_filesz), std::uint64_t{16});
  builder.poke(file, builder.headers + offsetof(Elf64_Phdr, p_offset), std::uint64_t{16} << 20);
  CHECK(read().error().code == Errc::damaged);  // most of it would be a gap
  builder.poke(file, offsetof(Elf64_Ehdr, e_phnum), std::uint16_t{0});
  CHECK(read().error().code == Errc::damaged);
  builder.poke(file, offsetof(Elf64_Ehdr, e_phnum), std::uint16_t{0xffff});
  CHECK(read().error().code == Errc::damaged);
  builder.poke(file, 0, 'x');
  CHECK(read().error().code == Errc::wrong_type);
}
