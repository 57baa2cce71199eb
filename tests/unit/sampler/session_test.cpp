// Several fake Pythons at one clock.
#include "pyagent/sampler/session.hpp"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "pyagent/sampler/memory_recording.hpp"
#include "support/catch.hpp"
#include "support/child_process.hpp"
#include "support/fake_process.hpp"

using namespace pyagent;
using namespace std::chrono_literals;
using pyagent::test::FakeProcess;
using sampler::End;
using sampler::Options;
using sampler::Session;
using sampler::Target;
using sampler::Tick;
using Clock = Session::Clock;

namespace {

/// A sink that says how much it was given.
struct CountedSamples : sampler::MemoryRecording {
  explicit CountedSamples(std::size_t& its_samples) : MemoryRecording({}), samples(its_samples) {}
  void add_sample(const recording::SampleRecord& sample) override {
    ++samples;
    MemoryRecording::add_sample(sample);
  }
  std::size_t& samples;
};

/// Notes what happens; `on_tick`, `on_end` and `on_interrupt` decide.
struct Events : sampler::SessionEvents {
  std::unique_ptr<sampler::SampleSink> open(const Target& target) override {
    opened.push_back(target.pid());
    if (!wants) return nullptr;
    return std::make_unique<CountedSamples>(samples);
  }
  void ended(const Target& target, sampler::SampleSink&, End end) override {
    ends.push_back({target.pid(), end});
    if (on_end) on_end();
  }
  void refused(pid_t pid, Error, const interpreter::FindFailure&) override { refused_pids.push_back(pid); }
  bool tick(const Tick& its_tick) override {
    ticks.push_back(its_tick);
    return !on_tick || on_tick(its_tick);
  }
  bool interrupted() override {
    ++interrupts;
    return interrupts < most_interrupts;
  }

  std::function<bool(const Tick&)> on_tick;
  std::function<void()> on_end;
  bool wants = true;
  int interrupts = 0, most_interrupts = 1000;
  std::size_t samples = 0;
  std::vector<pid_t> opened, refused_pids;
  std::vector<std::pair<pid_t, End>> ends;
  std::vector<Tick> ticks;
};

/// A child of ours in which a fake interpreter's thread runs.
struct FakePython {
  FakePython()
      : fake(make()), child([this](::test::Counters& counters) {
          fake->run_by_caller();
          counters[0] = 1;
          while (counters[1] == 0) ++counters[2];
          ::execl("/bin/sleep", "sleep", "1000", nullptr);
        }) {
    REQUIRE(::test::comes_true([&] { return child[0] == 1; }));
  }
  static std::unique_ptr<FakeProcess> make() {
    auto made = std::make_unique<FakeProcess>(cpython::layout_v3_14);
    made->thread().push_frame("leaf").push_frame("root");
    return made;
  }
  Target target() { return fake->target(child.pid()); }

  std::unique_ptr<FakeProcess> fake;
  ::test::ChildProcess child;
};

Options each(std::chrono::nanoseconds interval) {
  Options options;
  options.interval = interval;
  return options;
}

}  // namespace

TEST_CASE("a session samples at its interval until the deadline, and then holds nobody", "[sampler]") {
  FakePython one, other;
  Events events;
  Session session{each(5ms), events};
  session.add(one.target());
  session.add(other.target());
  const auto begin = Clock::now();
  session.run(begin + 50ms);
  const auto took = Clock::now() - begin;
  CHECK(took >= 50ms);
  CHECK(took < 2s);
  REQUIRE(events.ticks.size() >= 2);
  CHECK(events.ticks.size() + events.ticks.back().missed <= 11);
  CHECK(events.ticks.front().number == 1);
  CHECK(events.ticks.front().processes == 2);
  CHECK(events.ticks.back().number == events.ticks.size());
  CHECK(events.opened == std::vector{one.child.pid(), other.child.pid()});
  REQUIRE(events.ends.size() == 2);
  for (const auto& [pid, end] : events.ends) CHECK(end == End::stopped);
  CHECK(events.samples >= 2);
  for (FakePython* python : {&one, &other}) {
    const long before = python->child[2];
    CHECK(::test::comes_true([&] { return python->child[2] > before; }));
    CHECK(*process::read_tracer(python->child.pid()) == 0);
  }
}

TEST_CASE("a session ends when its events say so, and when no process is left", "[sampler]") {
  FakePython python;
  Events events;
  Session session{each(1ms), events};
  session.add(python.target());
  events.on_tick = [](const Tick& tick) { return tick.number < 3; };
  session.run({});
  CHECK(events.ticks.size() == 3);
  CHECK(events.ends.size() == 1);

  Events others;
  Session lonely{each(1ms), others};
  lonely.add(python.target());
  others.on_tick = [&](const Tick& tick) {
    if (tick.number == 2) ::kill(python.child.pid(), SIGKILL);
    return tick.number < 5000;
  };
  lonely.run({});
  REQUIRE(others.ends.size() == 1);
  CHECK(others.ends[0].second == End::exited);

  Events none;
  Session empty{each(1ms), none};
  empty.run({});
  CHECK(none.ticks.size() == 1);
}

TEST_CASE("a process that nobody wants is left alone", "[sampler]") {
  FakePython python;
  Events events;
  events.wants = false;
  Session session{each(1ms), events};
  session.add(python.target());
  session.watch(python.child.pid());
  session.run(Clock::now() + 10ms);
  CHECK(events.opened.size() == 1);
  CHECK(events.ends.empty());
  CHECK(events.ticks.back().watched == 0);
}

TEST_CASE("a process that executes another program is watched from then on", "[sampler]") {
  FakePython python;
  Events events;
  Session session{each(1ms), events};
  session.add(python.target());
  std::size_t watched = 0;
  events.on_tick = [&](const Tick& tick) {
    if (tick.number == 3) python.child[1] = 1;
    watched = tick.watched;
    return tick.number < 5000 && tick.watched == 0;
  };
  session.run(Clock::now() + 4s);
  REQUIRE(!events.ends.empty());
  CHECK(events.ends[0].second == End::executed);
  CHECK(watched == 1);
}

TEST_CASE("what is watched and is no Python is asked again, and forgotten at its end", "[sampler]") {
  ::test::ChildProcess child{[](auto&) {
    for (;;) ::pause();
  }};
  Events events;
  Session session{each(1ms), events};
  session.watch(child.pid());
  session.watch(child.pid());  // once is enough
  session.watch(0x7ffffffe);
  std::size_t most = 0;
  events.on_tick = [&](const Tick& tick) {
    most = std::max(most, tick.watched);
    if (tick.number == 10) child.end();
    return tick.number < 5000;
  };
  session.run({});
  CHECK(most == 1);
  CHECK(events.ticks.back().watched == 0);
  CHECK(events.opened.empty());
  CHECK(events.refused_pids.empty());
}

TEST_CASE("children of what is watched are watched too, if asked for", "[sampler]") {
  const bool subprocesses = GENERATE(true, false);
  ::test::ChildProcess child{[](::test::Counters& counters) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (grandchild != 0) counters[0] = grandchild;
    for (;;) ::pause();
  }};
  REQUIRE(::test::comes_true([&] { return child[0] != 0; }));
  Events events;
  Session session{each(1ms), events, subprocesses};
  session.watch(child.pid());
  session.run(Clock::now() + 10ms);
  CHECK(events.ticks.back().watched == (subprocesses ? 2 : 1));
  ::kill(static_cast<pid_t>(child[0]), SIGKILL);
}

TEST_CASE("a signal handler that ran ends a session if the events want that", "[sampler]") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, &before);
  FakePython python;
  Events events;
  events.most_interrupts = 2;
  Session session{each(500ms), events};
  session.add(python.target());
  const itimerval soon{{0, 5'000}, {0, 5'000}}, never{};
  ::setitimer(ITIMER_REAL, &soon, nullptr);
  session.run(Clock::now() + 10s);
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  CHECK(events.interrupts == 2);
  CHECK(events.ticks.size() == 1);
  CHECK(events.ends.size() == 1);
}

TEST_CASE("the events of a session may add and watch processes", "[sampler]") {
  FakePython first, second;
  Events events;
  Session session{each(1ms), events};
  session.add(first.target());
  bool has_added = false;
  events.on_end = [&] {
    if (std::exchange(has_added, true)) return;
    session.add(second.target());
    for (const pid_t pid : process::read_children(::getpid())) session.watch(pid);
  };
  events.on_tick = [&](const Tick& tick) {
    if (tick.number == 2) ::kill(first.child.pid(), SIGKILL);
    return tick.number < 5000 && !(has_added && events.samples > 5);
  };
  session.run(Clock::now() + 4s);
  REQUIRE(events.opened.size() == 2);
  CHECK(events.opened[1] == second.child.pid());
  REQUIRE(events.ends.size() == 2);
  CHECK(events.ends[1].second == End::stopped);
}

TEST_CASE("ticks that came too late are counted as missed", "[sampler]") {
  FakePython python;
  Events events;
  Session session{each(1ms), events};
  session.add(python.target());
  events.on_tick = [](const Tick& tick) {
    if (tick.number == 1) ::test::sleep_for(20ms);
    return tick.number < 2;
  };
  session.run({});
  CHECK(events.ticks.size() == 2);
  CHECK(events.ticks.back().missed >= 18);
}

TEST_CASE("a process that is added when a session ends is there for its next run", "[sampler]") {
  FakePython first, second;
  Events events;
  Session session{each(1ms), events};
  session.add(first.target());
  events.on_end = [&] { session.add(second.target()); };
  session.run(Clock::now() + 3ms);
  CHECK(events.ends == std::vector{std::pair{first.child.pid(), End::stopped}});
  CHECK(events.opened.size() == 2);
  events.on_end = nullptr;
  session.run(Clock::now() + 3ms);
  CHECK(events.ends.size() == 2);
  CHECK(events.ends.back() == std::pair{second.child.pid(), End::stopped});
}

TEST_CASE("a session takes any interval", "[sampler]") {
  FakePython python;
  for (const auto interval : {0ns, -5ns, 1ns, std::chrono::nanoseconds::max(), std::chrono::nanoseconds::min()}) {
    CAPTURE(interval.count());
    Events events;
    Session session{each(interval), events};
    session.add(python.target());
    events.on_tick = [](const Tick& tick) { return tick.number < 3; };
    session.run(Clock::now() + 5ms);
    CHECK(events.ends.size() == 1);
    CHECK(!events.ticks.empty());
  }
}
