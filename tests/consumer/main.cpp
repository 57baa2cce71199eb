// A program that uses pyagent as a vendor would: reads its own symbols, and writes a profile. main.cpp OUTPUT
#include <pyagent/pyagent.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

extern "C" int consumer_marker() { return 0; }

int main(int count, char** arguments) {
  if (count != 2) return std::fputs("usage: consumer OUTPUT\n", stderr), 2;

  const auto file = pyagent::elf::MappedFile::open("/proc/self/exe");
  if (!file) return std::fprintf(stderr, "consumer: %s\n", pyagent::message(file.error())), 1;
  const auto image = pyagent::elf::Image::parse(file->bytes());
  if (!image) return std::fprintf(stderr, "consumer: %s\n", pyagent::message(image.error())), 1;
  if (!image->static_symbols().find("consumer_marker")) return std::fputs("consumer: own symbol not found\n", stderr), 1;

  pyagent::profile::Profile profile;
  profile.name = "consumer";
  profile.exporter = "consumer";
  const auto frame = profile.intern_frame({.name = profile.intern_string("main"), .file = profile.intern_string("main.cpp"), .line = 12});
  const auto stack = profile.intern_stack(0, frame);
  profile.threads.push_back({.name = "MainThread", .samples = {{.stack = stack, .weight = 10ms, .time = 10ms}}});

  pyagent::format::FileSink sink{arguments[1]};
  if (const auto written = pyagent::format::write_speedscope(profile, sink); !written)
    return std::fprintf(stderr, "consumer: %s\n", pyagent::message(written.error())), 1;
  return 0;
}
