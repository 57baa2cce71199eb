// Cells of texts, and texts cut to cells.
#include "../../../tools/text_width.hpp"

#include "support/catch.hpp"

using namespace pyagent::tools;

TEST_CASE("letters take one cell, wide ones two, combining marks none", "[tools]") {
  CHECK(text_width("") == 0);
  CHECK(text_width("burn") == 4);
  CHECK(text_width("na\u00efve") == 5);
  CHECK(text_width("\u8a08\u7b97") == 4);
  CHECK(text_width("cafe\u0301") == 4);
  CHECK(text_width("\U0001F600") == 2);
}

TEST_CASE("a text that fits stays whole", "[tools]") {
  CHECK(cut_end("burn", 4) == "burn");
  CHECK(cut_front("burn", 4) == "burn");
  CHECK(cut_end("", 0) == "");
  CHECK(cut_end("\u8a08\u7b97", 4) == "\u8a08\u7b97");
}

TEST_CASE("what is cut has an ellipsis and never more cells than there are", "[tools]") {
  CHECK(cut_end("function", 5) == "func\u2026");
  CHECK(cut_front("function", 5) == "\u2026tion");
  CHECK(cut_end("function", 1) == "\u2026");
  CHECK(cut_end("function", 0) == "");
  CHECK(cut_front("function", 0) == "");
  // Half a wide character does not fit: a cell stays empty.
  CHECK(cut_end("\u8a08\u7b97\u6a5f", 4) == "\u8a08\u2026");
  CHECK(cut_front("\u8a08\u7b97\u6a5f", 4) == "\u2026\u6a5f");
  for (std::size_t width = 0; width < 12; ++width) {
    CHECK(text_width(cut_end("a\u8a08b\u7b97ce\u0301d", width)) <= width);
    CHECK(text_width(cut_front("a\u8a08b\u7b97ce\u0301d", width)) <= width);
  }
}

TEST_CASE("a combining mark stays with its character", "[tools]") {
  CHECK(cut_end("cafe\u0301s", 4) == "caf\u2026");
  CHECK(cut_end("cafe\u0301ss", 5) == "cafe\u0301\u2026");
  CHECK(cut_front("se\u0301cafe", 5) == "\u2026cafe");
}
