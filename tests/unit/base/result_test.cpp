// A value, or what went wrong and where.
#include "pyagent/base/result.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pyagent::Address;
using pyagent::Errc;
using pyagent::Error;
using pyagent::Result;

TEST_CASE("a result holds its value", "[base]") {
  Result<std::string> result{std::string{"text"}};
  REQUIRE(result);
  CHECK(*result == "text");
  CHECK(result->size() == 4);
  CHECK(result.error().code == Errc::ok);
  CHECK(result.value_or("other") == "text");
  *result += "s";
  CHECK(*result == "texts");
}

TEST_CASE("a result that failed says what went wrong and where", "[base]") {
  const Result<int> result{Error{Errc::unreadable, Address{0x123}}};
  CHECK(!result);
  CHECK(result.error().code == Errc::unreadable);
  CHECK(result.error().where == Address{0x123});
  CHECK(result.value_or(7) == 7);
}

TEST_CASE("a result can hold an Error's own kind of value and what can only be moved", "[base]") {
  const Result<bool> no{false};
  CHECK(no);
  CHECK(!*no);
  Result<std::unique_ptr<int>> owner{std::make_unique<int>(3)};
  REQUIRE(owner);
  CHECK(**owner == 3);
  const auto moved = std::move(*owner);
  CHECK(*moved == 3);
}

TEST_CASE("a result without a value is a success, or says what went wrong", "[base]") {
  const Result<void> done;
  CHECK(done);
  CHECK(done.error().code == Errc::ok);
  const Result<void> failed{Error{Errc::no_space, Address{0x123}}};
  CHECK(!failed);
  CHECK(failed.error().code == Errc::no_space);
  CHECK(failed.error().where == Address{0x123});
  CHECK(Result<void>{Error{}});
}

TEST_CASE("each error has a sentence of its own", "[base]") {
  std::vector<std::string> seen;
  for (int code = 0; code <= static_cast<int>(Errc::not_permitted); ++code) {
    const std::string sentence = message(Error{static_cast<Errc>(code)});
    CHECK(sentence != "unknown error");
    CHECK(std::find(seen.begin(), seen.end(), sentence) == seen.end());
    seen.push_back(sentence);
  }
  CHECK(std::string{message(static_cast<Errc>(200))} == "unknown error");
}
