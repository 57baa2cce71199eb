// Which code objects were recorded, asked from many threads.
#include "pyagent/recording/code_table.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using pyagent::Address;
using pyagent::recording::CodeTable;

TEST_CASE("a code object is found by its address and identity", "[recording]") {
  const auto table = std::make_unique<CodeTable>();
  CHECK(table->find(Address{0x1000}, 7) == 0);
  table->insert(Address{0x1000}, 7, 1);
  table->insert(Address{0x2000}, 7, 2);
  CHECK(table->find(Address{0x1000}, 7) == 1);
  CHECK(table->find(Address{0x2000}, 7) == 2);
  CHECK(table->find(Address{0x3000}, 7) == 0);
}

TEST_CASE("another code object at the same address is another one, and takes its place", "[recording]") {
  const auto table = std::make_unique<CodeTable>();
  table->insert(Address{0x1000}, 7, 1);
  CHECK(table->find(Address{0x1000}, 8) == 0);
  table->insert(Address{0x1000}, 8, 2);
  CHECK(table->find(Address{0x1000}, 8) == 2);
  CHECK(table->find(Address{0x1000}, 7) == 0);
}

TEST_CASE("a full table gives up older code objects and never a wrong one", "[recording]") {
  const auto table = std::make_unique<CodeTable>();
  constexpr std::uint32_t count = 100'000;
  std::uint32_t found_at_once = 0;
  for (std::uint32_t id = 1; id <= count; ++id) {
    table->insert(Address{id * 0x240u}, id, id);
    found_at_once += table->find(Address{id * 0x240u}, id) == id;
  }
  CHECK(found_at_once == count);
  std::uint32_t kept = 0;
  std::uint32_t wrong = 0;
  for (std::uint32_t id = 1; id <= count; ++id) {
    const auto found = table->find(Address{id * 0x240u}, id);
    kept += found == id;
    wrong += found != id && found != 0;
  }
  CHECK(wrong == 0);
  CHECK(kept > 16'000);
  CHECK(kept < count);
}

TEST_CASE("a cleared table knows nothing and takes anew", "[recording]") {
  const auto table = std::make_unique<CodeTable>();
  for (std::uint32_t id = 1; id <= 1000; ++id) table->insert(Address{id * 16u}, 1, id);
  table->clear();
  for (std::uint32_t id = 1; id <= 1000; ++id) CHECK(table->find(Address{id * 16u}, 1) == 0);
  table->insert(Address{16}, 1, 5);
  CHECK(table->find(Address{16}, 1) == 5);
}

TEST_CASE("threads that insert and find at once never see another's id", "[recording]") {
  const auto table = std::make_unique<CodeTable>();
  std::atomic<std::uint32_t> wrong = 0;
  std::atomic<std::uint32_t> found = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 4; ++number)
    threads.emplace_back([&, number] {
      for (std::uint32_t turn = 0; turn < 200'000; ++turn) {
        // Few addresses, each with many identities; an id says both.
        const std::uint32_t place = (turn * 7 + number) % 64;
        const std::uint32_t identity = (turn + number) % 16;
        const std::uint32_t id = 1 + place * 16 + identity;
        if (const auto known = table->find(Address{0x1000 + place * 0x100u}, identity); known == 0)
          table->insert(Address{0x1000 + place * 0x100u}, identity, id);
        else if (known != id)
          ++wrong;
        else
          ++found;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(found > 0);
}
