// Code of many shapes to be interrupted in: what unwinders stumble over.
#pragma once

#include <alloca.h>
#include <dlfcn.h>
#include <search.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyagent::test {

#define PYAGENT_NOINLINE __attribute__((noinline, noclone))
#if defined(__clang__)
#undef PYAGENT_NOINLINE
#define PYAGENT_NOINLINE __attribute__((noinline))
#endif

inline volatile std::uint64_t unwind_sink = 1;

/// A bit of arithmetic that no compiler sees through.
PYAGENT_NOINLINE inline std::uint64_t mix(std::uint64_t value) {
  for (int i = 0; i < 20; ++i) value = value * 6364136223846793005U + unwind_sink;
  return value;
}

namespace workload {

/// qsort of libc calls back.
PYAGENT_NOINLINE inline void callbacks() {
  std::array<std::uint64_t, 64> items;
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = mix(i);
  std::qsort(items.data(), items.size(), sizeof items[0], [](const void* left, const void* right) {
    const auto a = mix(*static_cast<const std::uint64_t*>(left)), b = mix(*static_cast<const std::uint64_t*>(right));
    return a < b ? -1 : a > b ? 1 : 0;
  });
  unwind_sink = unwind_sink + items[0] % 3;
}

/// An aligned local, and arguments on the stack: the frame is found through a saved pointer only.
PYAGENT_NOINLINE inline std::uint64_t realigned(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d,
                                                std::uint64_t e, std::uint64_t f, std::uint64_t g, std::uint64_t h,
                                                int depth) {
  alignas(64) volatile std::uint64_t block[16];
  for (auto& item : block) item = a + b + c;
  if (depth > 0) return realigned(b, c, d, e, f, g, h, mix(a), depth - 1) + block[3];
  return mix(block[depth & 15] + g + h);
}

#if defined(__x86_64__)
__attribute__((target("avx2"), noinline)) inline std::uint64_t vectors(const std::uint64_t* items, std::size_t count) {
  typedef std::uint64_t Vector __attribute__((vector_size(32)));
  alignas(32) volatile Vector sums[2] = {};
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    Vector part;
    std::memcpy(&part, items + i, sizeof part);
    sums[i / 4 % 2] = sums[i / 4 % 2] + part * part;
    if (i % 32 == 0) unwind_sink = mix(unwind_sink) % 7;
  }
  const Vector sum = sums[0];
  return sum[0] ^ sum[3];
}
#endif

PYAGENT_NOINLINE inline void realigned_frames() {
  unwind_sink = realigned(1, 2, 3, 4, 5, 6, 7, 8, 5) % 5 + 1;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) return;
  std::array<std::uint64_t, 256> items;
  items.fill(mix(1));
  unwind_sink = vectors(items.data(), items.size()) % 5 + 1;
#endif
}

/// A frame that grows as it runs.
PYAGENT_NOINLINE inline void growing_frames() {
  for (std::size_t size = 16; size < 4096; size *= 2) {
    auto* piece = static_cast<volatile char*>(alloca(size + unwind_sink % 16));
    piece[0] = 1;
    unwind_sink = mix(static_cast<std::uint64_t>(piece[0])) % 9;
  }
}

PYAGENT_NOINLINE inline void throwing(int depth) {
  const std::string held(static_cast<std::size_t>(depth) + 30, 'x');
  if (depth == 0) throw std::runtime_error{held};
  throwing(depth - 1);
}

PYAGENT_NOINLINE inline void exceptions() {
  for (int i = 0; i < 3; ++i) try {
      throwing(i * 3);
    } catch (const std::runtime_error& error) {
      unwind_sink = unwind_sink % 5 + std::strlen(error.what());
    }
}

PYAGENT_NOINLINE inline std::uint64_t recursion(int depth) {
  const std::uint64_t value = mix(static_cast<std::uint64_t>(depth));
  return depth == 0 ? value : recursion(depth - 1) + value;
}

PYAGENT_NOINLINE inline void deep() { unwind_sink = recursion(60) % 5 + 1; }

PYAGENT_NOINLINE inline void text() {
  char line[200];
  std::snprintf(line, sizeof line, "%.17g %s %llx %5d", static_cast<double>(unwind_sink) / 7, "text",
                static_cast<unsigned long long>(mix(3)), 42);
  unwind_sink = static_cast<std::uint64_t>(std::strtod(line, nullptr)) % 7 + std::strlen(line);
}

PYAGENT_NOINLINE inline void containers() {
  std::map<std::string, std::vector<int>> map;
  for (int i = 0; i < 20; ++i) map[std::to_string(mix(static_cast<std::uint64_t>(i)))].push_back(i);
  std::vector<std::string> keys;
  for (const auto& item : map) keys.push_back(item.first);
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a > b; });
  unwind_sink = unwind_sink % 7 + keys[0].size();
}

PYAGENT_NOINLINE inline void bytes() {
  static std::array<unsigned char, 4096> from, to;
  std::memset(from.data(), static_cast<int>(unwind_sink & 63) + 1, from.size());
  std::memmove(to.data(), from.data() + 1, from.size() - 1);
  std::uint32_t sum = 0;
  for (const unsigned char byte : to) sum = (sum >> 1 ^ (0xedb8'8320U & (0U - ((sum ^ byte) & 1U)))) + byte;
  unwind_sink = sum % 7 + static_cast<unsigned>(std::memcmp(from.data(), to.data(), 64) != 0) + std::strlen("x");
}

inline void on_first_signal(int) {
  unwind_sink = mix(unwind_sink) % 5 + 1;
  std::raise(SIGUSR2);
}
inline void on_second_signal(int) { callbacks(); }

PYAGENT_NOINLINE inline void signals() {
  std::signal(SIGUSR1, on_first_signal);
  std::signal(SIGUSR2, on_second_signal);
  std::raise(SIGUSR1);
}

inline std::jmp_buf way_out;
/// Called from assembler below, where the call is the last instruction: it never returns.
extern "C" [[noreturn]] __attribute__((used, noinline)) inline void pyagent_test_leave() {
  for (int i = 0; i < 30; ++i) unwind_sink = mix(unwind_sink) % 5 + 1;
  std::longjmp(way_out, 1);
}

#if defined(__x86_64__)
extern "C" void pyagent_test_last_call();
PYAGENT_NOINLINE inline void last_call() {
  if (setjmp(way_out) == 0) pyagent_test_last_call();
}
#endif

/// Functions that nothing here has called before: the first call of each goes through the dynamic loader.
PYAGENT_NOINLINE inline void first_calls() {
  char text[16] = "some letters", other[16];
  ::swab(text, other, 12);
  unwind_sink = unwind_sink % 5 + static_cast<std::uint64_t>(::a64l(text)) % 3;
  int sign = 0, point = 0;
  unwind_sink = unwind_sink % 5 + std::strlen(::ecvt(2.5, 5, &point, &sign));
  std::size_t count = 3;
  int items[] = {1, 2, 3}, wanted = 3;
  const auto compare = [](const void* left, const void* right) {
    return *static_cast<const int*>(left) - *static_cast<const int*>(right);
  };
  unwind_sink = unwind_sink % 5 + (::lfind(&wanted, items, &count, sizeof(int), compare) != nullptr ? 1 : 0);
  unwind_sink = unwind_sink % 5 + static_cast<std::uint64_t>(::ffsl(static_cast<long>(unwind_sink)));
}

/// OpenSSL's assembler keeps its caller's stack pointer in memory.
PYAGENT_NOINLINE inline void hashing() {
  using Hash = unsigned char* (*)(const unsigned char*, std::size_t, unsigned char*);
  static const auto hash = [] {
    void* library = ::dlopen("libcrypto.so.3", RTLD_NOW);
    return library == nullptr ? nullptr : reinterpret_cast<Hash>(::dlsym(library, "SHA256"));
  }();
  std::array<unsigned char, 512> data{};
  std::array<unsigned char, 32> digest{};
  if (hash != nullptr) hash(data.data(), data.size(), digest.data());
  unwind_sink = unwind_sink % 5 + digest[0];
}

#if defined(__x86_64__)
extern "C" {
void pyagent_test_bare_leaf(void (*)());
void pyagent_test_bare_kernel(void (*)());
void pyagent_test_bare_frame(void (*)());
}
inline void called_by_bare() { unwind_sink = mix(unwind_sink) % 5 + 1; }
PYAGENT_NOINLINE inline void bare_leaf() { pyagent_test_bare_leaf(called_by_bare); }
PYAGENT_NOINLINE inline void bare_kernel() { pyagent_test_bare_kernel(called_by_bare); }
/// The same without return addresses of earlier calls in the stack that it goes down.
PYAGENT_NOINLINE inline void bare_kernel_on_clean_stack() {
  const auto clean = [] {
    volatile char below[48 * 1024];
    for (auto& byte : below) byte = 0;
  };
  clean();
  pyagent_test_bare_kernel(called_by_bare);
}
PYAGENT_NOINLINE inline void bare_frame() { pyagent_test_bare_frame(called_by_bare); }
#endif

}  // namespace workload

struct Workload {
  const char* name;
  void (*run)();
  bool has_rules;  ///< of all its code
};

inline constexpr Workload workloads[] = {
    {"callbacks", workload::callbacks, true},
    {"realigned frames", workload::realigned_frames, true},
    {"growing frames", workload::growing_frames, true},
    {"exceptions", workload::exceptions, true},
    {"deep", workload::deep, true},
    {"text", workload::text, true},
    {"containers", workload::containers, true},
    {"bytes", workload::bytes, true},
    {"signals", workload::signals, true},
    {"first calls", workload::first_calls, true},
    {"hashing", workload::hashing, true},
#if defined(__x86_64__)
    {"last call", workload::last_call, true},
    {"bare leaf", workload::bare_leaf, false},
    {"bare kernel", workload::bare_kernel_on_clean_stack, false},
    {"bare kernel on a used stack", workload::bare_kernel, false},
    {"bare frame", workload::bare_frame, false},
#endif
};

}  // namespace pyagent::test

#if defined(__x86_64__)
// The first function ends with a call, and has another rule than the one that follows at once. The others have no call
// frame information: one leaves the frame pointer alone, one moves the stack far away as OpenBLAS's kernels do, one has
// a frame pointer.
asm(R"(
  .text
  .globl pyagent_test_last_call
  .type pyagent_test_last_call, @function
pyagent_test_last_call:
  .cfi_startproc
  sub $40, %rsp
  .cfi_def_cfa_offset 48
  call pyagent_test_leave@PLT
  .cfi_endproc
  .size pyagent_test_last_call, .-pyagent_test_last_call
  .cfi_startproc
  nop
  ret
  .cfi_endproc

  .globl pyagent_test_bare_leaf
  .type pyagent_test_bare_leaf, @function
pyagent_test_bare_leaf:
  mov $50, %ecx
1: imul $7, %rcx, %rax
  sub $1, %ecx
  jnz 1b
  push %rbx
  push %r12
  push %rdi
  call *%rdi
  pop %rdi
  mov $50, %ecx
1: imul $7, %rcx, %rax
  sub $1, %ecx
  jnz 1b
  pop %r12
  pop %rbx
  ret
  .size pyagent_test_bare_leaf, .-pyagent_test_bare_leaf

  .globl pyagent_test_bare_kernel
  .type pyagent_test_bare_kernel, @function
pyagent_test_bare_kernel:
  push %rbx
  push %rbp
  sub $0x58, %rsp
  mov %rsp, %rbx
  mov $0x123456789, %rbp
  sub $0x7080, %rsp
  and $-4096, %rsp
  sub $16, %rsp
  mov $50, %ecx
1: imul $7, %rcx, %rax
  mov %rax, (%rsp,%rcx,8)
  sub $1, %ecx
  jnz 1b
  call *%rdi
  mov %rbx, %rsp
  add $0x58, %rsp
  pop %rbp
  pop %rbx
  ret
  .size pyagent_test_bare_kernel, .-pyagent_test_bare_kernel

  .globl pyagent_test_bare_frame
  .type pyagent_test_bare_frame, @function
pyagent_test_bare_frame:
  push %rbp
  mov %rsp, %rbp
  sub $64, %rsp
  mov $50, %ecx
1: imul $7, %rcx, %rax
  sub $1, %ecx
  jnz 1b
  call *%rdi
  leave
  ret
  .size pyagent_test_bare_frame, .-pyagent_test_bare_frame
)");
#endif
