// Writes hand-made profiles for test_speedscope.py: write_sample DIRECTORY
//
//   hostile.speedscope.json, hostile.raw   names that try to break out, several threads, long and deep
//   empty.speedscope.json                  nothing was sampled
//   names.speedscope.json                  DIRECTORY/names holds byte strings, each ended by a zero byte: one frame each
#include <chrono>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <string>
#include <utility>

#include "pyagent/format/file_sink.hpp"
#include "pyagent/format/raw.hpp"
#include "pyagent/format/speedscope.hpp"
#include "pyagent/profile/profile.hpp"

using namespace std::chrono_literals;
namespace format = pyagent::format;
namespace profile = pyagent::profile;

namespace {

bool failed = false;

template <class Write>
void write_file(const std::string& path, Write write) {
  format::FileSink sink{path};
  if (write(sink)) return;
  std::fprintf(stderr, "write_sample: %s: %s\n", path.c_str(), message(sink.status()));
  failed = true;
}

profile::StackId push(profile::Profile& p, profile::StackId parent, const std::string& name, const std::string& file,
                      int line = 0, int column = 0) {
  return p.intern_stack(parent, p.intern_frame({p.intern_string(name), p.intern_string(file), line, column}));
}

profile::Profile hostile_profile() {
  profile::Profile p;
  p.name = "hostile \"profile\" </title><script>document.title='owned'</script> \xF0\x9F\x90\x8D\x80 (pid 7)";
  p.exporter = "pyagent@0.1.0";
  p.interval = 10ms;

  profile::Thread main{.id = 1, .tid = 7, .pid = 7, .name = "MainThread"};
  const auto module = push(p, 0, "<module>", "app.py", 12);
  for (const std::string name : {
           "quote\"", "back\\slash", "semi;colon", "line\nfeed\r\n", "</script><script>alert(1)</script>",
           "bell\x07 escape\x1b[2J", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x8D", "not utf-8 \xFF\xC0\x80\xED\xA0\x80 end",
           "line separator \xE2\x80\xA8 paragraph \xE2\x80\xA9", "__proto__", "", "\\u003b", "{{{", "]}],"})
    main.samples.push_back({.stack = push(p, module, name, name + ".py", 3, 5), .weight = 10'000'001ns});
  main.samples.push_back({.stack = push(p, module, std::string(100'000, 'x'), "long.py", 1), .weight = 10ms});
  main.samples.push_back({.stack = push(p, module, std::string("zero\0byte", 9), "zero.py", 1), .weight = 10ms});
  for (int i = 0; i < 1000; ++i) main.samples.push_back({.stack = push(p, module, "spin", "app.py", 4), .weight = 1ms});

  profile::Thread deep{.id = 2, .tid = 8, .pid = 7, .name = "deep \"worker\"; \xFF"};
  profile::StackId stack = 0;
  for (int i = 0; i < 70'000; ++i) stack = push(p, stack, "recurse", "deep.py", 7);
  deep.samples.push_back({.stack = stack, .weight = 5ms});
  deep.samples.push_back({.stack = push(p, 0, "[truncated]", ""), .weight = 0ns});

  p.threads = {std::move(deep), std::move(main)};
  return p;
}

profile::Profile names_profile(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  profile::Profile p;
  p.name = "names";
  for (std::string name; std::getline(file, name, '\0');) push(p, 0, name, "");
  return p;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: write_sample DIRECTORY\n", stderr), 2;
  const std::string directory = std::string{argv[1]} + '/';
  const auto hostile = hostile_profile();
  write_file(directory + "hostile.speedscope.json", [&](auto& sink) { return format::write_speedscope(hostile, sink); });
  write_file(directory + "hostile.raw", [&](auto& sink) { return format::write_raw(hostile, sink); });

  profile::Profile empty;
  empty.name = "empty profile";
  empty.exporter = hostile.exporter;
  write_file(directory + "empty.speedscope.json", [&](auto& sink) { return format::write_speedscope(empty, sink); });

  const auto names = names_profile(directory + "names");
  write_file(directory + "names.speedscope.json", [&](auto& sink) { return format::write_speedscope(names, sink); });
  return failed ? 1 : 0;
}
