// Another process's memory, here our own and a child's.
#include "pyagent/memory/remote_memory.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "support/catch.hpp"
#include "support/mapped_pages.hpp"

using namespace pyagent;
using memory::RemoteMemory;
using pyagent::test::MappedPages;

TEST_CASE("memory of a process is read across pages", "[memory]") {
  const MappedPages pages;
  const RemoteMemory memory{::getpid()};
  std::array<std::byte, 5000> out;
  CHECK(memory.read(pages.begin() + 10, out) == Errc::ok);
  CHECK(pages.holds(pages.begin() + 10, out));
  CHECK(memory.pid() == ::getpid());
}

TEST_CASE("what is not mapped is unreadable, and so is a piece that reaches into it", "[memory]") {
  MappedPages pages;
  const RemoteMemory memory{::getpid()};
  std::array<std::byte, 16> out;
  errno = 123;
  CHECK(memory.read(pages.hole(), out) == Errc::unreadable);
  CHECK(memory.read(pages.hole() - 8, out) == Errc::unreadable);
  CHECK(memory.read(pages.hole() - 16, out) == Errc::ok);
  for (const Address nowhere : {Address{0}, Address{8}, Address{0x8000'0000'0000'0000}, Address{~std::uint64_t{7}}})
    CHECK(memory.read(nowhere, out) == Errc::unreadable);
  CHECK(errno == 123);
  pages.protect_second();
  CHECK(memory.read(pages.begin() + MappedPages::page, out) == Errc::unreadable);
}

TEST_CASE("a child's memory is read while it lives", "[memory]") {
  const MappedPages pages;
  const pid_t child = ::fork();
  if (child == 0) {
    *reinterpret_cast<volatile unsigned char*>(pages.begin().value) = 0xab;
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  std::array<std::byte, 1> out{};
  const Errc read = RemoteMemory{child}.read(pages.begin(), out);
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  CHECK(read == Errc::ok);
  CHECK(out[0] == std::byte{0xab});
  CHECK(RemoteMemory{child}.read(pages.begin(), out) == Errc::unreadable);
}
