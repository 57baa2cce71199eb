// Our own memory: trusted, asked for, and probed page by page.
#include "pyagent/memory/local_memory.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "support/catch.hpp"
#include "support/mapped_pages.hpp"

using namespace pyagent;
using memory::LocalMemory;
using pyagent::test::MappedPages;

TEST_CASE("a guarded read answers instead of faulting, with and without process_vm_readv", "[memory]") {
  for (const bool can_read_by_call : {true, false}) {
    INFO(can_read_by_call);
    MappedPages pages;
    const LocalMemory memory{::getpid(), can_read_by_call};
    std::array<std::byte, 16> out{};
    for (const int before : {0, EFAULT, EINVAL}) {
      errno = before;
      CHECK(memory.read(pages.begin(), out) == Errc::ok);
      CHECK(pages.holds(pages.begin(), out));
      CHECK(memory.read(pages.begin() + MappedPages::page - 8, out) == Errc::ok);
      CHECK(pages.holds(pages.begin() + MappedPages::page - 8, out));
      CHECK(memory.read(pages.hole() - 16, out) == Errc::ok);
      CHECK(memory.read(pages.hole() - 15, out) == Errc::unreadable);
      CHECK(memory.read(pages.hole(), out) == Errc::unreadable);
      CHECK(errno == before);
    }
    pages.protect_second();
    CHECK(memory.read(pages.begin() + MappedPages::page - 8, out) == Errc::unreadable);
  }
}

TEST_CASE("addresses that no program has are unreadable", "[memory]") {
  for (const bool can_read_by_call : {true, false}) {
    INFO(can_read_by_call);
    const LocalMemory memory{::getpid(), can_read_by_call};
    std::array<std::byte, 16> out;
    for (const std::uint64_t nowhere : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xff8}, std::uint64_t{0x8000'0000'0000'0000},
                                        std::uint64_t{0xffff'ffff'ff60'0000}, ~std::uint64_t{0}, ~std::uint64_t{15}, ~std::uint64_t{4095}}) {
      INFO(nowhere);
      errno = 0;
      CHECK(memory.read(Address{nowhere}, out) == Errc::unreadable);
      errno = EINVAL;
      CHECK(memory.read(Address{nowhere}, out) == Errc::unreadable);
    }
  }
}

TEST_CASE("the probe changes no signal mask", "[memory]") {
  sigset_t all, before, after;
  ::sigfillset(&all);
  const MappedPages pages;
  ::sigprocmask(SIG_SETMASK, nullptr, &before);
  std::array<std::byte, 8> out;
  CHECK(LocalMemory{::getpid(), false}.read(Address{reinterpret_cast<std::uint64_t>(&all)}, out) == Errc::ok);
  ::sigprocmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < 32; ++signal) CHECK(::sigismember(&before, signal) == ::sigismember(&after, signal));
}

TEST_CASE("the kernel is not asked about what is trusted", "[memory]") {
  const MappedPages pages;
  LocalMemory memory{-1, true};  // a process that nobody is: whatever is asked for fails
  std::array<std::byte, 16> out{};
  CHECK(memory.read(pages.begin(), out) == Errc::unreadable);
  memory.trust({pages.begin(), pages.begin() + 64});
  CHECK(memory.read(pages.begin() + 48, out) == Errc::ok);
  CHECK(pages.holds(pages.begin() + 48, out));
  CHECK(memory.read(pages.begin() + 49, out) == Errc::unreadable);
  CHECK(memory.read_guarded(pages.begin(), out) == Errc::unreadable);
  memory.trust_only({pages.begin() + 128, pages.begin() + 256});
  CHECK(memory.read(pages.begin(), out) == Errc::unreadable);
  CHECK(memory.read(pages.begin() + 128, out) == Errc::ok);
}

TEST_CASE("however many ranges were trusted, the first and the newest are", "[memory]") {
  const MappedPages pages;
  LocalMemory memory{-1, true};
  std::array<std::byte, 16> out{};
  for (std::uint64_t i = 0; i < 100; ++i) {
    memory.trust({pages.begin() + 16 * i, pages.begin() + 16 * (i + 1)});
    CHECK(memory.read(pages.begin() + 16 * i, out) == Errc::ok);
    CHECK(memory.read(pages.begin(), out) == Errc::ok);
  }
}

TEST_CASE("whether process_vm_readv works on a process is found out", "[memory]") {
  CHECK(LocalMemory::probe(::getpid()));
  CHECK(!LocalMemory::probe(-1));
}
