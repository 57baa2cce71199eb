// Native frames by function, file and line. May allocate
#pragma once

#include <cstdint>        // int32_t, uint64_t
#include <functional>     // hash
#include <map>            // map
#include <memory>         // unique_ptr
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // pair, move
#include <vector>         // vector

#include "pyagent/recording/native_frame_record.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/symbol/cython_lines.hpp"
#include "pyagent/symbol/jit_names.hpp"
#include "pyagent/symbol/native_module.hpp"

namespace pyagent::inline v0::symbol {

/// How native frames are named.
struct NativeOptions {
  std::vector<std::string> symbol_directories;  ///< searched before the places that the system has for symbols
  bool shorten_templates = false;               ///< `std::vector<...>::push_back`
  std::vector<std::string> roots;               ///< before paths of the process: /proc/PID/root, if it has another root
  int pid = 0;                                  ///< of the process, for its perf map; 0: not to be looked for
};

/// Names the native frames of one process, after it was sampled. A module is opened when it is first asked for, and
/// each address is looked up once.
class NativeSymbols {
 public:
  explicit NativeSymbols(NativeOptions options = {})
      : options_(std::move(options)), cython_(options_.roots), jit_(options_.pid, options_.roots) {
    places_.directories = options_.symbol_directories;
    places_.roots = options_.roots;
  }

  /// Where `frame` of `module` is: what was inlined first, innermost to outermost, then the function itself. Never
  /// empty: code without any name gives `module.so+0x1a2b0`, with the start of its function if .eh_frame tells it, else
  /// with that of its page, so that neighbours count together. Without module (frame.module is 0) `module` is not
  /// looked at.
  ///
  /// The reference holds as long as this lives.
  const std::vector<NativeLocation>& find(const recording::ModuleRecord& module,
                                          const recording::NativeFrameRecord& frame) {
    const std::uint64_t address = frame.lookup_address();
    if (frame.module == 0) return find_jit(address);
    NativeModule& opened = open(module);
    const auto [known, is_new] = located_.try_emplace({&opened, address});
    if (is_new) known->second = opened.locate(address, cython_, options_.shorten_templates);
    return known->second;
  }

  /// What could not be had of the modules asked for so far, a sentence each: files that changed, libraries that are
  /// missing.
  std::vector<std::string> remarks() const {
    std::vector<std::string> all;
    for (const auto& [key, module] : modules_)
      all.insert(all.end(), module->remarks().begin(), module->remarks().end());
    return all;
  }

 private:
  using Place = std::pair<const NativeModule*, std::uint64_t>;
  struct HashPlace {
    std::size_t operator()(const Place& place) const noexcept {
      return std::hash<const void*>{}(place.first) ^ static_cast<std::size_t>(place.second * 0x9e3779b97f4a7c15u);
    }
  };

  using Key = std::pair<std::string, std::string>;  // path, build-id
  /// So that a module which is known is found without copies of its strings.
  struct IsLess {
    using is_transparent = void;
    using View = std::pair<std::string_view, std::string_view>;
    bool operator()(const View& a, const View& b) const noexcept { return a < b; }
  };

  /// Two modules of one file, mapped twice or by two processes, are one.
  NativeModule& open(const recording::ModuleRecord& module) {
    if (const auto known = modules_.find(IsLess::View{module.path, module.build_id}); known != modules_.end())
      return *known->second;
    auto opened = std::make_unique<NativeModule>(module, places_);
    return *modules_.emplace(Key{module.path, module.build_id}, std::move(opened)).first->second;
  }

  /// Not kept by address: a JIT compiler goes on writing its map, and uses memory again.
  const std::vector<NativeLocation>& find_jit(std::uint64_t address) {
    const std::string name = jit_.find(address);
    auto& known = jit_locations_[name];
    if (known.empty()) known.push_back({.name = name, .file = {}});
    return known;
  }

  NativeOptions options_;
  elf::DebugPlaces places_;
  CythonFiles cython_;
  JitNames jit_;
  std::map<Key, std::unique_ptr<NativeModule>, IsLess> modules_;
  std::unordered_map<Place, std::vector<NativeLocation>, HashPlace> located_;
  std::unordered_map<std::string, std::vector<NativeLocation>> jit_locations_;
};

}  // namespace pyagent::inline v0::symbol
