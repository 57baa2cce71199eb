// Recordings with native frames become profiles.
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pyagent/profile/build_profile.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace profile = pyagent::profile;
namespace recording = pyagent::recording;
using recording::ModuleId;
using recording::NativeFrameRecord;
using recording::SampleFlag;
using recording::SampleRecord;

namespace {

constexpr ModuleId interpreter = 1, libc = 2, extension = 3, program = 4;

struct FakeRecording {
  std::vector<recording::CodeRecord> codes;
  std::vector<recording::ModuleRecord> modules;
  std::vector<SampleRecord> samples;
  std::vector<recording::ThreadRecord> thread_records{{.index = 0, .tid = 7, .thread_id = 9, .is_main = true, .name = "MainThread"}};
  recording::Counters counted;

  FakeRecording() {
    for (const char* name : {"root", "leaf"}) {
      auto& code = codes.emplace_back();
      code.id = static_cast<recording::CodeId>(codes.size());
      code.name = name;
      code.filename = "app.py";
      code.first_line = 1;
    }
    modules.push_back({.id = interpreter, .path = "/usr/lib/libpython3.so.1.0", .is_interpreter = true});
    modules.push_back({.id = libc, .path = "/lib/libc.so.6"});
    modules.push_back({.id = extension, .path = "/app/fast.so"});
    modules.push_back({.id = program, .path = "/usr/bin/server"});
  }
  template <class F>
  void for_each_code(F f) const { for (const auto& code : codes) f(code); }
  template <class F>
  void for_each_module(F f) const { for (const auto& module : modules) f(module); }
  template <class F>
  void for_each_sample(F f) const { for (const auto& sample : samples) f(sample); }
  const std::vector<recording::ThreadRecord>& threads() const { return thread_records; }
  recording::ProcessRecord process() const { return {}; }
  const recording::Counters& counters() const { return counted; }
};

using Location = pyagent::symbol::NativeLocation;

// Functions are at addresses of their own, in the order in which frames name them first.
class Program {
 public:
  // Native frames leaf first: `eval`, or `module:function` or `module:inlined:function`.
  void add_sample(std::vector<recording::FrameRecord> frames, const std::vector<std::string>& native, std::uint16_t flags = 0) {
    SampleRecord sample;
    sample.time = 10ms * static_cast<int>(recording.samples.size());
    sample.cpu = 10ms;
    sample.flags = flags;
    sample.frames = std::move(frames);
    for (const std::string& each : native) sample.native.push_back(frame(each));
    recording.samples.push_back(sample);
  }

  struct Symbolizer {
    std::map<std::uint64_t, std::vector<Location>> locations;
    std::vector<std::string> asked_paths{};
    std::vector<Location> find(const recording::ModuleRecord& module, const NativeFrameRecord& frame) {
      asked_paths.push_back(module.path);
      return locations.at(frame.address);
    }
  };

  profile::Profile build(const profile::ProfileOptions& options = {.show_lines = false}) {
    pyagent::symbol::CodeSymbols codes;
    return profile::build_profile(recording, options, codes, symbolizer);
  }
  // The stack of sample `which`, root first: `root;leaf`.
  std::string stack(const profile::ProfileOptions& options = {.show_lines = false}, std::size_t which = 0) {
    const auto built = build(options);
    std::string text;
    for (const auto id : built.frames_of(built.threads.at(0).samples.at(which).stack))
      text += (text.empty() ? "" : ";") + built.string(built.frame(id).name);
    return text;
  }

  FakeRecording recording;
  Symbolizer symbolizer;

 private:
  NativeFrameRecord frame(const std::string& text) {
    if (text == "eval") return at(interpreter, {{.name = "_PyEval_EvalFrameDefault", .file = {}}}, text, true);
    static const std::map<std::string, ModuleId> modules{
        {"python", interpreter}, {"libc", libc}, {"ext", extension}, {"program", program}, {"jit", 0}, {"gone", 99}};
    std::vector<Location> locations;
    std::size_t begin = text.find(':') + 1;
    for (std::size_t end; begin <= text.size(); begin = end + 1) {
      end = std::min(text.find(':', begin), text.size());
      locations.push_back({.name = text.substr(begin, end - begin), .file = {}});
    }
    return at(modules.at(text.substr(0, text.find(':'))), locations, text, false);
  }
  NativeFrameRecord at(ModuleId module, std::vector<Location> locations, const std::string& text, bool is_eval) {
    const auto address = addresses_.try_emplace(text, 0x1000 + 16 * addresses_.size()).first->second;
    symbolizer.locations.try_emplace(address, std::move(locations));
    return {.module = module, .address = address, .flags = recording::native_flags(is_eval, false, 1)};
  }

  std::map<std::string, std::uint64_t> addresses_;
};

constexpr std::uint16_t bits(SampleFlag flag) { return static_cast<std::uint16_t>(flag); }

// `root` called C, which called `leaf`.
const std::vector<recording::FrameRecord> python{{.code = 2, .instruction = 0, .is_entry = true}, {.code = 1, .instruction = 0, .is_entry = true}};

std::string fact(const profile::Profile& built, const std::string& name) {
  for (const auto& [key, value] : built.facts)
    if (key == name) return value;
  return "(none)";
}

}  // namespace

TEST_CASE("Native frames stand between the Python frames that called them and those that they called", "[profile]") {
  Program p;
  p.add_sample(python, {"libc:memmove", "ext:copy", "eval", "ext:callback", "ext:run", "eval"});
  CHECK(p.stack() == "root;run;callback;leaf;copy;memmove");
  CHECK(p.stack({.show_lines = false, .native = false}) == "root;leaf");
}

TEST_CASE("Functions that were inlined are frames of their own", "[profile]") {
  Program p;
  p.add_sample(python, {"ext:innermost:inlined:outer", "eval", "eval"});
  CHECK(p.stack() == "root;leaf;outer;inlined;innermost");
}

TEST_CASE("The interpreter's own functions are shown only where they say something", "[profile]") {
  const auto shown = [](std::vector<std::string> native, bool everything = false) {
    Program p;
    native.push_back("eval");
    native.push_back("eval");
    p.add_sample(python, native);
    return p.stack({.show_lines = false, .native_all = everything});
  };
  CHECK(shown({"python:list_resize", "python:list_extend_lock_held"}) == "root;leaf");
  CHECK(shown({"python:list_resize", "python:list_sort"}) == "root;leaf;list_sort");
  CHECK(shown({"python:subtract_refs", "python:deduce_unreachable", "python:gc_collect_main", "python:_PyObject_GC_Alloc"}) ==
        "root;leaf;gc_collect_main");
  CHECK(shown({"libc:futex_wait", "python:take_gil", "python:PyEval_RestoreThread"}) ==
        "root;leaf;PyEval_RestoreThread;take_gil;futex_wait");
  // What a dispatcher calls is what Python code called; what that calls is its own business.
  CHECK(shown({"python:helper", "python:frobnicate", "python:cfunction_vectorcall_O"}) == "root;leaf;frobnicate");
  CHECK(shown({"python:PyNumber_Add", "python:cfunction_vectorcall_O"}) == "root;leaf");
  CHECK(shown({"python:libpython3.so.1.0+0x1234", "python:PyObject_Vectorcall"}) == "root;leaf");
  CHECK(shown({"ext:PyInit_fast", "python:PyModule_Create"}) == "root;leaf;PyInit_fast");  // another module's
  CHECK(shown({"python:helper", "python:cfunction_vectorcall_O"}, true) == "root;leaf;cfunction_vectorcall_O;helper");
}

TEST_CASE("What was inlined into the interpreter's functions tells what they do", "[profile]") {
  Program p;
  p.add_sample(python, {"python:binarysort:list_sort_impl:list_sort", "python:_PyObject_VectorcallTstate:helper", "eval", "eval"});
  CHECK(p.stack() == "root;leaf;list_sort");
  CHECK(p.stack({.show_lines = false, .native_all = true}) ==
        "root;leaf;helper;_PyObject_VectorcallTstate;list_sort;list_sort_impl;binarysort");
}

TEST_CASE("How threads and programs begin is left out below Python's frames", "[profile]") {
  const auto shown = [](const std::vector<std::string>& outer, std::uint16_t flags = 0) {
    Program p;
    std::vector<std::string> native{"libc:read", "eval", "eval"};
    native.insert(native.end(), outer.begin(), outer.end());
    p.add_sample(python, native, flags);
    return p.stack();
  };
  CHECK(shown({"python:pymain_run", "python:Py_BytesMain", "program:main", "libc:__libc_start_call_main", "libc:__libc_start_main",
               "program:_start"}) == "root;leaf;read");
  CHECK(shown({"python:thread_run", "python:pythread_wrapper", "libc:libc.so.6+0x89144", "libc:clone3"}) == "root;leaf;read");
  // A program of one's own that runs Python, and a thread of one's own.
  CHECK(shown({"python:PyRun_SimpleString", "program:serve", "program:main", "libc:libc.so.6+0x27249", "program:_start"}) ==
        "main;serve;root;leaf;read");
  CHECK(shown({"python:PyObject_Call", "ext:worker", "libc:start_thread", "libc:clone3"}) == "worker;root;leaf;read");
  CHECK(shown({"libc:qsort", "ext:sort"}) == "sort;qsort;root;leaf;read");
  // Where the root is missing, nothing is known to be the start of anything.
  CHECK(shown({"ext:sort", "libc:qsort"}, bits(SampleFlag::native_truncated)) == "[truncated];qsort;sort;root;leaf;read");
}

TEST_CASE("A thread that runs no Python shows all of its native frames", "[profile]") {
  Program p;
  p.add_sample({}, {"python:take_gil", "ext:worker", "libc:start_thread", "libc:clone3"});
  CHECK(p.stack() == "clone3;start_thread;worker;take_gil");
  const auto without = p.build({.native = false});
  CHECK(without.threads.empty());
  CHECK(fact(without, "samples without frames") == "1");
}

TEST_CASE("Native frames have their source file and line, or their module", "[profile]") {
  Program p;
  p.add_sample(python, {"ext:leaf", "libc:memmove", "eval", "eval"});
  for (auto& [address, locations] : p.symbolizer.locations)
    if (locations[0].name == "leaf") locations[0] = {"leaf", "/home/user/src/fast.cpp", 12, 5};
  const auto shown = [&](const profile::ProfileOptions& options, std::size_t from_leaf) {
    const auto built = p.build(options);
    const auto frames = built.frames_of(built.threads.at(0).samples.at(0).stack);
    const auto& frame = built.frame(frames[frames.size() - 1 - from_leaf]);
    return built.string(frame.file) + ':' + std::to_string(frame.line) + ':' + std::to_string(frame.column);
  };
  CHECK(shown({}, 0) == "fast.cpp:12:5");
  CHECK(shown({}, 1) == "libc.so.6:0:0");
  CHECK(shown({.full_filenames = true}, 0) == "/home/user/src/fast.cpp:12:5");
  CHECK(shown({.full_filenames = true}, 1) == "/lib/libc.so.6:0:0");
  CHECK(shown({.show_lines = false}, 0) == "fast.cpp:0:0");
  CHECK(shown({.function = true}, 0) == "fast.cpp:0:0");  // where the function begins is not known
}

TEST_CASE("Code around what a program wrote is left out, wherever it was inlined", "[profile]") {
  Program p;
  p.add_sample(python, {"ext:written:__Pyx_wrapper", "ext:__Pyx_glue", "eval", "eval"});
  for (auto& [address, locations] : p.symbolizer.locations)
    for (Location& location : locations) location.is_glue = location.name.starts_with("__Pyx_");
  CHECK(p.stack() == "root;leaf;written");
  CHECK(p.stack({.show_lines = false, .native_all = true}) == "root;leaf;__Pyx_glue;__Pyx_wrapper;written");
}

TEST_CASE("Frames of modules that the recording lacks, and of none, are shown", "[profile]") {
  Program p;
  p.add_sample(python, {"gone:nobody", "jit:traced", "eval", "eval"});
  CHECK(p.stack() == "root;leaf;traced;[unknown module]");
  CHECK(p.symbolizer.asked_paths == std::vector<std::string>{"", "/usr/lib/libpython3.so.1.0"});
}

TEST_CASE("Without a symbolizer native frames are modules and addresses", "[profile]") {
  FakeRecording recording;
  SampleRecord sample;
  sample.cpu = 1ms;
  sample.native = {{.module = libc, .address = 0x1a2b0, .flags = 2}, {.module = 0, .address = 0x7f0012345678, .flags = 0}};
  recording.samples.push_back(sample);
  pyagent::symbol::CodeSymbols codes;
  const auto built = profile::build_profile(recording, profile::ProfileOptions{}, codes);
  const auto frames = built.frames_of(built.threads.at(0).samples.at(0).stack);
  REQUIRE(frames.size() == 2);
  CHECK(built.string(built.frame(frames[0]).name) == "0x7f0012345678");
  CHECK(built.string(built.frame(frames[1]).name) == "libc.so.6+0x1a2b0");
  CHECK(built.string(built.frame(frames[1]).file) == "libc.so.6");
}

TEST_CASE("Each address is looked up once", "[profile]") {
  Program p;
  for (int i = 0; i < 5; ++i) p.add_sample(python, {"ext:leaf", "eval", "ext:run", "eval"});
  const auto built = p.build();
  CHECK(p.symbolizer.asked_paths.size() == 3);
  for (const auto& sample : built.threads.at(0).samples) CHECK(sample.stack == built.threads[0].samples[0].stack);
}

TEST_CASE("An address is another one when it was about to run than when it is returned to", "[profile]") {
  Program p;
  p.add_sample(python, {"ext:leaf", "eval", "eval"});
  p.recording.samples[0].native[0].flags = recording::native_flags(false, true, 0);
  p.add_sample(python, {"ext:leaf", "eval", "eval"});
  p.build();
  CHECK(p.symbolizer.asked_paths.size() == 3);
}

TEST_CASE("Stacks that follow each other share what they have in common and nothing else", "[profile]") {
  Program p;
  p.add_sample(python, {"ext:one", "eval", "ext:run", "eval"});
  p.add_sample(python, {"ext:two", "eval", "ext:run", "eval"});
  p.add_sample(python, {"eval", "ext:other", "eval"});
  p.add_sample(python, {});
  p.add_sample(python, {"ext:one", "eval"}, bits(SampleFlag::native_truncated));
  const profile::ProfileOptions options{.show_lines = false};
  CHECK(p.stack(options, 0) == "root;run;leaf;one");
  CHECK(p.stack(options, 1) == "root;run;leaf;two");
  CHECK(p.stack(options, 2) == "root;other;leaf");
  CHECK(p.stack(options, 3) == "root;leaf");
  CHECK(p.stack(options, 4) == "root;[truncated];leaf;one");
}

TEST_CASE("How native stacks came about is a fact of the profile, if there are any", "[profile]") {
  Program p;
  p.add_sample(python, {});
  CHECK(fact(p.build(), "native stacks exact") == "(none)");
  p.recording.counted.native_exact = 9;
  p.recording.counted.native_resumed = 8;
  p.recording.counted.native_scanned = 7;
  p.recording.counted.native_python_tail = 6;
  p.recording.counted.native_truncated = 5;
  const auto built = p.build();
  CHECK(fact(built, "native stacks exact") == "9");
  CHECK(fact(built, "native stacks resumed") == "8");
  CHECK(fact(built, "native stacks scanned") == "7");
  CHECK(fact(built, "native stacks with a Python tail") == "6");
  CHECK(fact(built, "native stacks truncated") == "5");
}

TEST_CASE("Processes may have symbolizers of their own", "[profile]") {
  Program first, second;
  first.add_sample(python, {"ext:one", "eval", "eval"});
  second.add_sample(python, {"ext:two", "eval", "eval"});
  const std::vector<FakeRecording> recordings{first.recording, second.recording};
  pyagent::symbol::CodeSymbols codes;
  Program* turns[] = {&first, &second};
  std::size_t turn = 0;
  const auto built = profile::build_profile(std::span<const FakeRecording>{recordings}, profile::ProfileOptions{}, codes,
                                            [&](const recording::ProcessRecord&) -> Program::Symbolizer& { return turns[turn++]->symbolizer; });
  std::string leaves;
  for (const auto& thread : built.threads) leaves += built.string(built.frame(built.stack(thread.samples.at(0).stack).frame).name) + ' ';
  CHECK(leaves == "one two ");
}
