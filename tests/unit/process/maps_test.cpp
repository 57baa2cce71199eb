// Maps: the lines of /proc/PID/maps, odd names among them.
#include "pyagent/process/maps.hpp"

#include <cstdint>
#include <fstream>
#include <string>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace pyagent;

TEST_CASE("a mapping's line gives its range, rights, offset, device, inode and path", "[process]") {
  const auto mapping = process::parse_mapping(
      "7f4352444000-7f435259a000 r-xp 00026000 fe:10 326269                     /usr/lib/x86_64-linux-gnu/libc.so.6");
  REQUIRE(mapping);
  CHECK(mapping->range.begin.value == 0x7f4352444000);
  CHECK(mapping->range.end.value == 0x7f435259a000);
  CHECK(mapping->readable);
  CHECK_FALSE(mapping->writable);
  CHECK(mapping->executable);
  CHECK_FALSE(mapping->shared);
  CHECK(mapping->offset == 0x26000);
  CHECK(mapping->device == makedev(0xfe, 0x10));
  CHECK(mapping->inode == 326269);
  CHECK(mapping->path == "/usr/lib/x86_64-linux-gnu/libc.so.6");
  CHECK_FALSE(mapping->deleted);
}

TEST_CASE("a mapping's path may hold spaces and line breaks, and may be gone", "[process]") {
  const auto mapping = process::parse_mapping("1000-2000 rw-s 00000000 00:01 9    /tmp/a b\\012c (x) (deleted)");
  REQUIRE(mapping);
  CHECK(mapping->path == "/tmp/a b\nc (x)");
  CHECK(mapping->deleted);
  CHECK(mapping->shared);
}

TEST_CASE("a mapping without a file has no path, and is never deleted", "[process]") {
  const auto anonymous = process::parse_mapping("1000-2000 rw-p 00000000 00:00 0 ");
  REQUIRE(anonymous);
  CHECK(anonymous->path.empty());
  const auto named = process::parse_mapping("1000-2000 rw-p 00000000 00:00 0    [anon:x (deleted)]");
  REQUIRE(named);
  CHECK_FALSE(named->deleted);
}

TEST_CASE("no cut or broken line of a maps file is taken for a mapping", "[process]") {
  const std::string line = "1000-2000 r-xp 00026000 fe:00 326269 /x";
  for (std::size_t length = 0; length < line.find("326269"); ++length) CHECK_FALSE(process::parse_mapping(line.substr(0, length)));
  CHECK_FALSE(process::parse_mapping("2000-1000 r-xp 00026000 fe:00 326269 /x"));
  CHECK_FALSE(process::parse_mapping("10000000000000000-2 r-xp 00026000 fe:00 326269 /x"));
  const auto maps = process::parse_maps("1000-2000 r-xp 00000000 fe:00 1 /x\nnonsense\n");
  REQUIRE_FALSE(maps);
  CHECK(maps.error().code == Errc::damaged);
  CHECK(maps.error().where.value == 35);
}

TEST_CASE("find gives the mapping that holds an address, and none for a gap", "[process]") {
  const auto maps = process::parse_maps("1000-2000 r-xp 0 fe:00 1 /x\n3000-4000 r--p 0 fe:00 2 /y\n");
  REQUIRE(maps);
  CHECK(maps->find(Address{0xfff}) == nullptr);
  REQUIRE(maps->find(Address{0x1000}) != nullptr);
  CHECK(maps->find(Address{0x1fff})->path == "/x");
  CHECK(maps->find(Address{0x2000}) == nullptr);
  CHECK(maps->find(Address{0x3fff})->path == "/y");
  CHECK(maps->find(Address{0x4000}) == nullptr);
}

TEST_CASE("a process's own maps hold its code and its stack", "[process]") {
  const auto maps = process::read_maps(::getpid());
  REQUIRE(maps);
  int local = 0;
  const auto* const stack = maps->find(Address{reinterpret_cast<std::uintptr_t>(&local)});
  REQUIRE(stack != nullptr);
  CHECK(stack->path == "[stack]");
  const auto* const code = maps->find(Address{reinterpret_cast<std::uintptr_t>(&process::read_maps)});
  REQUIRE(code != nullptr);
  CHECK(code->executable);
  CHECK(process::read_link("/proc/self/exe").value_or({}) == code->path);
}
