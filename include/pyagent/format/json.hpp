// Writes JSON to a sink: always valid, always UTF-8, whatever the names hold. May allocate
#pragma once

#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string>       // string, to_string
#include <string_view>  // string_view

#include "pyagent/base/errc.hpp"
#include "pyagent/format/sink.hpp"
#include "pyagent/format/utf8.hpp"

namespace pyagent::inline v0::format {

/// `\u` and four hexadecimal digits; for code points of the basic plane.
inline void append_u_escape(std::string& out, char32_t code_point) {
  static constexpr std::string_view digits = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += digits[code_point >> shift & 0xF];
}

/// Appends `text` as a JSON string, quotes included.
///
/// Quotation marks, backslashes and control characters are escaped; so are U+2028 and U+2029, which end a line in
/// older JavaScript. Bytes that are not UTF-8 become U+FFFD. Everything else stays as it is.
inline void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto piece = take_utf8(text);
    if (!piece.valid) {
      out += replacement_character;
    } else if (piece.code_point == '"' || piece.code_point == '\\') {
      (out += '\\') += text[0];
    } else if (piece.code_point < 0x20 || piece.code_point == 0x7F || piece.code_point == 0x2028 ||
               piece.code_point == 0x2029) {
      append_u_escape(out, piece.code_point);
    } else {
      out += text.substr(0, piece.size);
    }
    text.remove_prefix(piece.size);
  }
  out += '"';
}

/// Writes one JSON document, front to back, and puts the commas. The caller keeps to JSON's grammar: a key before each
/// value inside an object, none inside an array, and every `begin_…` closed.
///
/// Errors: none thrown; after the sink's first error nothing more is written, and `status()` says which it was.
template <Sink S>
class JsonWriter {
 public:
  explicit JsonWriter(S& sink) : sink_(sink) {}

  void begin_object() { open("{"); }
  void end_object() { close("}"); }
  void begin_array() { open("["); }
  void end_array() { close("]"); }

  void key(std::string_view name) {
    separate();
    append_json_string(pending_, name);
    pending_ += ':';
    first_ = true;
  }

  void string(std::string_view text) {
    separate();
    append_json_string(pending_, text);
    flush_if_large();
  }

  void number(std::uint64_t value) { number_text(std::to_string(value)); }

  /// A number that is text already, such as `0.010002`, or several of an array, such as `1,2`.
  void number_text(std::string_view digits) {
    separate();
    pending_ += digits;
    flush_if_large();
  }

  Errc status() const noexcept { return status_; }

  /// Ends the document with a line feed and hands the rest to the sink.
  Errc finish() {
    pending_ += '\n';
    flush();
    return status_;
  }

 private:
  static constexpr std::size_t large = 16 * 1024;

  void open(std::string_view bracket) {
    separate();
    pending_ += bracket;
    first_ = true;
  }
  void close(std::string_view bracket) {
    pending_ += bracket;
    first_ = false;
    flush_if_large();
  }
  void separate() {
    if (!first_) pending_ += ',';
    first_ = false;
  }
  void flush_if_large() {
    if (pending_.size() >= large) flush();
  }
  void flush() {
    if (status_ == Errc::ok) status_ = sink_.write(pending_);
    pending_.clear();
  }

  S& sink_;
  std::string pending_;
  bool first_ = true;
  Errc status_ = Errc::ok;
};

}  // namespace pyagent::inline v0::format
