// Finds CPython in a process: the file, the runtime in it, version, build, layout.
#pragma once

#include <algorithm>    // any_of
#include <array>        // array
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/cpython/debug_offsets.hpp"
#include "pyagent/cpython/layouts.hpp"
#include "pyagent/interpreter/interpreter_head.hpp"
#include "pyagent/interpreter/loaded_image.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/interpreter/version_sources.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/process/status.hpp"

namespace pyagent::inline v0::interpreter {

namespace detail {

/// The image that holds an interpreter, and the program it is part of.
struct RuntimeImage {
  const LoadedImage& loaded;
  const LoadedImage* executable;  ///< null when it is the same file, or can't be read

  Address runtime() const noexcept {
    if (const Address symbol = loaded.find_address("_PyRuntime")) return symbol;
    const elf::Section* const section = loaded.image.find_section(".PyRuntime");
    return section != nullptr ? loaded.at(section->address) : Address{};
  }
  /// An exported variable. A program that is not position-independent has copies of those it names, and then everybody
  /// uses the copy: R_X86_64_COPY.
  Address object(std::string_view name) const noexcept {
    if (executable != nullptr)
      if (const Address copy = executable->find_address(name)) return copy;
    return loaded.find_address(name);
  }
};

inline bool holds_runtime(const elf::Image& image) noexcept {
  const elf::SymbolTable& symbols = image.dynamic_symbols();
  return symbols.find("_PyRuntime") || image.find_section(".PyRuntime") != nullptr ||
         (symbols.find("PyInterpreterState_Head") && symbols.find("_PyThreadState_Current"));
}

template <memory::Memory M>
cpython::BuildFlags read_build_flags(const M& memory, const RuntimeImage& found, cpython::Version version) {
  cpython::BuildFlags flags;
  flags.debug = found.object("_Py_RefTotal") || found.loaded.find_address("_Py_NegativeRefcount");
  std::array<std::byte, 24> table{};
  const Address runtime = found.runtime();
  const bool has_table = runtime && memory.read(runtime, table) == Errc::ok;
  const auto header = has_table ? cpython::read_debug_offsets_header(table) : Result<cpython::DebugOffsetsHeader>{Error{}};
  flags.free_threaded = header ? header->free_threaded : bool{found.loaded.find_address("_Py_MergeZeroLocalRefcount")};
  if (version >= cpython::Version{3, 13, 0, 0}) return flags;
  // `type` is an instance of itself, so its ob_type shows how long an object's header is.
  const Address type = found.object("PyType_Type");
  const auto shifted = type ? memory::read_pointer(memory, type + 24) : Result<Address>{Error{}};
  flags.trace_refs = shifted ? *shifted == type : bool{found.loaded.find_address("PyModule_Create2TraceRefs")};
  return flags;
}

/// Layout of this version and build, with the offsets that the target itself holds over it.
template <memory::Memory M>
Result<cpython::Layout> read_layout(const M& memory, Address runtime, cpython::Version version, cpython::BuildFlags flags) {
  if (version < cpython::Version{3, 13, 0, 0}) return cpython::find_layout(version, flags);
  std::array<std::byte, cpython::max_debug_offsets_size> table{};
  if (const Errc failed = memory.read(runtime, table); failed != Errc::ok) return Error{failed, runtime};
  if (cpython::find_layout_row(version) == nullptr) return cpython::layout_from_debug_offsets(table);
  const auto layout = cpython::find_layout(version, flags);
  return layout ? cpython::with_debug_offsets(*layout, table) : layout;
}

template <memory::Memory M>
Address read_head_variable(const M& memory, const LoadedImage& loaded) {
  const Address function = loaded.find_address("PyInterpreterState_Head");
  std::array<std::byte, 32> code{};
  if (function && memory.read(function, code) == Errc::ok)
    if (const Address variable = find_returned_variable(code, function); loaded.range.contains(variable, 8)) return variable;
  const auto symbol = loaded.image.static_symbols().find("interp_head");
  return symbol ? loaded.at(symbol->value) : Address{};
}

inline void find_objects(const RuntimeImage& found, Runtime& runtime) noexcept {
  runtime.none = found.object("_Py_NoneStruct");
  runtime.type_type = found.object("PyType_Type");
  runtime.code_type = found.object("PyCode_Type");
  runtime.function_type = found.object("PyFunction_Type");
  runtime.generator_type = found.object("PyGen_Type");
  runtime.coroutine_type = found.object("PyCoro_Type");
  runtime.async_generator_type = found.object("PyAsyncGen_Type");
  runtime.unicode_type = found.object("PyUnicode_Type");
  runtime.bytes_type = found.object("PyBytes_Type");
  runtime.tuple_type = found.object("PyTuple_Type");
  runtime.dict_type = found.object("PyDict_Type");
  runtime.property_type = found.object("PyProperty_Type");
  runtime.classmethod_type = found.object("PyClassMethod_Type");
  runtime.staticmethod_type = found.object("PyStaticMethod_Type");
}

template <memory::Memory M>
Result<Runtime> describe_runtime(const M& memory, const process::Maps& maps, const RuntimeImage& found, FindFailure& why) {
  const Address start = found.runtime();
  why = {Errc::ok, {}, found.loaded.path, {}};
  const auto fail = [&](Error error, std::string explanation) {
    why.code = error.code;
    why.explanation = std::move(explanation);
    return error;
  };
  const VersionVote vote = collect_versions(memory, maps, found.loaded, start);
  why.version = vote.leader().value_or(cpython::Version{});
  const auto version = vote.agree();
  if (!version) return fail(version.error(), vote.disagreement());
  why.version = *version;

  const auto flags = read_build_flags(memory, found, *version);
  auto layout = read_layout(memory, start, *version, flags);
  if (!layout) return fail(layout.error(), "Python " + version_text(*version) + ": " + message(layout.error()));
  layout->flags = flags;

  Runtime runtime;
  runtime.layout = *layout;
  runtime.image = found.loaded.range;
  runtime.path = found.loaded.path;
  runtime.needs_self_check = cpython::find_layout_row(*version) == nullptr;
  find_objects(found, runtime);
  switch (layout->interpreter_list) {
    case cpython::InterpreterList::head_variable:
      runtime.interpreter_head = read_head_variable(memory, found.loaded);
      runtime.current_thread_symbol = found.object("_PyThreadState_Current");
      break;
    case cpython::InterpreterList::runtime:
      runtime.runtime = start;
      if (start) runtime.interpreter_head = start + layout->runtime.interpreters_head;
      break;
  }
  if (!runtime.interpreter_head) return fail({Errc::not_found}, "the list of interpreters is not where it should be");
  return runtime;
}

/// The mapped files that hold code, each by its first executable mapping; the program first, then those whose name
/// says Python. `named` counts these.
inline std::vector<const process::Mapping*> list_code(const process::Maps& maps, std::string_view executable, std::size_t& named) {
  std::vector<const process::Mapping*> ordered, others;
  const auto is_listed = [](const auto& list, const process::Mapping& mapping) {
    return std::any_of(list.begin(), list.end(), [&](const auto* seen) { return seen->is_same_file(mapping); });
  };
  for (const process::Mapping& mapping : maps) {
    if (!mapping.executable || mapping.inode == 0 || is_listed(ordered, mapping) || is_listed(others, mapping)) continue;
    const std::string_view name = std::string_view{mapping.path}.substr(mapping.path.rfind('/') + 1);
    if (mapping.path == executable)
      ordered.insert(ordered.begin(), &mapping);
    else if (name.starts_with("python") || name.starts_with("libpython"))
      ordered.push_back(&mapping);
    else
      others.push_back(&mapping);
  }
  named = ordered.size();
  ordered.insert(ordered.end(), others.begin(), others.end());
  return ordered;
}

inline std::string executable_path(pid_t pid) {
  std::string path = process::read_executable(pid).value_or({});
  constexpr std::string_view mark = " (deleted)";
  if (path.ends_with(mark)) path.resize(path.size() - mark.size());
  return path;
}

}  // namespace detail

/// Finds the interpreter of process `pid`. Works before Py_Initialize too: everything comes from files, symbols and
/// initialised data. Where several are loaded, one that has been initialised is preferred.
///
/// Errors: not_found when there is none; unsupported_version, unsupported_build, inconsistent (sources name different
///         versions), unreadable and io_error; `why`, unless null, says it in words.
template <memory::Memory M>
Result<Runtime> find_runtime(const M& memory, pid_t pid, FindFailure* why = nullptr) {
  FindFailure unused;
  FindFailure& failure = why != nullptr ? *why : unused;
  failure = {Errc::not_found, {}, {}, "no interpreter is mapped"};
  const auto maps = process::read_maps(pid);
  if (!maps) {
    failure = {maps.error().code, {}, process::proc_path(pid, "maps"), message(maps.error())};
    return maps.error();
  }
  std::size_t named = 0;
  const std::string program = detail::executable_path(pid);
  const auto code = detail::list_code(*maps, program, named);

  std::optional<LoadedImage> executable;
  std::optional<Runtime> idle;
  std::optional<Error> failed;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (i == named && (idle || failed)) break;
    auto loaded = load_image(memory, pid, *maps, *code[i]);
    if (!loaded) continue;
    const bool is_executable = code[i]->path == program;
    if (detail::holds_runtime(loaded->image)) {
      FindFailure problem;
      const detail::RuntimeImage found{*loaded, executable ? &*executable : nullptr};
      const auto runtime = detail::describe_runtime(memory, *maps, found, problem);
      const auto head = runtime ? memory::read_pointer(memory, runtime->interpreter_head) : Result<Address>{Error{}};
      if (runtime && head && *head) return runtime;
      if (runtime && !idle) idle = *runtime;
      if (!runtime && !failed) failed = runtime.error(), failure = problem;
    }
    if (is_executable) executable = std::move(*loaded);
  }
  if (idle) return *idle;
  return failed ? *failed : Error{Errc::not_found};
}

}  // namespace pyagent::inline v0::interpreter
