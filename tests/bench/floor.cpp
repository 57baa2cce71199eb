// The least that a sampler from outside can cost: wakes RATE times a second and reads 4 KiB of another process.
// Usage: floor PID ADDRESS RATE SECONDS. Prints the reads, and the microseconds of CPU time that each took.
#include <sys/uio.h>
#include <time.h>

#include <array>
#include <cstdio>
#include <cstdlib>

static double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "usage: floor PID ADDRESS RATE SECONDS\n"), 2;
  const auto pid = static_cast<pid_t>(std::atoi(argv[1]));
  const unsigned long long address = std::strtoull(argv[2], nullptr, 16);
  const long rate = std::atol(argv[3]);
  const long ticks = static_cast<long>(std::atof(argv[4]) * static_cast<double>(rate));

  static std::array<char, 4096> page;
  const iovec local{page.data(), page.size()};
  const iovec remote{reinterpret_cast<void*>(address), page.size()};
  timespec next{};
  clock_gettime(CLOCK_MONOTONIC, &next);
  const double before = cpu_seconds();
  for (long i = 0; i < ticks; ++i) {
    next.tv_nsec += 1'000'000'000 / rate;
    if (next.tv_nsec >= 1'000'000'000) ++next.tv_sec, next.tv_nsec -= 1'000'000'000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(page.size())) return std::perror("floor"), 1;
  }
  std::printf("%ld %.3f\n", ticks, 1e6 * (cpu_seconds() - before) / static_cast<double>(ticks));
}
