// Makes a Python 3.15 look like a 3.16 that nobody described, for as long as the agent looks at it.
//
// Preloaded behind the agent, whose constructor then runs after this one; the agent's first use of sigaction, which comes
// after it has found the interpreter, puts the version back. PRETEND_WRONG also misplaces a frame's `previous`.
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace {

struct Change {
  std::uint64_t* place;
  std::uint64_t before;
};
Change changes[3];
int count;

void change(std::uint64_t* place, std::uint64_t value) {
  const auto page = reinterpret_cast<std::uint64_t>(place) & ~std::uint64_t{4095};
  mprotect(reinterpret_cast<void*>(page), 8192, PROT_READ | PROT_WRITE);
  changes[count++] = {place, *place};
  *place = value;
}

__attribute__((constructor)) void pretend() {
  auto* const version = static_cast<std::uint64_t*>(dlsym(RTLD_DEFAULT, "Py_Version"));
  auto* const offsets = static_cast<std::uint64_t*>(dlsym(RTLD_DEFAULT, "_PyRuntime"));
  if (version == nullptr || offsets == nullptr) return;
  const auto next = [](std::uint64_t hex) { return (hex & ~std::uint64_t{0xff0000}) | 0x100000; };
  change(version, next(*version));
  change(offsets + 1, next(offsets[1]));
  // Source: struct interpreter_frame {size, previous, executable, ...} of _Py_DebugOffsets, CPython 3.15
  if (std::getenv("PRETEND_WRONG") == nullptr) return;
  for (std::uint64_t* word = offsets + 3; word < offsets + 108; ++word)
    if (word[0] == 88 && word[1] == 8 && word[2] == 0 && word[3] == 56) return change(word + 1, 24);
  std::abort();
}

}  // namespace

extern "C" int sigaction(int signal, const struct sigaction* wanted, struct sigaction* before) noexcept {
  while (count > 0) {
    --count;
    *changes[count].place = changes[count].before;
  }
  using Real = int (*)(int, const struct sigaction*, struct sigaction*);
  return reinterpret_cast<Real>(dlsym(RTLD_NEXT, "sigaction"))(signal, wanted, before);
}
