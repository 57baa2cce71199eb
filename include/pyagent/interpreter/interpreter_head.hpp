// Finds the static variable interp_head of 3.6 and earlier, which a stripped file has no symbol for.
#pragma once

#include <array>     // array
#include <cstddef>   // byte
#include <cstdint>   // int32_t
#include <cstring>   // memcpy, memcmp
#include <span>      // span

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::interpreter {

/// The variable that `code`, the first bytes of a function at `function`, returns: `mov rel32(%rip), %rax`, behind
/// nothing but `endbr64`, `push %rbp` and `mov %rsp, %rbp`. Null when it does something else.
///
/// Source: PyInterpreterState_Head, CPython 3.6 Python/pystate.c, as GCC and Clang compile it for x86-64
inline Address find_returned_variable(std::span<const std::byte> code, Address function) noexcept {
  struct Prologue {
    std::size_t size;
    unsigned char bytes[4];
  };
  constexpr std::array prologues{Prologue{4, {0xf3, 0x0f, 0x1e, 0xfa}}, Prologue{1, {0x55}}, Prologue{3, {0x48, 0x89, 0xe5}}};
  constexpr unsigned char load[] = {0x48, 0x8b, 0x05};
  const auto starts_with = [&](std::size_t at, const unsigned char* bytes, std::size_t size) {
    return at + size <= code.size() && std::memcmp(code.data() + at, bytes, size) == 0;
  };
  std::size_t at = 0;
  for (const Prologue& prologue : prologues)
    if (starts_with(at, prologue.bytes, prologue.size)) at += prologue.size;
  if (!starts_with(at, load, sizeof load) || at + 7 > code.size()) return Address{};
  std::int32_t displacement;
  std::memcpy(&displacement, code.data() + at + 3, sizeof displacement);
  return function + (at + 7) + static_cast<std::uint64_t>(std::int64_t{displacement});
}

}  // namespace pyagent::inline v0::interpreter
