#include <pyagent/pyagent.hpp>
using namespace std::chrono_literals;
int main(int, char** argv) {
  auto target = pyagent::sampler::attach(std::atoi(argv[1]));      // finds the interpreter, picks the layout
  if (!target) return std::fputs(pyagent::message(target.error()), stderr), 1;
  pyagent::profile::Profile profile;
  pyagent::sampler::Sampler{*target, {.interval = 10ms}}.run_for(5s, profile);
  pyagent::format::FileSink sink{"profile.speedscope.json"};
  return pyagent::format::write_speedscope(profile, sink) ? 0 : 1;
}
