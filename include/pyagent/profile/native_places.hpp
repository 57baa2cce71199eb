// Native frames as profiles show them: their frames, and which of them are worth a place. May allocate
#pragma once

#include <algorithm>      // any_of, find_if, max
#include <concepts>       // convertible_to
#include <cstddef>        // size_t
#include <cstdint>        // uint64_t
#include <cstdio>         // snprintf
#include <iterator>       // next
#include <span>           // span
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/profile/profile.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/symbol/interpreter_function.hpp"
#include "pyagent/symbol/native_module.hpp"

namespace pyagent::inline v0::profile {

/// Says where a native frame is: one location for each function that was inlined there, innermost first, the function
/// itself last; never none. symbol::NativeSymbols is one.
template <class N>
concept NativeSymbolizer = requires(N& symbolizer, const recording::ModuleRecord& module,
                                    const recording::NativeFrameRecord& frame) {
  { (*symbolizer.find(module, frame).begin()).name } -> std::convertible_to<std::string>;
  { (*symbolizer.find(module, frame).begin()).file } -> std::convertible_to<std::string>;
  { (*symbolizer.find(module, frame).begin()).line } -> std::convertible_to<std::int32_t>;
  { (*symbolizer.find(module, frame).begin()).column } -> std::convertible_to<std::int32_t>;
};

/// The last part of a path.
constexpr std::string_view file_name(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }

/// Names native frames by their modules and addresses, without opening a file.
class NativeAddresses {
 public:
  struct Location {
    std::string name;
    std::string file;
    std::int32_t line = 0;
    std::int32_t column = 0;
  };

  std::vector<Location> find(const recording::ModuleRecord& module, const recording::NativeFrameRecord& frame) const {
    char text[24];
    std::snprintf(text, sizeof text, "%s0x%llx", frame.module != 0 ? "+" : "",
                  static_cast<unsigned long long>(frame.address));
    const std::string_view name = frame.module != 0 ? file_name(module.path) : std::string_view{};
    return {{.name = std::string{name} + text, .file = {}}};
  }
};

/// How native frames are shown.
struct NativeView {
  bool is_everything = false;   ///< the interpreter's own functions too
  bool full_filenames = false;  ///< whole paths
  bool show_lines = true;
};

/// The native frames of one recording. Each address is looked up once.
template <NativeSymbolizer N>
class NativePlaces {
 public:
  /// One address.
  struct Place {
    std::vector<FrameId> frames;  ///< outermost function first
    enum class Role : std::uint8_t {
      shown,
      hidden,     ///< the interpreter's own
      collector,  ///< of several in a row, the outermost says it all
      callable,   ///< the interpreter's own, but a built-in function when a dispatcher calls it
    } role = Role::shown;
    bool is_dispatcher = false;   ///< calls what a call in Python code leads to
    bool is_start = false;        ///< how threads and programs begin: not worth a place below Python's frames
    bool is_main = false;         ///< `main`, which is Python's own if it calls the next
    bool is_python_main = false;  ///< Py_BytesMain and the like
  };
  using Role = typename Place::Role;

  NativePlaces(Profile& profile, N& symbolizer, const NativeView& view)
      : profile_(profile), symbolizer_(symbolizer), view_(view) {}

  void add_module(const recording::ModuleRecord& module) { modules_.insert_or_assign(module.id, module); }

  /// The number of the place of `frame`. Equal numbers are equal places.
  std::uint32_t find(const recording::NativeFrameRecord& frame) {
    const Key key{frame.address, frame.module, frame.has(recording::NativeFlag::exact)};
    const auto [known, is_new] = numbers_.try_emplace(key, static_cast<std::uint32_t>(places_.size()));
    if (is_new) places_.push_back(build(frame));
    return known->second;
  }
  const Place& operator[](std::uint32_t number) const { return places_[number]; }

  /// Which of the frames, leaf first, are shown in a stack that has Python frames: `visible` gets one entry for each.
  /// `has_root` says that the last one is where the thread begins.
  void find_visible(std::span<const recording::NativeFrameRecord> native, std::span<const std::uint32_t> numbers,
                    bool has_root, std::vector<bool>& visible) const {
    visible.assign(native.size(), true);
    if (view_.is_everything) return;
    bool is_start = has_root;  // from the root on, there was nothing yet but the start of the program or thread
    for (std::size_t i = native.size(); i-- > 0;) {
      const Place& place = places_[numbers[i]];
      const Place* caller = i + 1 < native.size() ? &places_[numbers[i + 1]] : nullptr;
      if (native[i].has(recording::NativeFlag::eval)) {
        is_start = false;
        continue;
      }
      visible[i] = is_worth_showing(place, caller);
      if (!is_start || !visible[i]) continue;
      const bool is_pythons_main = place.is_main && i > 0 && places_[numbers[i - 1]].is_python_main;
      if (is_start = place.is_start || is_pythons_main; is_start) visible[i] = false;
    }
  }

 private:
  struct Key {
    std::uint64_t address;
    recording::ModuleId module;
    bool is_exact;

    friend bool operator==(const Key&, const Key&) = default;
  };
  struct HashKey {
    std::size_t operator()(const Key& key) const noexcept {
      const auto mixed = (key.address + (std::uint64_t{key.module} << 40)) * 0x9e3779b97f4a7c15u;
      return static_cast<std::size_t>(mixed ^ mixed >> 32) + key.is_exact;
    }
  };

  static bool is_worth_showing(const Place& place, const Place* caller) noexcept {
    switch (place.role) {
      case Role::shown:
        return true;
      case Role::hidden:
        return false;
      case Role::collector:
        return caller == nullptr || caller->role != Role::collector;
      case Role::callable:
        return caller != nullptr && caller->is_dispatcher;
    }
    return true;
  }

  Place build(const recording::NativeFrameRecord& record) {
    static const recording::ModuleRecord no_module;
    const auto found = modules_.find(record.module);
    if (record.module != 0 && found == modules_.end())
      return {.frames = {profile_.intern_frame({.name = profile_.intern_string("[unknown module]")})}};
    const recording::ModuleRecord& module = record.module != 0 ? found->second : no_module;
    const auto& locations = symbolizer_.find(module, record);
    Place place;
    const std::string_view function = locations.back().name;
    place.is_start = is_start_function(function) || is_c_library(file_name(module.path));
    place.is_main = function == "main";
    if (module.is_interpreter) assign_role(locations, place);
    for (auto location = locations.rbegin(); location != locations.rend(); ++location)
      if (view_.is_everything || !is_glue(locations, location)) place.frames.push_back(intern(*location, module));
    if (place.frames.empty()) place.role = Role::hidden;
    // Inlining is no call: the interpreter's functions are shown as what they do.
    if (module.is_interpreter && !view_.is_everything) place.frames = {intern(*find_shown(locations), module)};
    return place;
  }

  template <class Locations>
  static void assign_role(const Locations& locations, Place& place) {
    using symbol::InterpreterFunction;
    const auto kind_of = [](const auto& location) { return symbol::classify_interpreter_function(location.name); };
    const std::string_view function = locations.back().name;
    const auto has = [&](InterpreterFunction kind) {
      return std::any_of(locations.begin(), locations.end(),
                         [&](const auto& location) { return kind_of(location) == kind; });
    };
    place.is_dispatcher = kind_of(*locations.begin()) == InterpreterFunction::dispatcher;
    place.is_python_main = function == "Py_BytesMain" || function == "Py_Main" || function == "_Py_UnixMain";
    if (kind_of(locations.back()) == InterpreterFunction::eval)
      place.role = Role::hidden;
    else if (has(InterpreterFunction::garbage_collection))
      place.role = Role::collector;
    else if (has(InterpreterFunction::waits_for_gil) || has(InterpreterFunction::builtin))
      place.role = Role::shown;
    else
      place.role =
          symbol::is_builtin_call("PyObject_Call", function) && !is_offset(function) ? Role::callable : Role::hidden;
    if (place.is_main) place.role = Role::shown;  // of a program that has Python in it
  }

  /// The location that a function of the interpreter is shown by: the outermost that is worth it.
  template <class Locations>
  static auto find_shown(const Locations& locations) {
    using symbol::InterpreterFunction;
    const auto found = std::find_if(locations.rbegin(), locations.rend(), [](const auto& location) {
      const auto kind = symbol::classify_interpreter_function(location.name);
      return kind == InterpreterFunction::garbage_collection || kind == InterpreterFunction::waits_for_gil ||
             kind == InterpreterFunction::builtin;
    });
    return found != locations.rend() ? found : locations.rbegin();
  }

  /// `libpython3.13.so.1.0+0x1a2b0`: a function without a name says nothing of what the interpreter does.
  static bool is_offset(std::string_view name) noexcept { return name.find("+0x") != name.npos; }

  /// Cython's, around the code that the program wrote.
  template <class Locations, class Place>
  static bool is_glue(const Locations& locations, Place location) {
    if constexpr (requires { symbol::is_hidden(*location, nullptr); })
      return symbol::is_hidden(*location, std::next(location) != locations.rend() ? &*std::next(location) : nullptr);
    else
      return false;
  }

  template <class Location>
  FrameId intern(const Location& location, const recording::ModuleRecord& module) {
    const std::string& path = location.file.empty() ? module.path : location.file;
    const std::string_view file = view_.full_filenames ? std::string_view{path} : file_name(path);
    Frame frame{.name = profile_.intern_string(location.name), .file = profile_.intern_string(file)};
    if (view_.show_lines && !location.file.empty()) {
      frame.line = std::max(location.line, 0);
      frame.column = std::max(location.column, 0);
    }
    return profile_.intern_frame(frame);
  }

  /// Functions that begin a thread or a program. Source: glibc 2.36 csu/, nptl/pthread_create.c; CPython
  /// Python/thread_pthread.h
  static bool is_start_function(std::string_view name) noexcept {
    for (const std::string_view known :
         {"_start", "__libc_start_main", "__libc_start_main_impl", "__libc_start_call_main", "start_thread", "clone",
          "__clone", "clone3", "__clone3", "thread_start", "thread_run", "pythread_wrapper", "t_bootstrap"})
      if (name == known) return true;
    return false;
  }

  /// The C library's frames at a stack's root are the start of it, whether their names are known or not.
  static bool is_c_library(std::string_view name) noexcept {
    for (const std::string_view known : {"libc.so", "libc-2.", "libpthread", "ld-linux", "ld-musl", "libc.musl"})
      if (name.starts_with(known)) return true;
    return false;
  }

  Profile& profile_;
  N& symbolizer_;
  NativeView view_;
  std::unordered_map<recording::ModuleId, recording::ModuleRecord> modules_;
  std::unordered_map<Key, std::uint32_t, HashKey> numbers_;
  std::vector<Place> places_;
};

}  // namespace pyagent::inline v0::profile
