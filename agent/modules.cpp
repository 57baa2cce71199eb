// Finds loaded modules from inside the handler. No locks, no allocation.
#include "modules.hpp"

#include <dlfcn.h>  // dlsym
#include <elf.h>    // Elf64_Ehdr
#include <link.h>   // r_debug, link_map
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>    // array
#include <cstring>  // memcmp
#include <span>     // span

#include "state.hpp"

namespace pyagent::agent {
namespace {

/// Source: struct dl_find_object, glibc 2.35 <dlfcn.h>, x86-64 and aarch64
struct FoundObject {
  unsigned long long flags;
  void* map_start;
  void* map_end;
  link_map* link;
  void* eh_frame;
  unsigned long long reserved[7];
};
using FindObject = int (*)(void*, FoundObject*);

#if defined(__aarch64__)
constexpr std::uint16_t machine = EM_AARCH64;
#else
constexpr std::uint16_t machine = EM_X86_64;
#endif

constexpr std::uint32_t most_modules = 2048;
using Modules = std::array<Module, most_modules>;

FindObject find_object;
std::atomic<Modules*> modules;
std::atomic<std::uint32_t> module_count;
std::atomic<std::uint32_t> generations;
Address vdso;
Address program_headers;
std::array<char, 4096> program_path;
std::array<char, 4096> start_directory;
std::atomic<std::uint32_t> failed_searches;

template <class T>
bool read(const memory::LocalMemory& memory, Address address, T& value) noexcept {
  return memory.read_guarded(address, std::as_writable_bytes(std::span{&value, 1})) == Errc::ok;
}

std::span<const std::byte> bytes_of(AddressRange range) noexcept {
  return {reinterpret_cast<const std::byte*>(range.begin.value), static_cast<std::size_t>(range.size())};
}

/// Calls `take` for each program header of the ELF file that is loaded at `header`.
template <class Take>
bool for_each_segment(const memory::LocalMemory& memory, Address header, Take&& take) noexcept {
  Elf64_Ehdr head;
  constexpr unsigned most_segments = 128;
  if (!read(memory, header, head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return false;
  if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum > most_segments)
    return false;
  for (unsigned i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!read(memory, header + head.e_phoff + i * sizeof segment, segment)) return false;
    take(segment);
  }
  return true;
}

/// The build-id among the notes in `notes`. Source: gABI chapter 5, "Note Section"
AddressRange find_build_id(const memory::LocalMemory& memory, AddressRange notes) noexcept {
  constexpr auto round_up = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
  for (Address at = notes.begin; notes.contains(at, sizeof(Elf64_Nhdr));) {
    Elf64_Nhdr note;
    if (!read(memory, at, note)) break;
    const Address name = at + sizeof note, value = name + round_up(note.n_namesz);
    char owner[4] = {};
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof owner && notes.contains(value, note.n_descsz) &&
        note.n_descsz >= 8 && read(memory, name, owner) && std::memcmp(owner, "GNU", 4) == 0)
      return {value, value + note.n_descsz};
    at = value + round_up(note.n_descsz);
  }
  return {};
}

bool describe(const memory::LocalMemory& memory, const LoadedObject& object, Module& module) noexcept {
  AddressRange unwind_header{}, segments[8]{};
  unsigned segment_count = 0, code_count = 0;
  const auto place = [&](const Elf64_Phdr& segment) {
    const Address begin = object.bias + segment.p_vaddr;
    return AddressRange{begin, begin + segment.p_memsz};
  };
  const bool is_read = for_each_segment(memory, object.begin, [&](const Elf64_Phdr& segment) {
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_R) != 0 && segment_count < std::size(segments))
      segments[segment_count++] = place(segment);
    if (segment.p_type == PT_LOAD && (segment.p_flags & (PF_R | PF_X)) == (PF_R | PF_X) &&
        code_count < module.code.size())
      module.code[code_count++] = place(segment);
    if (segment.p_type == PT_GNU_EH_FRAME) unwind_header = place(segment);
    if (segment.p_type == PT_NOTE && module.build_id.size() == 0)
      module.build_id = find_build_id(memory, place(segment));
  });
  module.range = {object.begin, object.end};
  module.bias = object.bias.value;
  module.path = object.path;
  module.is_program = object.path == nullptr || object.path[0] == '\0';
  module.is_agent = module.range.contains(Address{reinterpret_cast<std::uint64_t>(&describe)});
  // Both the table and the section are in one load segment, which is mapped as a whole.
  for (unsigned i = 0; i < segment_count && is_read; ++i)
    if (segments[i].contains(unwind_header.begin, 1))
      module.unwind_info = dwarf::view_mapped_eh_frame(
                               bytes_of(segments[i]), reinterpret_cast<const void*>(unwind_header.begin.value), machine)
                               .value_or({});
  if (module.build_id.size() != 0) read(memory, module.build_id.begin, module.first_of_build_id);
  return is_read;
}

bool is_same(const memory::LocalMemory& memory, const Module& module, const LoadedObject& object) noexcept {
  if (!module.is_ready.load(std::memory_order_acquire) || module.range.begin != object.begin ||
      module.range.end != object.end || module.bias != object.bias.value)
    return false;
  // Another library may have come to where one was: it has other contents. The first page of either is there.
  if (module.build_id.size() == 0) return true;
  std::uint64_t first = 0;
  if (AddressRange{object.begin, object.begin + 4096}.contains(module.build_id.begin, sizeof first))
    first = memory::read_value<std::uint64_t>(memory::ProvenMemory{}, module.build_id.begin).value_or(0);
  else
    read(memory, module.build_id.begin, first);
  return first == module.first_of_build_id;
}

const Module* find_or_add(const memory::LocalMemory& memory, const LoadedObject& object) noexcept {
  Modules* const all = modules.load(std::memory_order_acquire);
  if (all == nullptr) return nullptr;
  const std::uint32_t count = module_count.load(std::memory_order_acquire);
  for (std::uint32_t i = count < most_modules ? count : most_modules; i > 0; --i)
    if (is_same(memory, (*all)[i - 1], object)) return &(*all)[i - 1];
  if (count >= most_modules) return nullptr;
  // Two threads may add the same one at once; then it is there twice, which does no harm.
  const std::uint32_t place = module_count.fetch_add(1, std::memory_order_acq_rel);
  if (place >= most_modules) return nullptr;
  Module& module = (*all)[place];
  describe(memory, object, module);
  module.generation = generations.fetch_add(1, std::memory_order_relaxed) + 1;
  module.is_ready.store(true, std::memory_order_release);
  return &module;
}

/// The extent of the ELF file that is loaded at `header`, if it holds `pc`.
bool find_extent(const memory::LocalMemory& memory, Address header, Address bias, Address pc,
                 LoadedObject& object) noexcept {
  AddressRange extent{{~std::uint64_t{0}}, {}};
  const bool is_read = for_each_segment(memory, header, [&](const Elf64_Phdr& segment) {
    if (segment.p_type != PT_LOAD) return;
    const Address begin = bias + segment.p_vaddr, end = begin + segment.p_memsz;
    if (begin < extent.begin) extent.begin = begin;
    if (end > extent.end) extent.end = end;
  });
  if (!is_read || !extent.contains(pc)) return false;
  object = {.begin = header, .end = extent.end, .bias = bias, .path = nullptr};
  return true;
}

/// Looks through the list that the loader keeps for debuggers. Source: r_debug, glibc elf/link.h; SVR4 ABI.
bool search_link_maps(const memory::LocalMemory& memory, Address pc, LoadedObject& object) noexcept {
  if (_r_debug.r_state != r_debug::RT_CONSISTENT) return false;
  constexpr int most = 4096;
  Address at{reinterpret_cast<std::uint64_t>(_r_debug.r_map)};
  for (int i = 0; at && i < most; ++i) {
    struct {
      std::uint64_t bias;
      const char* path;
      Address dynamic;
      Address next;
    } entry;
    if (!read(memory, at, entry)) return false;
    const bool is_program = i == 0;
    const Address header = is_program ? Address{program_headers.value & ~std::uint64_t{4095}} : Address{entry.bias};
    if (header && find_extent(memory, header, Address{entry.bias}, pc, object)) {
      object.path = is_program ? "" : entry.path;
      return true;
    }
    at = entry.next;
  }
  return false;
}

bool find_loaded(const memory::LocalMemory& memory, Address pc, LoadedObject& object) noexcept {
  FoundObject found;
  if (find_object != nullptr && find_object(reinterpret_cast<void*>(pc.value), &found) == 0) {
    object = {.begin = Address{reinterpret_cast<std::uint64_t>(found.map_start)},
              .end = Address{reinterpret_cast<std::uint64_t>(found.map_end)},
              .bias = Address{found.link->l_addr},
              .path = found.link->l_name};
    return true;
  }
  if (find_object != nullptr) return false;
  // What was seen before is found without the list; the list is long, and code that was made at run time is not in it.
  if (Modules* const all = modules.load(std::memory_order_acquire))
    for (std::uint32_t i = 0, count = module_count.load(std::memory_order_acquire); i < count && i < most_modules;
         ++i) {
      const Module& module = (*all)[i];
      if (!module.is_ready.load(std::memory_order_acquire) || !module.range.contains(pc)) continue;
      object = {module.range.begin, module.range.end, Address{module.bias}, module.path};
      std::uint64_t build_id = 0;
      if (module.build_id.size() != 0 && read(memory, module.build_id.begin, build_id) &&
          build_id == module.first_of_build_id)
        return true;
    }
  constexpr std::uint32_t period = 16;
  if (failed_searches.load(std::memory_order_relaxed) > 64 &&
      failed_searches.fetch_add(1, std::memory_order_relaxed) % period != 0)
    return false;
  if (search_link_maps(memory, pc, object)) return true;
  failed_searches.fetch_add(1, std::memory_order_relaxed);
  return false;
}

std::size_t length_of(const char* text, std::size_t most) noexcept {
  std::size_t length = 0;
  while (length < most && text[length] != '\0') ++length;
  return length;
}

/// The path as `out` can be opened from anywhere: absolute.
std::span<const char> full_path(const Module& module, std::span<char> out) noexcept {
  const auto whole = [](const char* text) { return std::span{text, length_of(text, 4095)}; };
  static constexpr char vdso_name[] = "[vdso]";
  if (module.range.begin == vdso) return std::span{vdso_name}.first(sizeof vdso_name - 1);
  if (module.is_program) return whole(program_path.data());
  const auto path = whole(module.path);
  const auto directory = whole(start_directory.data());
  if (path.empty() || path[0] == '/' || directory.size() + 1 + path.size() > out.size()) return path;
  std::memcpy(out.data(), directory.data(), directory.size());
  out[directory.size()] = '/';
  std::memcpy(out.data() + directory.size() + 1, path.data(), path.size());
  return out.first(directory.size() + 1 + path.size());
}

}  // namespace

void prepare_modules() noexcept {
  find_object = reinterpret_cast<FindObject>(::dlsym(RTLD_DEFAULT, "_dl_find_object"));
  vdso = Address{::getauxval(AT_SYSINFO_EHDR)};
  program_headers = Address{::getauxval(AT_PHDR)};
  const auto size = ::readlink("/proc/self/exe", program_path.data(), program_path.size() - 1);
  program_path[size > 0 ? static_cast<std::size_t>(size) : 0] = '\0';
  if (::getcwd(start_directory.data(), start_directory.size()) == nullptr) start_directory[0] = '\0';
  void* const fresh =
      ::mmap(nullptr, sizeof(Modules), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh != MAP_FAILED) modules.store(static_cast<Modules*>(fresh), std::memory_order_release);
}

void forget_modules() noexcept {
  Modules* const all = modules.load();
  if (all == nullptr) return;
  for (std::uint32_t i = 0, count = module_count.exchange(0); i < count && i < most_modules; ++i) {
    (*all)[i].is_ready.store(false);
    (*all)[i].id.store(0);
    (*all)[i].build_id = {};
    (*all)[i].code = {};
    (*all)[i].unwind_info = {};
  }
}

const Module* SampleModules::find(Address pc) noexcept {
  for (const Module* module : used_)
    if (module->range.contains(pc)) return module;
  if (unknown_.contains(pc)) return nullptr;
  LoadedObject object;
  const Module* const module = find_loaded(memory_, pc, object) ? find_or_add(memory_, object) : nullptr;
  if (module == nullptr)
    unknown_ = {{pc.value & ~std::uint64_t{4095}}, {(pc.value & ~std::uint64_t{4095}) + 4096}};
  else if (!used_.push_back(module))
    used_.back() = module;
  return module;
}

recording::ModuleId record_module(Slot& slot, const Module& module) noexcept {
  auto& id = const_cast<std::atomic<recording::ModuleId>&>(module.id);
  if (const auto known = id.load(std::memory_order_acquire); known != 0) return known;
  const recording::ModuleId fresh = state.next_module.fetch_add(1, std::memory_order_relaxed) + 1;
  const bool is_interpreter =
      module.range.contains(state.target->code_type) || module.range.contains(state.target->runtime);
  const Errc failed = slot.writer.write_module(
      {.id = fresh, .range = module.range, .bias = module.bias, .is_interpreter = is_interpreter},
      full_path(module, slot.texts[0]), std::as_bytes(bytes_of(module.build_id)));
  if (failed != Errc::ok) return 0;
  id.store(fresh, std::memory_order_release);
  return fresh;
}

}  // namespace pyagent::agent
