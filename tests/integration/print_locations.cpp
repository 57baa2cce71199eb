// Says what debug information knows of addresses: print_locations FILE [--no-output] < ADDRESSES
// Reads hexadecimal addresses, one in a line; writes each, then a line "function<TAB>file<TAB>line<TAB>column" for each
// level of inlining, then an empty line. Writes to standard error what it took.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "pyagent/dwarf/debug_info.hpp"
#include "pyagent/elf/mapped_file.hpp"

int main(int argc, char** argv) {
  using namespace pyagent;
  using Clock = std::chrono::steady_clock;
  const auto milliseconds = [](Clock::duration duration) { return std::chrono::duration<double, std::milli>{duration}.count(); };
  if (argc < 2) return std::fprintf(stderr, "usage: print_locations FILE [--no-output]\n"), 2;
  const bool is_silent = argc > 2 && std::strcmp(argv[2], "--no-output") == 0;

  std::vector<std::uint64_t> addresses;
  for (char line[64]; std::fgets(line, sizeof line, stdin) != nullptr;) addresses.push_back(std::strtoull(line, nullptr, 16));

  const auto start = Clock::now();
  const auto file = elf::MappedFile::open(argv[1]);
  if (!file) return std::fprintf(stderr, "%s: %s\n", argv[1], message(file.error())), 1;
  const auto image = elf::Image::parse(file->bytes());
  if (!image) return std::fprintf(stderr, "%s: %s\n", argv[1], message(image.error())), 1;
  auto info = dwarf::DebugInfo::open(*image);
  if (!info) return std::fprintf(stderr, "%s: %s\n", argv[1], message(info.error())), 1;
  const auto opened = Clock::now();

  std::size_t frames = 0;
  Clock::duration worst{}, total{};
  for (const std::uint64_t address : addresses) {
    const auto before = Clock::now();
    const auto found = info->find(address);
    const auto took = Clock::now() - before;
    total += took;
    if (took > worst) worst = took;
    frames += found.size();
    if (is_silent) continue;
    std::printf("0x%llx\n", static_cast<unsigned long long>(address));
    for (const auto& frame : found) std::printf("%s\t%s\t%d\t%d\n", frame.name.c_str(), frame.file.c_str(), frame.line, frame.column);
    std::printf("\n");
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::fprintf(stderr, "open %.1f ms, %zu addresses %.1f ms (worst %.1f ms), %zu frames, %ld kB\n", milliseconds(opened - start),
               addresses.size(), milliseconds(total), milliseconds(worst), frames, usage.ru_maxrss);
  return 0;
}
