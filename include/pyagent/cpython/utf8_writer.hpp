// Writes code points as UTF-8 until the room is used up. signal-safe
#pragma once

#include <cstddef>  // size_t
#include <span>     // span

namespace pyagent::inline v0::cpython {

/// Appends whole characters to a buffer. What is no code point, lone surrogates included, becomes U+FFFD.
class Utf8Writer {
 public:
  constexpr explicit Utf8Writer(std::span<char> out) noexcept : out_(out) {}

  /// False when the character does not fit; then nothing is written.
  constexpr bool put(char32_t character) noexcept {
    const bool is_valid = character < 0xD800 || (character > 0xDFFF && character <= 0x10FFFF);
    const char32_t c = is_valid ? character : 0xFFFD;
    const std::size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (out_.size() - size_ < count) return false;
    for (std::size_t i = count; i-- > 1;) out_[size_ + i] = byte(0x80 | (c >> 6 * (count - 1 - i) & 0x3F));
    constexpr unsigned char lead_marks[] = {0, 0xC0, 0xE0, 0xF0};
    out_[size_] = byte(lead_marks[count - 1] | c >> 6 * (count - 1));
    size_ += count;
    return true;
  }

  constexpr std::size_t size() const noexcept { return size_; }

 private:
  static constexpr char byte(char32_t value) noexcept { return static_cast<char>(static_cast<unsigned char>(value)); }

  std::span<char> out_;
  std::size_t size_ = 0;
};

}  // namespace pyagent::inline v0::cpython
