// Mangled C++ names, by the C++ library's demangler, with a limit on what it makes of them. May allocate
#pragma once

#include <cxxabi.h>  // __cxa_demangle

#include <csetjmp>   // setjmp, longjmp
#include <cstddef>   // size_t
#include <cstdlib>   // free
#include <memory>    // unique_ptr
#include <optional>  // optional
#include <string>    // string
#include <utility>   // move

/// Hands out the demangled name piece by piece. In libstdc++.a, which the agent and the command are linked with; not
/// exported by libstdc++.so, and unknown to LLVM's libc++abi.
/// Source: GCC 12 libiberty/cp-demangle.c
extern "C" int __gcclibcxx_demangle_callback(const char* mangled, void (*take)(const char*, std::size_t, void*),
                                             void* opaque) __attribute__((weak));

namespace pyagent::inline v0::symbol {

/// No demangled name is longer. The longest in libLLVM 14 has 4272 characters; each back-reference in a damaged or
/// malicious symbol may double the name, so that 250 characters fill all memory. Without the callback there is no
/// limit.
inline constexpr std::size_t longest_demangled_name = 65536;

namespace detail {

struct BoundedText {
  std::string text;
  std::jmp_buf too_long;
};

inline void take_piece(const char* piece, std::size_t size, void* opaque) {
  auto& out = *static_cast<BoundedText*>(opaque);
  // The only way to stop it: exceptions are off in the agent. The frames left behind are C, and own nothing.
  if (size > longest_demangled_name - out.text.size()) std::longjmp(out.too_long, 1);
  out.text.append(piece, size);
}

using CallbackDemangler = int(const char*, void (*)(const char*, std::size_t, void*), void*);

/// Objects that live here must not change after setjmp, so the text is the caller's.
inline bool demangle_into(BoundedText& out, const char* mangled, CallbackDemangler* demangle) {
  if (setjmp(out.too_long) != 0) return false;
  return demangle(mangled, take_piece, &out) == 0;
}

}  // namespace detail

/// The function with its parameters, as c++filt shows it; nothing when `mangled` is no C++ symbol, or a longer name.
inline std::optional<std::string> demangle_cpp(const std::string& mangled) {
  if (!mangled.starts_with("_Z") && !mangled.starts_with("__Z")) return std::nullopt;
  if (&__gcclibcxx_demangle_callback != nullptr) {
    detail::BoundedText out;
    if (!detail::demangle_into(out, mangled.c_str(), __gcclibcxx_demangle_callback)) return std::nullopt;
    return std::move(out.text);
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free};
  if (status != 0 || text == nullptr) return std::nullopt;
  return std::string{text.get()};
}

}  // namespace pyagent::inline v0::symbol
