// System calls that are made again after EINTR, and those that aren't.
#include "pyagent/process/interrupted_call.hpp"

#include "support/catch.hpp"

using namespace pyagent;
using process::Registers;

TEST_CASE("only calls that have done nothing when interrupted are made again", "[process]") {
  for (const int call : {SYS_epoll_pwait, SYS_semtimedop, SYS_recvfrom, SYS_read, SYS_futex})
    CHECK(process::is_repeatable_call(call));
  for (const int call : {SYS_close, SYS_connect, SYS_nanosleep, SYS_ioctl, -1})
    CHECK_FALSE(process::is_repeatable_call(call));
}

#if defined(__x86_64__)

namespace {

Registers after_call(long number, long long result) {
  using Index = process::detail::RegisterIndex;
  Registers registers;
  registers.general[Index::call_number] = number;
  registers.general[Index::call_result] = result;
  registers.general[Index::code_segment] = 0x33;
  registers.general[Index::stack_pointer] = 0x7000;
  registers.general[Index::program_counter] = 0x1002;
  registers.stack_pointer = {0x7000};
  registers.program_counter = {0x1002};
  return registers;
}

}  // namespace

TEST_CASE("an interrupted call is told from one that failed otherwise and from none", "[process]") {
  CHECK(process::is_interrupted_call(after_call(SYS_epoll_wait, -EINTR)));
  CHECK_FALSE(process::is_interrupted_call(after_call(SYS_epoll_wait, -EAGAIN)));
  CHECK_FALSE(process::is_interrupted_call(after_call(SYS_epoll_wait, 1)));
  CHECK_FALSE(process::is_interrupted_call(after_call(SYS_close, -EINTR)));
  CHECK_FALSE(process::is_interrupted_call(after_call(-1, -EINTR)));
  auto registers = after_call(SYS_epoll_wait, -EINTR);
  registers.general[process::detail::RegisterIndex::code_segment] = 0x23;
  CHECK_FALSE(process::is_interrupted_call(registers));
}

TEST_CASE("a call is repeated from its instruction on, and that can be taken back", "[process]") {
  const Registers before = after_call(SYS_epoll_wait, -EINTR);
  Registers registers = before;
  const auto repeated = process::repeat_call(registers);
  CHECK(registers.program_counter == Address{0x1000});
  CHECK(registers.general[process::detail::RegisterIndex::program_counter] == 0x1000);
  CHECK(registers.general[process::detail::RegisterIndex::call_result] == SYS_epoll_wait);
  CHECK(repeated.is_next(registers));
  CHECK_FALSE(repeated.is_next(before));
  CHECK_FALSE(process::RepeatedCall{}.is_next(after_call(-1, -1)));
  process::end_call(registers);
  CHECK(registers.general == before.general);
  CHECK(registers.program_counter == before.program_counter);
}

#endif
