// Copies of what samples need of a process: here of our own memory, which changes between the reads.
#include "pyagent/memory/snapshot.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "support/catch.hpp"
#include "support/mapped_pages.hpp"

using namespace pyagent;
using memory::PlannedRange;
using memory::ReadBatch;
using memory::ReadPlan;
using memory::Snapshot;
using pyagent::test::MappedPages;

namespace {

constexpr std::uint64_t page = 4096;

/// Zeroed pages that are there as long as this lives.
class Pages {
 public:
  explicit Pages(std::size_t count) : size_(count * page) {
    bytes_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(bytes_ != MAP_FAILED);
  }
  Pages(const Pages&) = delete;
  ~Pages() { ::munmap(bytes_, size_); }

  Address at(std::uint64_t offset) const { return Address{reinterpret_cast<std::uint64_t>(bytes_)} + offset; }
  void put(std::uint64_t offset, std::uint64_t value) { std::memcpy(static_cast<char*>(bytes_) + offset, &value, 8); }
  void unmap(std::size_t number) { ::munmap(static_cast<char*>(bytes_) + number * page, page); }

 private:
  void* bytes_;
  std::size_t size_;
};

/// A snapshot and what belongs to it, from one sample to the next.
struct Sampled {
  Snapshot snapshot{memory::RemoteMemory{::getpid()}};
  ReadBatch batch;
  ReadPlan plan;

  void begin() {
    batch.clear();
    snapshot.plan(plan, batch);
    batch.run(::getpid());
    snapshot.take(batch);
  }
  std::uint64_t word(Address at) const {
    return memory::read_value<std::uint64_t>(snapshot, at).value_or(~std::uint64_t{0});
  }
  bool can_read(Address at, std::size_t size) const {
    std::vector<std::byte> out(size);
    return snapshot.read(at, out) == Errc::ok;
  }
  void learn() { snapshot.learn(plan); }
};

bool is_planned(const ReadPlan& plan, Address at, std::uint64_t size = 8) {
  return std::any_of(plan.begin(), plan.end(), [&](const PlannedRange& part) { return part.range.contains(at, size); });
}

}  // namespace

TEST_CASE("what was planned is fetched with the batch, and not again", "[memory]") {
  Pages pages{4};
  pages.put(128, 1);
  pages.put(2 * page, 2);
  Sampled sampled;
  sampled.plan = {{{pages.at(64), pages.at(192)}}, {{pages.at(2 * page), pages.at(2 * page + 64)}}};
  sampled.begin();
  pages.put(128, 11);
  pages.put(2 * page, 12);
  CHECK(sampled.word(pages.at(128)) == 1);
  CHECK(sampled.word(pages.at(2 * page)) == 2);
  CHECK(sampled.word(pages.at(184)) == 0);
  sampled.begin();
  CHECK(sampled.word(pages.at(128)) == 11);
}

TEST_CASE("several snapshots share a batch", "[memory]") {
  Pages pages{2};
  pages.put(0, 1);
  pages.put(page, 2);
  Snapshot first{memory::RemoteMemory{::getpid()}}, second{memory::RemoteMemory{::getpid()}};
  ReadBatch batch;
  std::array<std::byte, 8> before;
  batch.add(Address{8}, before);  // fails, and is nobody's
  first.plan({{{pages.at(0), pages.at(64)}}}, batch);
  second.plan({{{Address{64}, Address{128}}}, {{pages.at(page), pages.at(page + 64)}}}, batch);
  batch.run(::getpid());
  first.take(batch);
  second.take(batch);
  pages.put(0, 11);
  pages.put(page, 12);
  CHECK(*memory::read_value<std::uint64_t>(first, pages.at(0)) == 1);
  CHECK(*memory::read_value<std::uint64_t>(second, pages.at(page)) == 2);
  CHECK(!memory::read_value<std::uint64_t>(second, Address{64}));
}

TEST_CASE("what was not planned is fetched once, with what lies beside it", "[memory]") {
  Pages pages{1};
  pages.put(72, 1);
  pages.put(64, 2);
  Sampled sampled;
  sampled.begin();
  CHECK(sampled.word(pages.at(72)) == 1);
  pages.put(72, 11);
  pages.put(64, 12);
  CHECK(sampled.word(pages.at(72)) == 1);
  CHECK(sampled.word(pages.at(64)) == 2);
  pages.put(0, 3);
  CHECK(sampled.word(pages.at(0)) == 3);  // another block
}

TEST_CASE("what is read twice is the same twice, and what is longer is of one moment", "[memory]") {
  Pages pages{1};
  for (const std::uint64_t at : {64u, 128u, 192u}) pages.put(at, 1);
  Sampled sampled;
  if (GENERATE(false, true)) sampled.plan = {{{pages.at(64), pages.at(128)}}};
  sampled.begin();
  CHECK(sampled.word(pages.at(64)) == 1);
  CHECK(sampled.word(pages.at(192)) == 1);
  for (int i = 2; i < 4; ++i) {
    for (const std::uint64_t at : {64u, 128u, 192u}) pages.put(at, static_cast<std::uint64_t>(i));
    std::array<std::uint64_t, 24> words{};
    REQUIRE(sampled.snapshot.read(pages.at(64), std::as_writable_bytes(std::span{words})) == Errc::ok);
    for (const std::size_t word : {0u, 8u, 16u}) CHECK(words[word] == 2);
  }
}

TEST_CASE("what is covered is fetched as a whole at that moment", "[memory]") {
  Pages pages{2};
  pages.put(page - 8, 1);
  pages.put(page + 320, 2);
  Sampled sampled;
  sampled.begin();
  sampled.snapshot.cover({pages.at(512), pages.at(page + 328)});
  pages.put(page - 8, 11);
  pages.put(page + 320, 12);
  CHECK(sampled.word(pages.at(page - 8)) == 1);
  CHECK(sampled.word(pages.at(page + 320)) == 2);
  sampled.learn();
  REQUIRE(sampled.plan.size() == 1);
  CHECK(sampled.plan[0].range.size() == page - 512 + 384);
  sampled.snapshot.cover({pages.at(0), {~std::uint64_t{0}}});  // backwards, or of no size at all: nothing happens
  sampled.snapshot.cover({pages.at(page), pages.at(0)});
  sampled.snapshot.cover({});
  CHECK(sampled.word(pages.at(page - 8)) == 1);
}

TEST_CASE("what was read lately is planned for next time, and forgotten when it is of no use", "[memory]") {
  Pages pages{8};
  Sampled sampled;
  sampled.begin();
  CHECK(sampled.word(pages.at(5 * page)) == 0);
  CHECK(sampled.word(pages.at(0)) == 0);
  sampled.learn();
  REQUIRE(sampled.plan.size() == 2);
  CHECK(sampled.plan[0].range.begin == pages.at(0));
  CHECK(sampled.plan[0].range.size() == 64);
  CHECK(sampled.plan[1].range.begin == pages.at(5 * page));
  int samples = 0;
  for (; is_planned(sampled.plan, pages.at(5 * page)) && samples < 1000; ++samples) {
    sampled.begin();
    CHECK(sampled.word(pages.at(0)) == 0);
    sampled.learn();
  }
  CHECK(samples > 10);
  CHECK(samples < 100);
  CHECK(is_planned(sampled.plan, pages.at(0)));
  CHECK(sampled.plan[0].age == 0);
}

TEST_CASE("a plan that was right stays as it is", "[memory]") {
  Pages pages{8};
  Sampled sampled;
  sampled.begin();
  for (const std::uint64_t at : {0u, 3u, 6u}) CHECK(sampled.word(pages.at(at * page)) == 0);
  sampled.learn();
  const PlannedRange* const where = sampled.plan.data();
  for (int i = 0; i < 3; ++i) {
    sampled.begin();
    for (const std::uint64_t at : {6u, 0u, 3u}) CHECK(sampled.word(pages.at(at * page)) == 0);
    sampled.learn();
  }
  CHECK(sampled.plan.size() == 3);
  CHECK(sampled.plan.data() == where);
  for (const PlannedRange& part : sampled.plan) CHECK(part.age == 0);
}

TEST_CASE("neighbours are joined, but never over a page that may not be there", "[memory]") {
  Pages pages{8};
  Sampled sampled;
  sampled.begin();
  CHECK(sampled.word(pages.at(page + 256)) == 0);  // same page as the next
  CHECK(sampled.word(pages.at(page + 1024)) == 0);
  CHECK(sampled.word(pages.at(2 * page + 4000)) == 0);  // next page
  CHECK(sampled.word(pages.at(4 * page)) == 0);         // page 3 lies between
  sampled.learn();
  REQUIRE(sampled.plan.size() == 2);
  CHECK(sampled.plan[0].range.begin == pages.at(page + 256));
  CHECK(sampled.plan[0].range.end == pages.at(2 * page + 4032));
  CHECK(sampled.plan[1].range.begin == pages.at(4 * page));
  // In order and apart, as the search needs it.
  sampled.begin();
  CHECK(sampled.word(pages.at(6 * page)) == 0);
  CHECK(sampled.word(pages.at(0)) == 0);
  sampled.learn();
  for (std::size_t i = 1; i < sampled.plan.size(); ++i)
    CHECK(sampled.plan[i - 1].range.end < sampled.plan[i].range.begin);
  CHECK(is_planned(sampled.plan, pages.at(0)));
  CHECK(is_planned(sampled.plan, pages.at(6 * page)));
}

TEST_CASE("of two joined parts the younger one's age counts", "[memory]") {
  Pages pages{4};
  Sampled sampled;
  sampled.plan = {{{pages.at(0), pages.at(64)}, 20}};
  sampled.begin();
  CHECK(sampled.word(pages.at(128)) == 0);
  sampled.learn();
  REQUIRE(sampled.plan.size() == 1);
  CHECK(sampled.plan[0].age == 0);
  sampled.begin();
  sampled.learn();
  CHECK(sampled.plan[0].age == 1);
}

TEST_CASE("a page that disappears costs what was planned with it, once", "[memory]") {
  Pages pages{4};
  pages.put(0, 1);
  Sampled sampled;
  sampled.begin();
  CHECK(sampled.word(pages.at(0)) == 1);
  CHECK(sampled.word(pages.at(page)) == 0);
  sampled.learn();
  REQUIRE(sampled.plan.size() == 1);
  pages.unmap(1);
  sampled.begin();
  CHECK(sampled.word(pages.at(0)) == 1);
  CHECK(!sampled.can_read(pages.at(page), 8));
  CHECK(!sampled.can_read(pages.at(page - 4), 8));
  sampled.learn();
  REQUIRE(sampled.plan.size() == 1);
  CHECK(sampled.plan[0].range.end == pages.at(64));
  sampled.begin();
  pages.put(0, 2);
  CHECK(sampled.word(pages.at(0)) == 1);  // fetched with the batch again
}

TEST_CASE("planned memory that can't be read any more leaves the plan", "[memory]") {
  Pages pages{4};
  Sampled sampled;
  sampled.plan = {{{pages.at(0), pages.at(64)}}, {{pages.at(3 * page), pages.at(3 * page + 64)}}};
  pages.unmap(3);
  sampled.begin();
  CHECK(sampled.word(pages.at(0)) == 0);
  sampled.learn();
  REQUIRE(sampled.plan.size() == 1);
  CHECK(sampled.plan[0].range.begin == pages.at(0));
}

TEST_CASE("addresses that can't be are unreadable", "[memory]") {
  Sampled sampled;
  sampled.begin();
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{1} << 47, std::uint64_t{1} << 63, ~std::uint64_t{0} - 63,
        ~std::uint64_t{0} - 64, ~std::uint64_t{0} - 7, ~std::uint64_t{0} - 3, ~std::uint64_t{0}}) {
    CAPTURE(at);
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{8}, std::size_t{63}, std::size_t{64}, std::size_t{512}, Snapshot::capacity})
      CHECK(!sampled.can_read(Address{at}, size));
    sampled.snapshot.cover({Address{at}, Address{at} + 4096});
  }
  sampled.learn();
  CHECK(sampled.plan.empty());
}

TEST_CASE("reads of nothing do not spoil the plan", "[memory]") {
  Pages pages{4};
  Sampled sampled;
  const Address where{GENERATE(std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{1} << 47)};
  for (int i = 0; i < 3; ++i) {
    sampled.begin();
    for (const Address at : {where, pages.at(0), pages.at(4 * page), Address{~std::uint64_t{0}}})
      (void)sampled.can_read(at, 0);
    CHECK(sampled.word(pages.at(64)) == 0);
    CHECK(sampled.word(pages.at(3 * page)) == 0);
    sampled.learn();
  }
  pages.put(64, 1);
  pages.put(3 * page, 2);
  sampled.begin();
  pages.put(64, 11);
  pages.put(3 * page, 12);
  CHECK(sampled.word(pages.at(64)) == 1);
  CHECK(sampled.word(pages.at(3 * page)) == 2);
  for (const PlannedRange& part : sampled.plan) CHECK(part.range.size() <= page);
}

TEST_CASE("a snapshot holds no more than it may, and what goes beyond is unreadable", "[memory]") {
  Pages pages{Snapshot::capacity / page + 8};
  Sampled sampled;
  sampled.begin();
  CHECK(sampled.can_read(pages.at(64), Snapshot::capacity - 128));
  CHECK(sampled.can_read(pages.at(0), 64));
  CHECK(sampled.can_read(pages.at(Snapshot::capacity), 64));
  CHECK(!sampled.can_read(pages.at(Snapshot::capacity + 64), 64));
  CHECK(sampled.can_read(pages.at(Snapshot::capacity - 128), 64));  // held
  Sampled other;
  other.begin();
  CHECK(!other.can_read(pages.at(8), Snapshot::capacity));  // blocks make it larger
  CHECK(other.can_read(pages.at(0), Snapshot::capacity));
}

TEST_CASE("a plan that grew beyond the capacity gives way to a smaller one", "[memory]") {
  // Each second page: joined with what lies between, they take twice the capacity.
  const std::size_t count = Snapshot::capacity / page;
  Pages pages{2 * count};
  Sampled sampled;
  for (int i = 0; i < 3; ++i) {
    sampled.begin();
    std::size_t unread = 0;
    for (std::size_t n = 0; n < count; ++n)
      unread += sampled.word(pages.at(2 * n * page + (n % 2 == 0 ? page - 64 : 0))) != 0;
    for (std::size_t n = 0; n < 2 * count; ++n) unread += sampled.word(pages.at(n * page)) != 0;
    CHECK(unread < count);
    sampled.learn();
  }
  // Now the program is at one place only, and that has to come with the batch.
  for (int i = 0; i < 3; ++i) {
    sampled.begin();
    CHECK(sampled.word(pages.at(64)) == 0);
    sampled.learn();
  }
  pages.put(64, 1);
  sampled.begin();
  pages.put(64, 2);
  CHECK(sampled.word(pages.at(64)) == 1);
  std::uint64_t planned = 0;
  for (const PlannedRange& part : sampled.plan) planned += part.range.size();
  CHECK(planned <= Snapshot::capacity);
}

TEST_CASE("a snapshot that was cleared holds nothing and can be read through", "[memory]") {
  Pages pages{1};
  Sampled sampled;
  sampled.plan = {{{pages.at(0), pages.at(64)}}};
  sampled.begin();
  CHECK(sampled.word(pages.at(0)) == 0);
  sampled.snapshot.clear();
  pages.put(0, 1);
  CHECK(sampled.word(pages.at(0)) == 1);
}
