// Samples of threads that only look like Python's: of our own process, and of children that hold fake interpreters.
#include "pyagent/sampler/sampler.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/child_process.hpp"
#include "support/fake_process.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace std::chrono_literals;
using pyagent::test::FakeProcess;
using recording::Counter;
using recording::SampleFlag;
using recording::SampleRecord;
using sampler::End;
using sampler::Options;
using sampler::Sampler;

namespace {

const Layout* const all_layouts[] = {&layout_v3_8,  &layout_v3_10, &layout_v3_11,  &layout_v3_12,
                                     &layout_v3_13, &layout_v3_14, &layout_v3_14t, &layout_v3_15};

/// Remembers what it is given.
struct TakenSamples : sampler::SampleSink {
  void add_code(const recording::CodeRecord& code) override {
    ids_in_order = ids_in_order && code.id == codes.size() + 1;
    codes[code.id] = code.name;
  }
  void add_thread(const recording::ThreadRecord& thread) override { threads[thread.index] = thread; }
  void look(std::span<const RawFrame> frames) override { looked = frames.size(); }
  void add_sample(const SampleRecord& sample) override {
    samples.push_back(sample);
    knows_all = knows_all && threads.contains(sample.thread);
    for (const auto& frame : sample.frames) knows_all = knows_all && codes.contains(frame.code);
  }
  void count(Counter counter, std::uint64_t amount) override { counts[counter] += amount; }
  Errc status() const noexcept override { return failed; }

  std::vector<std::string> names(std::size_t sample) const {
    std::vector<std::string> names;
    for (const auto& frame : samples.at(sample).frames) names.push_back(codes.at(frame.code));
    return names;
  }

  std::map<recording::CodeId, std::string> codes;
  std::map<recording::ThreadIndex, recording::ThreadRecord> threads;
  std::vector<SampleRecord> samples;
  std::map<Counter, std::uint64_t> counts;
  std::size_t looked = 0;
  bool ids_in_order = true, knows_all = true;
  Errc failed = Errc::ok;
};

/// Three frames, whose code objects have names.
void push_frames(FakeProcess& fake) {
  fake.thread().push_frame("leaf").push_frame("middle").from_c().push_frame("root");
  for (const char* name : {"leaf", "middle", "root"})
    fake.set_code(fake.thread().code(name), fake.str(name), fake.str("file.py"), 7,
                  100u + static_cast<unsigned char>(name[0]));
  // A frame object that runs says so.
  const auto& frame = fake.runtime().layout.frame;
  if (frame.executing == absent) return;
  for (const char* name : {"leaf", "middle", "root"})
    fake.put(fake.thread().frame(name) + frame.executing, frame.executing_value);
}

enum class Does { waits, runs };

/// A child of ours in which a fake interpreter's only thread waits or runs.
class FakePython {
 public:
  FakePython(FakeProcess& fake, Does does)
      : child_([&](::test::Counters& counters) {
          fake.run_by_caller();
          counters[0] = 1;
          for (;;)
            if (does == Does::waits)
              ::pause();
            else
              ++counters[1];
        }),
        target_(fake.target(child_.pid())) {
    REQUIRE(::test::comes_true([&] { return child_[0] == 1; }));
    // In pause(2), not on the way to it.
    if (does == Does::waits)
      ::test::comes_true([&] {
        const auto files = process::TaskFiles::open(pid(), pid());
        const auto call = files ? files->read_system_call() : files.error();
        return call && call->is_blocked();
      });
  }

  const sampler::Target& target() const { return target_; }
  pid_t pid() const { return child_.pid(); }
  ::test::ChildProcess& child() { return child_; }

 private:
  ::test::ChildProcess child_;
  sampler::Target target_;
};

const std::vector<std::string> whole{"leaf", "middle", "root"};

/// Lets time pass, as a sampler asks for it.
void pass(Sampler& sampler, std::chrono::nanoseconds time) {
  sampler::EventWait wait;
  wait.wait_until(
      sampler::EventWait::Clock::now() + time, [&] { return sampler.holds_threads(); },
      [&] { sampler.handle_events(); });
}

/// Samples until something ends it, with a `pause` after each round. What ended it.
std::optional<End> sample_to_the_end(Sampler& sampler, TakenSamples& taken, std::chrono::nanoseconds pause = {}) {
  std::optional<End> why;
  CHECK(::test::comes_true([&] {
    why = sampler.sample(taken);
    if (pause > 0ns) pass(sampler, pause);
    return why.has_value();
  }));
  return why;
}

/// CPU time that `work` takes us.
template <class Work>
std::chrono::nanoseconds duration_of(Work work) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
  };
  const auto begin = now();
  work();
  return now() - begin;
}

}  // namespace

TEST_CASE("a thread that runs is sampled whole, stopped or not, in every version", "[sampler]") {
  for (const Layout* layout : all_layouts)
    for (const bool stops : {true, false}) {
      CAPTURE(layout->version.minor, stops);
      FakeProcess fake{*layout};
      push_frames(fake);
      FakePython python{fake, Does::runs};
      TakenSamples taken;
      Options options;
      options.stop_threads = stops;
      Sampler sampler{python.target(), options};
      // One that was late to stop may stand still when it is looked at next.
      for (int i = 0; i < 20 && taken.samples.size() < 3; ++i) {
        CHECK(!sampler.sample(taken));
        pass(sampler, 1ms);
      }
      CHECK(sampler.holds_threads() == stops);
      REQUIRE(taken.samples.size() == 3);
      for (std::size_t i = 0; i < 3; ++i) CHECK(taken.names(i) == whole);
      CHECK(taken.samples[0].frames[0].instruction == 4);
      CHECK(taken.samples[0].frames[2].is_entry);
      CHECK(taken.samples[2].time > taken.samples[0].time);
      CHECK(taken.samples[1].wall == 0ns);
      CHECK(taken.codes.size() == 3);
      CHECK(taken.ids_in_order);
      CHECK(taken.knows_all);
      CHECK(taken.looked == 3);
      REQUIRE(taken.threads.size() == 1);
      CHECK(taken.threads[0].tid == python.pid());
      CHECK(taken.threads[0].is_main);
      CHECK(taken.threads[0].name == "MainThread");
      sampler.finish(taken);
      CHECK(!sampler.holds_threads());
      const long before = python.child()[1];
      CHECK(::test::comes_true([&] { return python.child()[1] > before; }));  // it runs on
      CHECK(taken.threads[0].sampled > 0ns);
    }
}

TEST_CASE("a caller that says it runs is no proof of a call, where nothing is stopped", "[sampler]") {
  for (const Layout* layout : all_layouts) {
    if (layout->frame_chain == FrameChain::frame_object) continue;
    CAPTURE(layout->version.minor);
    FakeProcess fake{*layout};
    push_frames(fake);
    const bool has_pointer = layout->version >= Version{3, 14};
    // Called from C, "root" says of itself that it runs.
    for (const char* name : {"root", "leaf", "middle"}) {
      const Address stack_top = fake.thread().frame(name) + layout->frame.stack_top;
      if (has_pointer)
        fake.thread().write(stack_top, std::uint64_t{0});
      else
        fake.thread().write(stack_top, -1);
      FakePython python{fake, Does::runs};
      TakenSamples taken;
      Options options;
      options.stop_threads = false;
      Sampler sampler{python.target(), options};
      for (int i = 0; i < 3; ++i) {
        CHECK(!sampler.sample(taken));
        pass(sampler, 1ms);
      }
      CHECK(taken.samples.empty() == (name == std::string{"middle"}));
      CHECK((taken.counts[Counter::dropped_changed] != 0) == (name == std::string{"middle"}));
    }
  }
}

TEST_CASE("a thread that waits is no sample, or one that weighs the time it waits", "[sampler]") {
  for (const Layout* layout : all_layouts) {
    CAPTURE(layout->version.minor);
    FakeProcess fake{*layout};
    push_frames(fake);
    FakePython python{fake, Does::waits};
    TakenSamples none, taken;
    Sampler without{python.target(), {}};
    CHECK(!without.sample(none));
    CHECK(none.samples.empty());
    CHECK(!without.holds_threads());
    Options options;
    options.idle = true;
    Sampler sampler{python.target(), options};
    CHECK(!sampler.sample(taken));
    REQUIRE(taken.samples.size() == 1);
    CHECK(taken.names(0) == whole);
    CHECK(taken.samples[0].has(SampleFlag::off_cpu));
    CHECK(!taken.samples[0].has(SampleFlag::waits_for_gil));
    ::test::sleep_for(5ms);
    CHECK(!sampler.sample(taken));
    CHECK(taken.samples.size() == 1);  // it goes on waiting: what it weighs is said later
    CHECK(!sampler.holds_threads());
    sampler.finish(taken);
    REQUIRE(taken.samples.size() == 2);
    CHECK(taken.names(1) == whole);
    CHECK(taken.samples[1].wall >= 5ms);
    CHECK(taken.samples[1].cpu == 0ns);
  }
}

TEST_CASE("our own process can be sampled, from another thread than the one that runs Python", "[sampler]") {
  FakeProcess fake{layout_v3_13};
  push_frames(fake);
  std::atomic<bool> is_ready = false, is_over = false;
  std::thread python{[&] {
    ::pthread_setname_np(::pthread_self(), "fake");
    fake.run_by_caller();
    is_ready = true;
    while (!is_over) continue;
  }};
  CHECK(::test::comes_true([&] { return is_ready.load(); }));
  TakenSamples taken;
  const auto target = fake.target(::getpid());
  {
    Sampler sampler{target, {}};  // wants to stop threads, and can't stop its own process's
    CHECK(!sampler.sample(taken));
    CHECK(!sampler.sample(taken));
    CHECK(!sampler.holds_threads());
    sampler.finish(taken);
  }
  is_over = true;
  python.join();
  REQUIRE(taken.samples.size() == 2);
  CHECK(taken.names(0) == whole);
  CHECK(taken.threads[0].name == "fake");
  CHECK(!taken.threads[0].is_main);
}

TEST_CASE("a holder of the GIL is told from who does not hold it", "[sampler]") {
  FakeProcess fake{layout_v3_13};
  push_frames(fake);
  const Address gil = fake.thread().allocate(256).begin;
  fake.put(fake.interpreter() + layout_v3_13.interpreter.gil, gil.value);
  const bool holds = GENERATE(true, false);
  if (holds) {
    fake.put(gil + layout_v3_13.gil.last_holder, fake.thread().address().value);
    fake.put(gil + layout_v3_13.gil.locked, std::int32_t{1});
    fake.put(fake.interpreter() + layout_v3_13.interpreter.gc_collecting, std::int32_t{1});
  }
  FakePython python{fake, Does::runs};
  TakenSamples taken;
  Options options;
  options.gil = true;
  Sampler only_gil{python.target(), options};
  CHECK(!only_gil.sample(taken));
  CHECK(taken.samples.size() == (holds ? 1 : 0));
  only_gil.finish(taken);
  TakenSamples all;
  Sampler sampler{python.target(), {}};
  CHECK(!sampler.sample(all));
  REQUIRE(all.samples.size() == 1);
  CHECK(all.samples[0].has(SampleFlag::holds_gil) == holds);
  CHECK(all.samples[0].has(SampleFlag::collects) == holds);
}

TEST_CASE("a process that ends is told once, by name", "[sampler]") {
  FakeProcess fake{layout_v3_14};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  TakenSamples taken;
  Sampler sampler{python.target(), {}};
  CHECK(!sampler.sample(taken));
  pass(sampler, 1ms);
  CHECK(!sampler.sample(taken));
  ::kill(python.pid(), SIGKILL);
  CHECK(sample_to_the_end(sampler, taken) == End::exited);
  sampler.finish(taken);
  CHECK(taken.threads[0].sampled > 0ns);
}

TEST_CASE("a sink that keeps nothing any more ends the sampling", "[sampler]") {
  FakeProcess fake{layout_v3_14};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  TakenSamples taken;
  Sampler sampler{python.target(), {}};
  CHECK(!sampler.sample(taken));
  taken.failed = Errc::no_space;
  CHECK(sample_to_the_end(sampler, taken) == End::sink_failed);
}

TEST_CASE("only the thread that was asked for is sampled", "[sampler]") {
  FakeProcess fake{layout_v3_13};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  TakenSamples taken;
  Options options;
  options.thread = python.pid() + 1;
  Sampler other{python.target(), options};
  CHECK(!other.sample(taken));
  CHECK(taken.samples.empty());
  options.thread = python.pid();
  Sampler it{python.target(), options};
  CHECK(!it.sample(taken));
  CHECK(taken.samples.size() == 1);
}

TEST_CASE("run_for takes any interval and any time", "[sampler]") {
  FakeProcess fake{layout_v3_14};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  profile::Profile profile;
  for (const auto interval : {0ns, -1ns, std::chrono::nanoseconds::max()}) {
    Options options;
    options.interval = interval;
    Sampler sampler{python.target(), options};
    CHECK(!sampler.run_for(2ms, profile));
    CHECK(!sampler.run_for(0ns, profile));
    CHECK(!sampler.run_for(-1s, profile));
  }
  Sampler sampler{python.target(), {}};
  ::kill(python.pid(), SIGKILL);
  CHECK(sampler.run_for(std::chrono::nanoseconds::max(), profile) == End::exited);  // as long as it lives
}

TEST_CASE("CPU time is given to samples, and not twice", "[sampler]") {
  FakeProcess fake{layout_v3_12};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  TakenSamples taken;
  Sampler sampler{python.target(), {}};
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    CHECK(!sampler.sample(taken));
    pass(sampler, 2ms);
  }
  sampler.finish(taken);
  const auto took = std::chrono::steady_clock::now() - begin;
  std::chrono::nanoseconds sum{};
  for (const SampleRecord& sample : taken.samples) sum += sample.cpu;
  CHECK(sum == taken.threads[0].sampled);
  CHECK(sum > 0ns);
  CHECK(sum < took);
  CHECK(taken.threads[0].cpu > 0ns);
  CHECK(taken.threads[0].cpu < took);
}

TEST_CASE("run_for makes a profile of what was seen while it ran", "[sampler]") {
  FakeProcess fake{layout_v3_14};
  push_frames(fake);
  FakePython python{fake, Does::runs};
  Options options;
  options.interval = 2ms;
  Sampler sampler{python.target(), options};
  profile::Profile profile;
  std::optional<End> why;
  const auto begin = std::chrono::steady_clock::now();
  why = sampler.run_for(30ms, profile);
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(!why);
  CHECK(took >= 30ms);
  CHECK(took < 1s);
  CHECK(!sampler.holds_threads());
  std::size_t samples = 0;
  for (const auto& thread : profile.threads) samples += thread.samples.size();
  CHECK(samples != 0);
}

TEST_CASE("a target that is not what it seems costs a sample, not the sampler", "[sampler]") {
  struct Spoiled {
    const char* name;
    void (*spoil)(FakeProcess&, const Layout&);
  };
  const Spoiled spoiled[] = {
      {"a thread that follows itself",
       [](FakeProcess& fake, const Layout& at) {
         fake.put(fake.thread().address() + at.thread.next, fake.thread().address().value);
       }},
      {"an interpreter that follows itself",
       [](FakeProcess& fake, const Layout& at) {
         fake.put(fake.interpreter() + at.interpreter.next, fake.interpreter().value);
       }},
      {"a thread that is nowhere",
       [](FakeProcess& fake, const Layout& at) {
         fake.put(fake.thread().address() + at.thread.next, ~std::uint64_t{7});
       }},
      {"a frame that nobody can read",
       [](FakeProcess& fake, const Layout&) { fake.thread().set_current(Address{~std::uint64_t{0} - 15}); }},
      {"a frame in the first page", [](FakeProcess& fake, const Layout&) { fake.thread().set_current(Address{8}); }},
      {"a frame that links to itself",
       [](FakeProcess& fake, const Layout&) { fake.thread().link("middle", "middle"); }},
      {"a chain that comes back", [](FakeProcess& fake, const Layout&) { fake.thread().link("root", "leaf"); }},
      {"a chain that ends", [](FakeProcess& fake, const Layout&) { fake.thread().unlink("leaf"); }},
      {"code that is none",
       [](FakeProcess& fake, const Layout& at) {
         fake.put(fake.thread().frame("middle") + at.frame.code, fake.thread().none().value + 16);
       }},
      {"code of 2^63 units",
       [](FakeProcess& fake, const Layout& at) {
         fake.put(fake.thread().code("leaf") + at.object.var_size, std::uint64_t{1} << 63);
       }},
      {"texts and lines of 2^63 bytes",
       [](FakeProcess& fake, const Layout& at) {
         const Address text = fake.str("text");
         fake.put(text + at.unicode.length, std::uint64_t{1} << 63);
         fake.put(text + at.object.var_size, std::uint64_t{1} << 63);
         for (const char* name : {"leaf", "root"}) {
           fake.set_code(fake.thread().code(name), text, text, -1, 7);
           fake.put(fake.thread().code(name) + at.code.lines, text.value);
         }
       }},
      {"texts that are nowhere",
       [](FakeProcess& fake, const Layout&) {
         fake.set_code(fake.thread().code("leaf"), Address{~std::uint64_t{7}}, Address{8}, 1, 7);
       }},
      {"a data stack without end",
       [](FakeProcess& fake, const Layout& at) {
         if (at.thread.datastack_chunk == absent) return;
         const Address chunk{fake.thread().read(fake.thread().address() + at.thread.datastack_chunk)};
         fake.put(chunk + at.stack_chunk.size, ~std::uint64_t{0} - 64);
         fake.put(chunk + at.stack_chunk.previous, chunk.value);
       }},
      {"a data stack that ends before it begins",
       [](FakeProcess& fake, const Layout& at) {
         if (at.thread.datastack_top != absent)
           fake.put(fake.thread().address() + at.thread.datastack_top, std::uint64_t{1} << 62);
       }},
  };
  for (const Layout* layout : {&layout_v3_9, &layout_v3_12, &layout_v3_14})
    for (const Spoiled& one : spoiled) {
      CAPTURE(one.name, layout->version.minor);
      FakeProcess fake{*layout};
      push_frames(fake);
      one.spoil(fake, *layout);
      FakePython python{fake, Does::runs};
      for (const bool stops : {true, false}) {
        TakenSamples taken;
        Options options;
        options.stop_threads = stops;
        Sampler sampler{python.target(), options};
        const auto took = duration_of([&] {
          for (int i = 0; i < 2; ++i) CHECK(!sampler.sample(taken));
          sampler.finish(taken);
        });
        CHECK(took < 1s);
        CHECK(taken.knows_all);
        for (const SampleRecord& sample : taken.samples) CHECK(sample.frames.size() <= 2048);
        const bool is_flagged = !taken.samples.empty() && (taken.samples[0].flags & (8 | 16)) != 0;
        const bool is_whole = !taken.samples.empty() && taken.samples[0].frames.size() == 3;
        if (layout->frame_chain != FrameChain::frame_object) CHECK((is_whole || is_flagged || taken.samples.empty()));
      }
      const long before = python.child()[1];
      CHECK(::test::comes_true([&] { return python.child()[1] > before; }));
    }
}

TEST_CASE("tens of thousands of thread states take no second", "[sampler]") {
  // Of one thread, or of threads that are none; the list ends, or begins anew.
  const bool are_real = GENERATE(true, false), begins_anew = GENERATE(true, false);
  const std::size_t count = are_real ? 4'000 : 30'000;
  const Layout& layout = layout_v3_14;
  FakeProcess fake{layout, std::size_t{64} << 20};
  push_frames(fake);
  const std::size_t size = thread_prefix_size(layout);
  const Address states = fake.thread().allocate(count * size).begin;
  for (std::size_t i = 0; i < count; ++i) {
    const Address state = states + i * size;
    const Address next = i + 1 < count ? state + size : begins_anew ? states : Address{};
    fake.put(state + layout.thread.next, next.value);
    fake.put(state + layout.thread.interpreter, fake.interpreter().value);
    fake.put(state + layout.thread.thread_id, std::uint64_t{1} + i);
    fake.put(state + layout.thread.native_thread_id,
             std::uint64_t{are_real ? static_cast<std::uint64_t>(::getpid()) : 1'000'000 + i});
  }
  fake.put(fake.thread().address() + layout.thread.next, states.value);
  fake.run_by_caller();
  const auto target = fake.target(::getpid());
  TakenSamples taken;
  Sampler sampler{target, {}};
  for (int i = 0; i < 2; ++i) {
    const auto took = duration_of([&] { sampler.sample(taken); });
    CHECK(took < 1s);
  }
}

TEST_CASE("a stack of tens of thousands of frames keeps both its ends", "[sampler]") {
  for (const Layout* layout : {&layout_v3_10, &layout_v3_12, &layout_v3_14}) {
    CAPTURE(layout->version.minor);
    FakeProcess fake{*layout, std::size_t{64} << 20};
    fake.thread().push_frame("leaf");
    for (int i = 0; i < 9'000; ++i) fake.thread().push_frame("middle", 0);
    fake.thread().push_frame("root");
    for (const char* name : {"leaf", "middle", "root"})
      fake.set_code(fake.thread().code(name), fake.str(name), fake.str("file.py"), 7,
                    100u + static_cast<unsigned char>(name[0]));
    FakePython python{fake, Does::runs};
    TakenSamples taken;
    Sampler sampler{python.target(), {}};
    for (int i = 0; i < 3; ++i) {
      const auto took = duration_of([&] { CHECK(!sampler.sample(taken)); });
      CHECK(took < 1s);
    }
    REQUIRE(!taken.samples.empty());
    const auto names = taken.names(taken.samples.size() - 1);
    const SampleRecord& sample = taken.samples.back();
    CHECK(names.front() == "leaf");
    CHECK(names.back() == "root");
    CHECK(names.size() + sample.elided == 9'002);
    CHECK(sample.has(SampleFlag::elided));
    CHECK(sample.elided_at > 0);
  }
}

#if defined(__x86_64__)
TEST_CASE("a target whose registers point into many long chains is not held long", "[sampler]") {
  // A half-linked top, and in every register a frame of a chain that does not end well.
  for (const Layout* layout : {&layout_v3_12, &layout_v3_14}) {
    CAPTURE(layout->version.minor);
    FakeProcess fake{*layout, std::size_t{64} << 20};
    fake.thread().push_frame("leaf");
    for (int i = 0; i < 20'000; ++i) fake.thread().push_frame("middle", 0);
    fake.thread().push_frame("root");
    const std::uint64_t middle = fake.thread().frame("middle").value;
    fake.thread().unlink("leaf");
    if (layout->thread.base_frame == absent)
      fake.put(fake.thread().frame("root") + layout->frame.previous, std::uint64_t{8});
    ::test::ChildProcess child{[&](::test::Counters& counters) {
      fake.run_by_caller();
      counters[0] = 1;
      asm volatile(
          "mov %0, %%rbx; mov %0, %%rcx; mov %0, %%rdx; mov %0, %%rsi; mov %0, %%rdi; mov %0, %%r8; mov %0, %%r9\n"
          "mov %0, %%r10; mov %0, %%r11; mov %0, %%r12; mov %0, %%r13; mov %0, %%r14; mov %0, %%r15\n"
          "1: jmp 1b"
          :
          : "a"(middle)
          : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
    }};
    REQUIRE(::test::comes_true([&] { return child[0] == 1; }));
    const auto target = fake.target(child.pid());
    TakenSamples taken;
    Sampler sampler{target, {}};
    for (int i = 0; i < 2; ++i) {
      const auto took = duration_of([&] { CHECK(!sampler.sample(taken)); });
      CHECK(took < 500ms);
      pass(sampler, 1ms);
    }
    for (const SampleRecord& sample : taken.samples) CHECK(!sample.has(SampleFlag::repaired));
  }
}
#endif

TEST_CASE("memory that is gone ends the sampling after a while", "[sampler]") {
  if (::dlsym(RTLD_DEFAULT, "__asan_init") != nullptr) {
    WARN("skipped: what AddressSanitizer has allocated can't be unmapped");
    return;
  }
  FakeProcess fake{layout_v3_14};
  push_frames(fake);
  ::test::ChildProcess child{[&](::test::Counters& counters) {
    fake.run_by_caller();
    counters[0] = 1;
    while (counters[1] == 0) continue;
    const AddressRange all = fake.thread().all();
    constexpr std::uint64_t page = 4095;
    ::munmap(reinterpret_cast<void*>((all.begin.value + page) & ~page), (all.size() - page) & ~page);
    counters[2] = 1;
    for (;;) continue;
  }};
  REQUIRE(::test::comes_true([&] { return child[0] == 1; }));
  const auto target = fake.target(child.pid());
  TakenSamples taken;
  Sampler sampler{target, {}};
  CHECK(!sampler.sample(taken));
  CHECK(taken.samples.size() == 1);
  child[1] = 1;
  REQUIRE(::test::comes_true([&] {
    pass(sampler, 1ms);
    return child[2] == 1;
  }));
  const std::size_t before = taken.samples.size();
  CHECK(sample_to_the_end(sampler, taken, 20ms) == End::unreadable);
  CHECK(taken.samples.size() == before);
}
