// Writes the recording's numbers and texts into bytes, and notices when they are full. signal-safe
#pragma once

#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <cstring>  // memcpy
#include <span>     // span

namespace pyagent::inline v0::recording {

/// Appends to a span. Once something did not fit, nothing more is written and `ok()` is false.
class Encoder {
 public:
  constexpr explicit Encoder(std::span<std::byte> out) noexcept : out_(out) {}

  constexpr bool ok() const noexcept { return ok_; }
  constexpr std::size_t size() const noexcept { return size_; }

  constexpr void put_byte(std::uint8_t value) noexcept {
    if (ok_ = ok_ && size_ < out_.size(); ok_) out_[size_++] = std::byte{value};
  }

  constexpr void put_uleb(std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) put_byte(static_cast<std::uint8_t>(value | 0x80));
    put_byte(static_cast<std::uint8_t>(value));
  }

  constexpr void put_sleb(std::int64_t value) noexcept {
    put_uleb(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
  }

  void put_text(std::span<const std::byte> text) noexcept {
    put_uleb(text.size());
    if (ok_ = ok_ && text.size() <= out_.size() - size_; !ok_) return;
    if (!text.empty()) std::memcpy(out_.data() + size_, text.data(), text.size());
    size_ += text.size();
  }
  void put_text(std::span<const char> text) noexcept { put_text(std::as_bytes(text)); }

  /// Room for `count` bytes that the caller fills in, or an empty span.
  constexpr std::span<std::byte> reserve(std::size_t count) noexcept {
    if (ok_ = ok_ && count <= out_.size() - size_; !ok_) return {};
    size_ += count;
    return out_.subspan(size_ - count, count);
  }

 private:
  std::span<std::byte> out_;
  std::size_t size_ = 0;
  bool ok_ = true;
};

}  // namespace pyagent::inline v0::recording
