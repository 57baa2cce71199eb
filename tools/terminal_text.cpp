// Shows what a terminal would obey.
#include "terminal_text.hpp"

#include <cstdio>  // snprintf

#include "pyagent/format/utf8.hpp"

namespace pyagent::tools {
namespace {

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

// Source: Unicode 15, the "Bidi_Control" property (UAX 9), "Zs"-like separators of lines, and format characters that
// have no width. CVE-2021-42574 is about the former.
bool is_unseen(char32_t c) {
  return c == 0x061C || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
         c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE0FFF);
}

void append_escape(std::string& out, const char* format, unsigned value) {
  char text[16];
  std::snprintf(text, sizeof text, format, value);
  out += text;
}

void append_control(std::string& out, char32_t c) {
  switch (c) {
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      append_escape(out, "\\x%02x", static_cast<unsigned>(c));
  }
}

}  // namespace

std::string terminal_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto piece = format::take_utf8(text);
    const char32_t c = piece.code_point;
    if (!piece.valid) {
      for (const char byte : text.substr(0, piece.size))
        append_escape(out, "\\x%02x", static_cast<unsigned char>(byte));
    } else if (is_control(c)) {
      append_control(out, c);
    } else if (is_unseen(c)) {
      append_escape(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(c));
    } else {
      out += text.substr(0, piece.size);
    }
    text.remove_prefix(piece.size);
  }
  return out;
}

}  // namespace pyagent::tools
