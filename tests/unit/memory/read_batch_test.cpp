// Many pieces of memory in one call, here of our own process and of a child.
#include "pyagent/memory/read_batch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/mapped_pages.hpp"

using namespace pyagent;
using memory::ReadBatch;
using pyagent::test::MappedPages;

namespace {

constexpr std::byte untouched{0xee};

/// Pieces of eight bytes each, in storage that stays where it is.
struct Pieces {
  explicit Pieces(std::size_t count) : storage(count * 8, untouched) {}
  std::span<std::byte> operator[](std::size_t i) { return std::span{storage}.subspan(i * 8, 8); }
  std::vector<std::byte> storage;
};

}  // namespace

TEST_CASE("pieces are read in the order in which they were added", "[memory]") {
  const MappedPages pages;
  ReadBatch batch;
  // The same storage three times: what was added last is what stands there.
  std::array<std::byte, 16> out{};
  for (const std::uint64_t at : {100u, 9u, 4090u})
    CHECK(batch.add(pages.begin() + at, out) == (at == 100 ? 0 : at == 9 ? 1 : 2));
  errno = 123;
  batch.run(::getpid());
  CHECK(errno == 123);
  for (std::size_t i = 0; i < 3; ++i) CHECK(!batch.has_failed(i));
  CHECK(pages.holds(pages.begin() + 4090, out));
}

TEST_CASE("a piece that can't be read does not keep the others from being read", "[memory]") {
  const MappedPages pages;
  const std::size_t failing = GENERATE(as<std::size_t>{}, 0, 1, 3, 4);
  const std::array<Address, 5> unreadable{pages.hole(), pages.hole() - 4, Address{0}, Address{~std::uint64_t{3}},
                                          Address{std::uint64_t{1} << 63}};
  const Address where = unreadable[GENERATE(0u, 1u, 2u, 3u, 4u)];
  Pieces out{5};
  ReadBatch batch;
  for (std::size_t i = 0; i < 5; ++i) batch.add(i == failing ? where : pages.begin() + 64 * i, out[i]);
  errno = 123;
  batch.run(::getpid());
  CHECK(errno == 123);
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i, failing);
    CHECK(batch.has_failed(i) == (i == failing));
    CHECK((i == failing || pages.holds(pages.begin() + 64 * i, out[i])));
  }
}

TEST_CASE("neighbours that fail, and pages that may not be read, fail one by one", "[memory]") {
  MappedPages pages;
  pages.protect_second();
  Pieces out{6};
  ReadBatch batch;
  const Address second = pages.begin() + MappedPages::page;
  for (const Address at : {second, pages.hole(), pages.begin(), second - 4, pages.begin() + 8, second + 8})
    batch.add(at, out[batch.add(at, out[5]) / 2]);
  batch.run(::getpid());
  for (std::size_t i = 0; i < 12; ++i) CHECK(batch.has_failed(i) == (i / 2 != 2 && i / 2 != 4));
  CHECK(pages.holds(pages.begin(), out[2]));
  CHECK(pages.holds(pages.begin() + 8, out[4]));
}

TEST_CASE("a batch has more pieces than one call takes, with failures at its seams", "[memory]") {
  const MappedPages pages;
  const std::size_t count = 2 * IOV_MAX + 100;
  const auto fails = [](std::size_t i) { return i == IOV_MAX - 1 || i == IOV_MAX || i == 2 * IOV_MAX + 99; };
  Pieces out{count};
  ReadBatch batch;
  for (std::size_t i = 0; i < count; ++i) batch.add(fails(i) ? pages.hole() : pages.begin() + i, out[i]);
  batch.run(::getpid());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i)
    wrong += batch.has_failed(i) != fails(i) || (!fails(i) && !pages.holds(pages.begin() + i, out[i]));
  CHECK(wrong == 0);
}

TEST_CASE("pieces without bytes succeed wherever they are", "[memory]") {
  const MappedPages pages;
  Pieces out{3};
  ReadBatch batch;
  const auto nothing = std::span{out.storage}.first(0);
  for (const Address at : {Address{0}, pages.begin(), pages.hole()}) {
    batch.add(at, nothing);
    batch.add(at, out[batch.add(at, nothing) / 3]);
  }
  batch.add(pages.hole(), nothing);
  batch.run(::getpid());
  const std::array<bool, 10> expected{false, false, true, false, false, false, false, false, true, false};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(batch.has_failed(i) == expected[i]);
  CHECK(pages.holds(pages.begin(), out[1]));
  ReadBatch empty;
  empty.add(pages.hole(), nothing);
  empty.run(::getpid());
  CHECK(!empty.has_failed(0));
}

TEST_CASE("of a process that is gone nothing is read", "[memory]") {
  const MappedPages pages;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  Pieces out{2};
  ReadBatch batch;
  batch.add(pages.begin(), out[0]);
  batch.add(pages.begin(), out[1]);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  batch.run(child);  // a zombie
  CHECK(batch.has_failed(0));
  CHECK(batch.has_failed(1));
  ::waitpid(child, nullptr, 0);
  errno = 123;
  batch.run(child);
  CHECK(errno == 123);
  CHECK(batch.has_failed(0));
  CHECK(batch.has_failed(1));
  CHECK(out.storage == Pieces{2}.storage);
}

TEST_CASE("a batch that was cleared begins anew", "[memory]") {
  const MappedPages pages;
  Pieces out{2};
  ReadBatch batch;
  batch.add(pages.hole(), out[0]);
  batch.add(pages.begin(), out[0]);
  batch.run(::getpid());
  CHECK(batch.has_failed(0));
  batch.clear();
  CHECK(batch.add(pages.begin() + 16, out[1]) == 0);
  batch.run(::getpid());
  CHECK(!batch.has_failed(0));
  CHECK(pages.holds(pages.begin() + 16, out[1]));
  batch.clear();
  batch.run(::getpid());
}
