// Registers: from signal contexts and ptrace, by DWARF number; calls recognised in both instruction sets.
#include "pyagent/unwind/registers.hpp"

#include <sys/user.h>
#include <ucontext.h>

#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "support/catch.hpp"

using namespace pyagent;
using unwind::Aarch64;
using unwind::X86_64;

namespace {

template <class Arch>
bool is_call(std::initializer_list<unsigned> bytes) {
  std::vector<std::byte> code;
  for (const unsigned byte : bytes) code.push_back(static_cast<std::byte>(byte));
  return Arch::ends_with_call(code);
}

}  // namespace

TEST_CASE("a register is exact, presumed or not known", "[unwind]") {
  unwind::BasicRegisters<X86_64> registers;
  CHECK_FALSE(registers.is_known(3));
  registers.set(3, 7);
  CHECK((registers.is_known(3) && registers.is_exact(3)));
  registers.presume(3, 8);
  CHECK((registers.is_known(3) && !registers.is_exact(3)));
  CHECK(registers.values[3] == 8);
  registers.forget(3);
  CHECK_FALSE(registers.is_known(3));
  CHECK_FALSE(registers.is_known(200));
}

TEST_CASE("a blocked thread's registers are the pc and the stack pointer", "[unwind]") {
  const auto registers = unwind::registers_of_blocked<X86_64>(Address{0x1234}, Address{0x5678});
  CHECK(registers.program_counter() == Address{0x1234});
  CHECK(registers.stack_pointer() == Address{0x5678});
  CHECK_FALSE(registers.has_frame_pointer());
  CHECK(registers.known == (1U << 16 | 1U << 7));
}

#if defined(__x86_64__)

TEST_CASE("registers of a signal context have the numbers of DWARF", "[unwind]") {
  ucontext_t context{};
  // glibc's own names for the places, against the psABI's numbers (figure 3.36).
  constexpr std::array<int, 17> places = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                          REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                          REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
  for (unsigned i = 0; i < places.size(); ++i) context.uc_mcontext.gregs[places[i]] = 1000 + static_cast<int>(i);
  const unwind::Registers registers = unwind::registers_of(context);
  for (unsigned i = 0; i < places.size(); ++i) CHECK(registers.values[i] == 1000 + i);
  CHECK(registers.exact == (1U << 17) - 1);
  CHECK(X86_64::context_offset == offsetof(ucontext_t, uc_mcontext.gregs));
}

TEST_CASE("registers of ptrace have the numbers of DWARF", "[unwind]") {
  user_regs_struct regs{};
  unsigned long long next = 1000;
  for (auto* place : {&regs.rax, &regs.rdx, &regs.rcx, &regs.rbx, &regs.rsi, &regs.rdi, &regs.rbp, &regs.rsp, &regs.r8,
                      &regs.r9, &regs.r10, &regs.r11, &regs.r12, &regs.r13, &regs.r14, &regs.r15, &regs.rip})
    *place = next++;
  std::array<long long, sizeof regs / sizeof(long long)> words;
  std::memcpy(words.data(), &regs, sizeof regs);
  const auto registers = unwind::registers_of_ptrace<X86_64>(std::span<const long long>{words});
  for (unsigned i = 0; i < X86_64::count; ++i) CHECK(registers.values[i] == 1000 + i);
  CHECK(registers.exact == (1U << 17) - 1);
}

#elif defined(__aarch64__)

TEST_CASE("registers of a signal context have the numbers of DWARF", "[unwind]") {
  ucontext_t context{};
  for (unsigned i = 0; i < 31; ++i) context.uc_mcontext.regs[i] = 1000 + i;
  context.uc_mcontext.sp = 1031;
  context.uc_mcontext.pc = 1032;
  const unwind::Registers registers = unwind::registers_of(context);
  for (unsigned i = 0; i < Aarch64::count; ++i) CHECK(registers.values[i] == 1000 + i);
  CHECK(Aarch64::context_offset == sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext.regs));
}

#endif

// Bytes as GNU as 2.40 assembles them.
TEST_CASE("calls of x86-64 are recognised by their last bytes", "[unwind]") {
  CHECK(is_call<X86_64>({0xe8, 0x10, 0x20, 0x30, 0x40}));                          // call rel32
  CHECK(is_call<X86_64>({0xff, 0xd0}));                                            // call *%rax
  CHECK(is_call<X86_64>({0x41, 0xff, 0xd7}));                                      // call *%r15
  CHECK(is_call<X86_64>({0xff, 0x10}));                                            // call *(%rax)
  CHECK(is_call<X86_64>({0xff, 0x50, 0x18}));                                      // call *0x18(%rax)
  CHECK(is_call<X86_64>({0x41, 0xff, 0x54, 0x24, 0x18}));                          // call *0x18(%r12)
  CHECK(is_call<X86_64>({0xff, 0x14, 0xc7}));                                      // call *(%rdi,%rax,8)
  CHECK(is_call<X86_64>({0xff, 0x90, 0x00, 0x01, 0x00, 0x00}));                    // call *0x100(%rax)
  CHECK(is_call<X86_64>({0xff, 0x15, 0x00, 0x01, 0x00, 0x00}));                    // call *0x100(%rip)
  CHECK(is_call<X86_64>({0xff, 0x14, 0x25, 0x00, 0x01, 0x00, 0x00}));              // call *0x100
  CHECK(is_call<X86_64>({0x43, 0xff, 0x94, 0x24, 0x00, 0x01, 0x00, 0x00}));        // call *0x100(%r12,%r12)
  CHECK_FALSE(is_call<X86_64>({0xff, 0xe0}));                                      // jmp *%rax
  CHECK_FALSE(is_call<X86_64>({0xe9, 0x10, 0x20, 0x30, 0x40}));                    // jmp rel32
  CHECK_FALSE(is_call<X86_64>({0xff, 0x50}));                                      // its displacement is missing
  CHECK_FALSE(is_call<X86_64>({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}));  // nop
  CHECK_FALSE(is_call<X86_64>({0xe8, 0x10, 0x20, 0x30}));
  CHECK_FALSE(is_call<X86_64>({0xff}));
  CHECK_FALSE(is_call<X86_64>({}));
}

TEST_CASE("calls of aarch64 are recognised", "[unwind]") {
  CHECK(is_call<Aarch64>({0x00, 0x04, 0x00, 0x94}));        // bl .+0x1000
  CHECK(is_call<Aarch64>({0xf0, 0xff, 0xff, 0x97}));        // bl .-0x40
  CHECK(is_call<Aarch64>({0x20, 0x00, 0x3f, 0xd6}));        // blr x1
  CHECK(is_call<Aarch64>({0x1f, 0x08, 0x3f, 0xd6}));        // blraaz x0
  CHECK(is_call<Aarch64>({0x41, 0x08, 0x3f, 0xd7}));        // blraa x2, x1
  CHECK_FALSE(is_call<Aarch64>({0x20, 0x00, 0x1f, 0xd6}));  // br x1
  CHECK_FALSE(is_call<Aarch64>({0xc0, 0x03, 0x5f, 0xd6}));  // ret
  CHECK_FALSE(is_call<Aarch64>({0x00, 0x04, 0x00, 0x14}));  // b .+0x1000
  CHECK_FALSE(is_call<Aarch64>({0x00, 0x94}));
}

TEST_CASE("direct calls tell where they go, and stubs are recognised", "[unwind]") {
  const auto bytes = [](std::initializer_list<unsigned> list) {
    std::vector<std::byte> code;
    for (const unsigned byte : list) code.push_back(static_cast<std::byte>(byte));
    return code;
  };
  CHECK(X86_64::find_call_target(bytes({0xe8, 0x10, 0, 0, 0}), 0x1000) == 0x1010);
  CHECK(X86_64::find_call_target(bytes({0x90, 0xe8, 0xf0, 0xff, 0xff, 0xff}), 0x1000) == 0xff0);
  CHECK(X86_64::find_call_target(bytes({0xff, 0xd0}), 0x1000) == 0);
  CHECK(Aarch64::find_call_target(bytes({0x00, 0x04, 0x00, 0x94}), 0x2004) == 0x3000);  // bl .+0x1000
  CHECK(Aarch64::find_call_target(bytes({0xf0, 0xff, 0xff, 0x97}), 0x2004) == 0x1fc0);  // bl .-0x40
  CHECK(Aarch64::find_call_target(bytes({0x20, 0x00, 0x3f, 0xd6}), 0x2004) == 0);
  CHECK(X86_64::is_stub(bytes({0xff, 0x25, 0xe2, 0x2f, 0, 0})));              // jmp *0x2fe2(%rip)
  CHECK(X86_64::is_stub(bytes({0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0})));     // with endbr64
  CHECK(X86_64::is_stub(bytes({0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25})));  // and bnd
  CHECK_FALSE(X86_64::is_stub(bytes({0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89})));
  CHECK_FALSE(X86_64::is_stub(bytes({0xff})));
  CHECK(Aarch64::is_stub(bytes({0x90, 0x00, 0x00, 0xb0})));        // adrp x16, ...
  CHECK_FALSE(Aarch64::is_stub(bytes({0xfd, 0x7b, 0xbf, 0xa9})));  // stp x29, x30, [sp, #-16]!
}
