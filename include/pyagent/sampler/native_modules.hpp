// The code that a process has mapped: unwind rules by address, and what its modules are called. May allocate
#pragma once

#include <sys/stat.h>   // stat
#include <sys/types.h>  // dev_t, ino_t

#include <algorithm>  // upper_bound
#include <chrono>     // steady_clock
#include <cstddef>    // byte
#include <cstdint>    // uint64_t
#include <map>        // map
#include <memory>     // shared_ptr
#include <optional>   // optional
#include <span>       // span
#include <string>     // string
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/capture/native_frame.hpp"
#include "pyagent/dwarf/build_unwind_table.hpp"
#include "pyagent/interpreter/eval_code.hpp"
#include "pyagent/interpreter/loaded_image.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/target.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::inline v0::sampler {

/// A file with code, and its unwind rules.
struct ModuleFile {
  interpreter::LoadedImage loaded;  ///< as the first process has it: its bias is no other one's
  dwarf::CompiledTable table;
  unwind::UnwindTable rules;
};

/// Files that were read once, for all processes that map them.
class ModuleFiles {
 public:
  /// What is known of the file of `loaded`, by its build-id; read now if it is new.
  std::shared_ptr<const ModuleFile> find_or_add(interpreter::LoadedImage loaded) {
    const auto id = loaded.image.build_id();
    const std::string key{reinterpret_cast<const char*>(id.data()), id.size()};
    if (!key.empty())
      if (const auto known = files_.find(key); known != files_.end()) return known->second;
    auto file = std::make_shared<ModuleFile>();
    file->loaded = std::move(loaded);
    if (auto table = dwarf::build_unwind_table(file->loaded.image)) file->table = std::move(*table);
    file->rules = file->table.view();
    if (!key.empty()) files_.emplace(key, file);
    return file;
  }

 private:
  std::map<std::string, std::shared_ptr<const ModuleFile>> files_;
};

/// The mapped code of one process. Satisfies capture::CodeMap.
class NativeModules {
 public:
  NativeModules(const Target& target, std::shared_ptr<ModuleFiles> files) : target_(target), files_(std::move(files)) {
    if (target.runtime().layout.frame_chain == cpython::FrameChain::frame_object)
      eval_code_ = interpreter::find_eval_code(target.memory(), target.pid(), target.runtime());
  }

  unwind::UnwindRule find_rule(Address pc) noexcept {
    const Module* const module = find(pc);
    return module != nullptr ? module->file->rules.find(pc.value - module->record.bias) : unwind::UnwindRule{};
  }

  /// Whether the instruction before `address` is a call.
  bool follows_call(Address address) noexcept { return unwind::NativeArch::ends_with_call(code_before(address)); }

  /// Where the direct call goes that returns to `address`; null when there is none, or to a stub.
  Address find_callee(Address address) noexcept {
    const Address callee{unwind::NativeArch::find_call_target(code_before(address), address.value)};
    if (!callee) return {};
    const auto code = code_at(callee, unwind::NativeArch::stub_size);
    return code.empty() || unwind::NativeArch::is_stub(code) ? Address{} : callee;
  }

  /// The part of a stack from `stack_pointer` to its end; empty where nothing is mapped.
  AddressRange find_stack(Address stack_pointer) {
    const process::Mapping* mapping = maps_.find(stack_pointer);
    if (mapping == nullptr && refresh()) mapping = maps_.find(stack_pointer);
    return mapping != nullptr ? AddressRange{stack_pointer, mapping->range.end} : AddressRange{};
  }

  /// Where the eval loop lies; up to 3.10, later ones leave better marks.
  std::span<const AddressRange> eval_code() const noexcept { return eval_code_; }

  /// `frame` as recordings have it. A module that is new is given to `sink`.
  recording::NativeFrameRecord describe(const capture::NativeFrame& frame, SampleSink& sink) {
    const std::uint8_t flags =
        recording::native_flags(frame.is_eval, frame.is_exact, static_cast<std::uint8_t>(frame.found_by));
    Module* const module = frame.pc ? find(unwind::lookup_address(frame.pc, frame.is_exact)) : nullptr;
    if (module == nullptr) return {.module = 0, .address = frame.pc.value, .flags = flags};
    if (module->record.id == 0) {
      module->record.id = ++last_id_;
      sink.add_module(module->record);
    }
    return {.module = module->record.id, .address = frame.pc.value - module->record.bias, .flags = flags};
  }

  /// Looks whether libraries have come or gone, if the last look was a while ago.
  void look_again() {
    constexpr std::chrono::milliseconds interval{250};
    if (std::chrono::steady_clock::now() - refreshed_ >= interval) refresh();
  }

 private:
  /// What one mapping of code shows.
  struct Module {
    process::Mapping mapping;
    std::shared_ptr<const ModuleFile> file;
    recording::ModuleRecord record;
    bool is_tried = false;
  };

  /// `size` bytes of code as the file has them; empty where there are not so many.
  std::span<const std::byte> code_at(Address address, std::uint64_t size) {
    const Module* const module = find(address);
    if (module == nullptr) return {};
    const elf::Image& image = module->file->loaded.image;
    const auto offset = image.find_offset(address.value - module->record.bias);
    return offset ? elf::take_piece(image.bytes(), *offset, size).value_or({}) : std::span<const std::byte>{};
  }
  /// As many bytes before `address` as a call can have.
  std::span<const std::byte> code_before(Address address) {
    return code_at(address - unwind::NativeArch::longest_call, unwind::NativeArch::longest_call);
  }

  Module* find(Address pc) {
    if (last_ != nullptr && last_->mapping.range.contains(pc)) return last_;
    Module* module = search(pc);
    if (module == nullptr && !unknown_.contains(pc)) {
      if (!refresh_soon()) return nullptr;
      module = search(pc);
      if (module == nullptr) unknown_ = {{pc.value & ~std::uint64_t{4095}}, {(pc.value | 4095) + 1}};
    }
    if (module == nullptr || !ensure_read(*module)) return nullptr;
    return last_ = module;
  }

  Module* search(Address pc) {
    const auto after = std::upper_bound(modules_.begin(), modules_.end(), pc, [](Address address, const auto& module) {
      return address < module->mapping.range.begin;
    });
    if (after == modules_.begin() || !(*(after - 1))->mapping.range.contains(pc)) return nullptr;
    return (after - 1)->get();
  }

  bool ensure_read(Module& module) {
    if (std::exchange(module.is_tried, true)) return module.file != nullptr;
    auto loaded = load(module.mapping);
    if (!loaded) return false;
    const std::uint64_t bias = loaded->bias;
    const AddressRange range = loaded->range;
    module.file = files_->find_or_add(std::move(*loaded));
    const auto id = module.file->loaded.image.build_id();
    const bool is_interpreter = module.mapping.range.begin >= target_.runtime().image.begin &&
                                module.mapping.range.end <= target_.runtime().image.end;
    module.record = {.path = module.mapping.path,
                     .build_id = {reinterpret_cast<const char*>(id.data()), id.size()},
                     .range = range,
                     .bias = bias,
                     .is_interpreter = is_interpreter};
    return true;
  }

  /// The vDSO is no file: the kernel maps it whole.
  Result<interpreter::LoadedImage> load(const process::Mapping& mapping) const {
    if (mapping.path != "[vdso]") return interpreter::load_image(target_.memory(), target_.pid(), maps_, mapping);
    interpreter::LoadedImage loaded;
    loaded.copy.resize(static_cast<std::size_t>(mapping.range.size()));
    if (const Errc failed = target_.memory().read(mapping.range.begin, loaded.copy); failed != Errc::ok)
      return Error{failed, mapping.range.begin};
    auto image = elf::Image::parse(loaded.copy);
    if (!image) return image.error();
    loaded.image = std::move(*image);
    loaded.bias = mapping.range.begin.value;
    loaded.range = mapping.range;
    loaded.path = mapping.path;
    return loaded;
  }

  bool refresh_soon() {
    constexpr std::chrono::milliseconds interval{20};
    return std::chrono::steady_clock::now() - refreshed_ >= interval && refresh();
  }

  /// Reads the maps. A module stays as long as its file is mapped where it was.
  bool refresh() {
    refreshed_ = std::chrono::steady_clock::now();
    auto maps = process::read_maps(target_.pid());
    if (!maps) return false;
    maps_ = std::move(*maps);
    last_ = nullptr;
    unknown_ = {};
    std::vector<std::unique_ptr<Module>> before = std::exchange(modules_, {});
    auto old = before.begin();
    for (const process::Mapping& mapping : maps_) {
      if (!mapping.executable || (mapping.inode == 0 && mapping.path != "[vdso]")) continue;
      while (old != before.end() && (*old)->mapping.range.begin < mapping.range.begin) ++old;
      const bool is_known = old != before.end() && (*old)->mapping.range.begin == mapping.range.begin &&
                            (*old)->mapping.range.end == mapping.range.end &&
                            (*old)->mapping.offset == mapping.offset && (*old)->mapping.inode == mapping.inode &&
                            (*old)->mapping.device == mapping.device;
      if (is_known)
        modules_.push_back(std::move(*old++));
      else
        modules_.push_back(std::make_unique<Module>(Module{.mapping = mapping, .file = {}, .record = {}}));
    }
    return true;
  }

  const Target& target_;
  std::shared_ptr<ModuleFiles> files_;
  process::Maps maps_;
  std::vector<std::unique_ptr<Module>> modules_;  // by address
  std::vector<AddressRange> eval_code_;
  Module* last_ = nullptr;
  AddressRange unknown_{};  ///< the page that was looked up last in vain
  recording::ModuleId last_id_ = 0;
  std::chrono::steady_clock::time_point refreshed_{};
};

}  // namespace pyagent::inline v0::sampler
