// The recording's file format, version 2: its one description, shared by writer and reader. signal-safe
//
// All numbers are little-endian. A file is a row of blocks of `block_size` bytes; block 0 is the FileHeader. Every
// other block belongs to one writer (a stream) and begins with a BlockHeader; `span` says how many blocks it covers.
// Records follow, up to `committed` bytes: that word is stored after the bytes it covers, so whatever it covers is
// whole even when the process was killed in the middle of the next record. Blocks whose magic is still zero were
// reserved and not begun.
//
//   record  = kind:u8 length:uleb payload
//   uleb    = unsigned LEB128; sleb = zigzag-coded uleb; text = length:uleb then UTF-8
//   times are nanoseconds of CLOCK_MONOTONIC, CPU times nanoseconds of the thread's CPU clock
//
//   process     pid:uleb parent:uleb interval:uleb started:uleb started_wall_clock:uleb engine:text python_version:text
//               executable:text command:text (arguments, each ended by NUL)
//   thread      index:uleb tid:uleb thread_id:uleb is_main:u8 time:uleb
//               what follows in this block is of this thread; resets the stack and the clock that samples are coded
//               against. Repeated at the start of each block
//   thread_name index:uleb name:text              the last one counts
//   thread_cpu  index:uleb cpu:uleb sampled:uleb  CPU time by the thread's clock, and by its samples; the last counts
//   code        id:uleb first_line:sleb line_format:u8 name:text qualified_name:text filename:text lines:text
//   sample      flags:uleb time_since_last:uleb cpu:uleb wall:uleb elided:uleb elided_at:uleb shared:uleb new:uleb
//               then `new` times, leaf first: code:uleb (id * 2 + is_entry) instruction:sleb
//               the stack is these frames on top of the `shared` root-most frames of the thread's previous sample
//               in this block. Where there are native frames, then: shared:uleb new:uleb, and `new` times, leaf first:
//               module:uleb (id * 32 + NativeFrameRecord::flags) address:uleb
//               on top of the `shared` root-most native frames of the thread's last sample in this block that had any
//   module      id:uleb begin:uleb end:uleb bias:uleb is_interpreter:u8 path:text build_id:text
//
// Readers skip kinds they do not know by their length. Ids of codes and modules are those of the whole file: a record
// may stand in another stream's block than the samples that name it.
//
// Version 1 is the same without native frames and modules, and with 16 counters where now there are 32; the rest of its
// block 0 is zero.
#pragma once

#include <cstdint>      // uint32_t
#include <type_traits>  // is_trivially_copyable_v

namespace pyagent::inline v0::recording {

inline constexpr char file_magic[8] = {'P', 'Y', 'A', 'G', 'E', 'N', 'T', '\n'};
inline constexpr std::uint32_t file_version = 2;
inline constexpr std::uint32_t oldest_file_version = 1;  ///< that is read
inline constexpr std::uint32_t block_size = 16 * 1024;
inline constexpr std::uint32_t block_magic = 0x4b'42'41'50;  // "PABK"

/// Kinds of records. A number once given is never given again.
enum class RecordKind : std::uint8_t {
  process = 1,
  thread = 2,
  thread_name = 3,
  thread_cpu = 4,
  code = 5,
  sample = 6,
  module = 7,
};

/// Indices into FileHeader::counters; see recording::Counters for what they count.
enum class Counter : std::uint8_t {
  samples,
  without_python,
  repaired,
  suspect,
  unreadable,
  elided,
  dropped,
  unsampled_threads,
  missed_ticks,
  stop_timeouts,
  dropped_changed,
  dropped_invalid,
  dropped_unreadable,
  unstopped_threads,
  native_exact,
  native_resumed,
  native_scanned,
  native_python_tail,
  native_truncated,
};
inline constexpr std::uint32_t counter_count = 32;

/// Start of the file. `blocks` is the commit word of the file: blocks handed out, block 0 included.
struct FileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t block_size;
  std::uint64_t blocks;
  std::uint64_t counters[counter_count];
};
static_assert(std::is_trivially_copyable_v<FileHeader> && sizeof(FileHeader) <= block_size);

/// Start of every other block.
struct BlockHeader {
  std::uint32_t magic;
  std::uint32_t span;    ///< blocks it covers, this one included
  std::uint32_t stream;  ///< which writer
  std::uint32_t unused;
  std::uint64_t committed;  ///< bytes of whole records after this header
};
static_assert(std::is_trivially_copyable_v<BlockHeader> && sizeof(BlockHeader) == 24);

/// Largest record: longer line tables are left out, longer texts cut.
inline constexpr std::uint32_t max_record_size = 512 * 1024;

}  // namespace pyagent::inline v0::recording
