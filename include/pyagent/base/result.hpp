// What a function that can fail returns: a value, or what went wrong and where. signal-safe
#pragma once

#include <utility>  // move
#include <variant>  // variant, get_if

#include "pyagent/base/address.hpp"
#include "pyagent/base/errc.hpp"

namespace pyagent::inline v0 {

/// What went wrong, and the target address or file offset where it did.
struct Error {
  Errc code = Errc::ok;
  Address where{};
};

/// The sentence for `error`, without address; a string literal.
constexpr const char* message(Error error) noexcept { return message(error.code); }

/// A value or an Error. Never throws: asking for the one that is not there is undefined, as with a null pointer.
template <class T>
class [[nodiscard]] Result {
 public:
  constexpr Result(T value) noexcept : state_(std::in_place_index<0>, std::move(value)) {}
  constexpr Result(Error error) noexcept : state_(std::in_place_index<1>, error) {}

  constexpr explicit operator bool() const noexcept { return state_.index() == 0; }
  constexpr T& operator*() noexcept { return *std::get_if<0>(&state_); }
  constexpr const T& operator*() const noexcept { return *std::get_if<0>(&state_); }
  constexpr T* operator->() noexcept { return std::get_if<0>(&state_); }
  constexpr const T* operator->() const noexcept { return std::get_if<0>(&state_); }
  constexpr Error error() const noexcept { return *this ? Error{} : *std::get_if<1>(&state_); }
  constexpr T value_or(T other) const noexcept { return *this ? **this : other; }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  constexpr Result() noexcept = default;
  constexpr Result(Error error) noexcept : error_(error) {}

  constexpr explicit operator bool() const noexcept { return error_.code == Errc::ok; }
  constexpr Error error() const noexcept { return error_; }

 private:
  Error error_{};
};

}  // namespace pyagent::inline v0
