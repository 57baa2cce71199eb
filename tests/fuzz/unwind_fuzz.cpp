// Fuzz target: a stack, registers and rules of any kind, walked as that of a thread; and the bytes as an expression.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "pyagent/capture/native_capture.hpp"
#include "pyagent/memory/buffer_memory.hpp"

using namespace pyagent;

namespace {

constexpr Address stack_base{0x7ffc'0000'0000};
constexpr Address code_base{0x5555'0000'0000};

/// Each 16 bytes of code have a rule made of 16 bytes of the input.
struct Code {
  std::span<const std::byte> input;

  unwind::UnwindRule find_rule(Address address) noexcept {
    if (!contains(address)) return {};
    const auto bytes = input.subspan((address - code_base) / 16 * 16, 16);
    const auto number = [&](std::size_t at) { return std::to_integer<std::uint8_t>(bytes[at]); };
    const auto offset = [&](std::size_t at) { return static_cast<std::int8_t>(number(at)) * 4; };
    unwind::UnwindRule rule;
    rule.cfa = static_cast<unwind::CfaRule>(number(0) % 7);
    rule.cfa_register = static_cast<std::uint8_t>(number(1) % 40);
    rule.cfa_offset = offset(2);
    rule.cfa_add = offset(3);
    rule.plt_limit = number(4);
    rule.frame_pointer = {static_cast<unwind::SavedRule>(number(5) % 6), number(6), offset(7)};
    rule.return_address = {static_cast<unwind::SavedRule>(number(8) % 6), number(9), offset(10)};
    rule.is_signal_frame = number(11) % 8 == 0;
    rule.expression = bytes.data();
    rule.expression_size = 12;
    return rule;
  }
  bool follows_call(Address address) noexcept { return contains(address) && address.value % 4 != 0; }
  Address find_callee(Address address) noexcept {
    return address.value % 3 == 0 ? code_base + address.value % 64 : Address{};
  }

 private:
  bool contains(Address address) const noexcept {
    return AddressRange{code_base, code_base + input.size() / 16 * 16}.contains(address);
  }
};

template <class Arch>
void walk(std::span<const std::byte> input, std::span<const std::byte> stack, std::uint64_t choice) {
  const memory::BufferMemory memory{stack_base, stack};
  Code code{input};
  unwind::BasicRegisters<Arch> registers;
  for (unsigned i = 0; i < Arch::count; ++i)
    if (std::uint64_t word = 0; (i + 1) * 8 <= stack.size()) {
      std::memcpy(&word, stack.data() + i * 8, sizeof word);
      registers.set(i, word);
    }
  registers.set(Arch::stack_pointer, stack_base.value + choice % 64 * 8);
  registers.set(Arch::program_counter, code_base.value + choice / 64 % 256);
  std::array<Address, 4> anchors;
  for (std::size_t i = 0; i < anchors.size(); ++i) anchors[i] = stack_base + (choice >> (8 * i)) % 1024;
  const std::array eval_code = {AddressRange{code_base, code_base + 64}};
  const capture::PythonAnchors python{anchors, choice % 2 == 0, eval_code};
  capture::AnchorDistance learned;
  for (int i = 0; choice % 3 == 0 && i < 2; ++i) learned.learn({static_cast<std::uint32_t>(choice % 256), -16, -8});
  std::array<capture::NativeFrame, 48> frames;
  const auto found = capture::capture_native(memory, code, registers, {stack_base, stack_base + stack.size()}, python,
                                             learned, frames);
  std::uint32_t evals = 0;
  for (std::uint32_t i = 0; i < found.depth && i < frames.size(); ++i) evals += frames[i].is_eval ? 1 : 0;
  if (found.depth == 0 || found.depth > frames.size() || evals != found.claimed || evals > anchors.size()) std::abort();
  (void)unwind::ExpressionEvaluator{memory, registers}.evaluate(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint64_t choice = 0;
  if (size < sizeof choice + 32) return 0;
  std::memcpy(&choice, data, sizeof choice);
  const auto rest = std::as_bytes(std::span{data, size}.subspan(sizeof choice));
  const auto rules = rest.first(rest.size() / 2 / 16 * 16);
  const auto stack = rest.subspan(rules.size());
  walk<unwind::X86_64>(rules, stack, choice);
  walk<unwind::Aarch64>(rules, stack, choice);
  return 0;
}
