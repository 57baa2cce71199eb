// A vector with room for N elements inside itself. signal-safe
#pragma once

#include <array>        // array
#include <cstddef>      // size_t
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

namespace pyagent::inline v0 {

/// Up to `N` trivially copyable elements, no heap. `push_back` says whether there was room.
template <class T, std::size_t N>
  requires std::is_trivially_copyable_v<T>
class FixedVector {
 public:
  constexpr bool push_back(const T& value) noexcept {
    if (size_ == N) return false;
    items_[size_++] = value;
    return true;
  }
  constexpr void clear() noexcept { size_ = 0; }
  constexpr void pop_back() noexcept { --size_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  static constexpr std::size_t capacity() noexcept { return N; }
  constexpr T& operator[](std::size_t i) noexcept { return items_[i]; }
  constexpr const T& operator[](std::size_t i) const noexcept { return items_[i]; }
  constexpr T& back() noexcept { return items_[size_ - 1]; }
  constexpr const T& back() const noexcept { return items_[size_ - 1]; }
  constexpr T* begin() noexcept { return items_.data(); }
  constexpr T* end() noexcept { return items_.data() + size_; }
  constexpr const T* begin() const noexcept { return items_.data(); }
  constexpr const T* end() const noexcept { return items_.data() + size_; }

 private:
  std::array<T, N> items_{};
  std::size_t size_ = 0;
};

}  // namespace pyagent::inline v0
