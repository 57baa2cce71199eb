// The modules whose code native stacks go through, as the handler finds them: without the loader's lock. signal-safe
//
// Nothing is prepared when a library comes, and nothing has to be told when one goes: glibc's own table of what is
// loaded is free of locks (_dl_find_object, 2.35 on), and what is found there is described once and kept. Where that
// function is missing, the loader's list for debuggers is read instead, guarded, since it may change meanwhile.
#pragma once

#include <array>    // array
#include <atomic>   // atomic
#include <cstdint>  // uint32_t

#include "pyagent/base/address.hpp"
#include "pyagent/base/fixed_vector.hpp"
#include "pyagent/dwarf/eh_frame.hpp"
#include "pyagent/memory/local_memory.hpp"
#include "pyagent/recording/records.hpp"
#include "slot.hpp"

namespace pyagent::agent {

/// A loaded library or program. Does not change once `is_ready`.
struct Module {
  std::atomic<bool> is_ready;
  std::atomic<recording::ModuleId> id;  ///< in the recording; 0 while it is not there
  std::uint32_t generation;             ///< tells it from what was or will be at the same place
  AddressRange range;
  std::array<AddressRange, 2> code;  ///< its executable segments
  std::uint64_t bias;
  dwarf::EhFrame unwind_info;  ///< in place; lives as long as the module is loaded
  AddressRange build_id;       ///< in place; empty if it has none
  std::uint64_t first_of_build_id;
  const char* path;  ///< in place; the loader's
  bool is_program;
  bool is_agent;  ///< this library
};

/// What the loader says of the code at an address.
struct LoadedObject {
  Address begin;  ///< the ELF header
  Address end;
  Address bias;
  const char* path;  ///< empty for the program itself
};

/// Looks up what has to be known before the first sample. Not for handlers.
void prepare_modules() noexcept;
/// Forgets all modules: a child of fork has a recording of its own.
void forget_modules() noexcept;

/// Finds modules for one sample: a module on its stack stays loaded as long as it takes.
class SampleModules {
 public:
  explicit SampleModules(const memory::LocalMemory& memory) noexcept : memory_(memory) {}

  /// The module that holds `pc`, or null: code that was made at run time.
  const Module* find(Address pc) noexcept;

 private:
  const memory::LocalMemory& memory_;
  FixedVector<const Module*, 16> used_;
  AddressRange unknown_{};  ///< the page that was looked up last in vain
};

/// The module's number in the recording, where it is written now if it is not there; 0 if that failed. The slot is
/// busy.
recording::ModuleId record_module(Slot& slot, const Module& module) noexcept;

}  // namespace pyagent::agent
