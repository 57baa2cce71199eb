// open_mapped: the file behind a mapping, and no other.
#include "pyagent/process/open_mapped.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace pyagent;

namespace {

/// A file of a page with `fill` in it, mapped into this process.
struct MappedTemporary {
  explicit MappedTemporary(char fill) {
    const int file = ::mkstemp(path.data());
    REQUIRE(file >= 0);
    const std::string page(4096, fill);
    REQUIRE(::write(file, page.data(), page.size()) == 4096);
    start = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    REQUIRE(start != MAP_FAILED);
    ::close(file);
  }
  ~MappedTemporary() {
    ::munmap(start, 4096);
    ::unlink(path.c_str());
  }
  process::Mapping mapping() const {
    const auto maps = process::read_maps(::getpid());
    REQUIRE(maps);
    const auto* const found = maps->find(Address{reinterpret_cast<std::uintptr_t>(start)});
    REQUIRE(found != nullptr);
    return *found;
  }
  std::string path = "/tmp/pyagent mapped XXXXXX";
  void* start = nullptr;
};

char first_byte(const process::FileDescriptor& file) {
  char byte = 0;
  return ::pread(file.number(), &byte, 1, 0) == 1 ? byte : '?';
}

}  // namespace

TEST_CASE("open_mapped opens the file that is mapped", "[process]") {
  const MappedTemporary temporary{'a'};
  const auto file = process::open_mapped(::getpid(), temporary.mapping());
  REQUIRE(file);
  CHECK(first_byte(*file) == 'a');
}

TEST_CASE("open_mapped refuses another file that has taken the name", "[process]") {
  const MappedTemporary temporary{'a'}, other{'b'};
  const auto mapping = temporary.mapping();
  REQUIRE(::rename(other.path.c_str(), temporary.path.c_str()) == 0);
  const auto file = process::open_mapped(::getpid(), mapping);
  if (file) CHECK(first_byte(*file) == 'a');  // map_files, for the privileged
  else CHECK(file.error().code == Errc::not_found);
}

TEST_CASE("open_mapped does not wait for a fifo that has taken the name", "[process]") {
  const MappedTemporary temporary{'a'};
  const auto mapping = temporary.mapping();
  ::unlink(temporary.path.c_str());
  REQUIRE(::mkfifo(temporary.path.c_str(), 0600) == 0);
  const auto file = process::open_mapped(::getpid(), mapping);
  if (file) CHECK(first_byte(*file) == 'a');
  else CHECK(file.error().code == Errc::not_found);
}

TEST_CASE("open_mapped finds nothing for memory without a file", "[process]") {
  CHECK_FALSE(process::open_mapped(::getpid(), process::Mapping{}));
}
