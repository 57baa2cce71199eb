// Where things are in one build of CPython: offsets, and a name for each change of shape. signal-safe
//
// Readers ask the Layout and never the version. Values per version are in layouts/. All offsets are in bytes from
// the start of the structure they name; `absent` where that version has no such field.
#pragma once

#include <cstdint>  // uint16_t, uint32_t

#include "pyagent/cpython/version.hpp"

namespace pyagent::inline v0::cpython {

/// Offset of a field; `absent` where the version has none.
using Offset = std::uint32_t;
inline constexpr Offset absent = 0xffffffff;

/// Where a thread's innermost frame is found, and what a frame is.
enum class FrameChain : std::uint8_t {
  frame_object,  ///< up to 3.10: PyThreadState.frame, a chain of PyFrameObject
  cframe,        ///< 3.11, 3.12: PyThreadState.cframe->current_frame, a chain of _PyInterpreterFrame
  thread_state,  ///< 3.13 on: PyThreadState.current_frame
};

/// How a frame that was called from C (one native eval frame ends there) is told from an inlined one.
enum class EntryMark : std::uint8_t {
  every_frame,  ///< up to 3.10: each Python frame has its own native frame
  is_entry,     ///< 3.11: _PyInterpreterFrame.is_entry
  shim,         ///< 3.12 on: a shim frame on the C stack follows it (owner >= 3, or code object None or the trampoline)
};

/// How a frame names the instruction it runs.
enum class InstructionPosition : std::uint8_t {
  byte_index,  ///< up to 3.9: f_lasti counts bytes
  unit_index,  ///< 3.10: f_lasti counts code units of two bytes
  pointer,     ///< 3.11 on: prev_instr or instr_ptr, an address in the code object's instructions
};

/// How addresses become lines.
enum class LineTable : std::uint8_t {
  lnotab_unsigned,  ///< up to 3.5: co_lnotab, line steps 0 to 255
  lnotab_signed,    ///< 3.6 to 3.9: co_lnotab, line steps -128 to 127
  ranges,           ///< 3.10: co_linetable of PEP 626
  locations,        ///< 3.11 on: co_linetable of PEP 657, with columns and end lines
};

/// Where a string keeps its kind.
enum class StringState : std::uint8_t {
  byte_string,    ///< 2.7: PyStringObject, bytes without a kind
  packed,         ///< kind at bits 2-4, compact 5, ascii 6
  free_threaded,  ///< 3.14t on: interned is a byte of its own; kind at bits 8-10, compact 11, ascii 12
};

/// How to tell that a thread holds the GIL.
enum class GilHolder : std::uint8_t {
  current_symbol,  ///< up to 3.6: the variable _PyThreadState_Current
  runtime,         ///< 3.7 to 3.11: _PyRuntime.gilstate.tstate_current
  interpreter,     ///< 3.12 on: PyInterpreterState.ceval.gil->{locked, last_holder}
  attached,        ///< free-threaded: PyThreadState.state
};

/// Where the list of interpreters begins.
enum class InterpreterList : std::uint8_t {
  head_variable,  ///< up to 3.6: the static variable interp_head
  runtime,        ///< 3.7 on: _PyRuntime.interpreters.head
};

/// Where an int keeps its sign and the number of its digits.
enum class IntHeader : std::uint8_t {
  signed_size,  ///< up to 3.11: ob_size, negative for a negative number
  tag,          ///< 3.12 on: lv_tag in the place of ob_size, sign at bits 0-1 (1 is zero, 2 negative), number from bit 3
};

/// Shape of PyDictKeysObject.
enum class DictKeys : std::uint8_t {
  entries_only,   ///< 2.7, 3.5: one table indexed by hash
  sized_indices,  ///< 3.6 to 3.10: dk_size, dk_indices then entries
  log2_indices,   ///< 3.11 on: dk_log2_size, dk_log2_index_bytes, dk_kind
};

/// How to find an instance's attributes.
enum class InstanceDict : std::uint8_t {
  dictoffset,      ///< up to 3.10: *(object + tp_dictoffset)
  values_pointer,  ///< 3.11: values pointer 32 bytes before the object, dict pointer 24 bytes before it
  tagged_word,     ///< 3.12: word 24 bytes before the object, odd for values, even for a dict
  inline_values,   ///< 3.13 on: dict pointer 24 (free-threaded: 8) bytes before the object, else values inside it
};

/// Offsets and shapes of one build of CPython. A value; see layouts/ and find_layout.
struct Layout {
  Version version{};
  BuildFlags flags{};

  FrameChain frame_chain{};
  EntryMark entry_mark{};
  InstructionPosition instruction_position{};
  LineTable line_table{};
  StringState string_state{};
  GilHolder gil_holder{};
  InterpreterList interpreter_list{};
  DictKeys dict_keys_shape{};
  InstanceDict instance_dict{};
  IntHeader int_header{};
  std::uint64_t executable_tag_mask = 0;  ///< low bits of f_executable that are not address (3.14 on: 3)

  struct {
    Offset finalizing = absent;
    Offset interpreters_head = absent;
    Offset interpreters_main = absent;
    Offset main_thread = absent;     ///< pthread_t of the main thread (3.8 on)
    Offset tstate_current = absent;  ///< gilstate.tstate_current (3.7 to 3.11)
    Offset tss_key = absent;         ///< autoTSSkey, a Py_tss_t {int initialized, int key} (3.7 to 3.14)
  } runtime;

  struct {
    Offset size = absent;
    Offset next = absent;
    Offset id = absent;
    Offset threads_head = absent;
    Offset modules = absent;
    Offset gil = absent;  ///< ceval.gil, a pointer (3.12 on)
    Offset gc_collecting = absent;
    Offset code_object_generation = absent;
  } interpreter;

  struct {
    Offset locked = absent;
    Offset last_holder = absent;
    Offset enabled = absent;  ///< free-threaded builds only
  } gil;

  struct {
    Offset size = absent;
    Offset prev = absent;
    Offset next = absent;
    Offset interpreter = absent;
    Offset frame = absent;   ///< frame, cframe or current_frame, as frame_chain says
    Offset thread_id = absent;
    Offset native_thread_id = absent;
    Offset id = absent;
    Offset status = absent;  ///< 3.12 on: bit field, bit 4 is "active"
    Offset state = absent;   ///< 3.13 on: 1 is attached
    Offset cframe = absent;       ///< 3.10: the innermost CFrame (3.11, 3.12: see frame)
    Offset root_cframe = absent;  ///< 3.10 to 3.12: the one that ends their list
    Offset base_frame = absent;  ///< 3.15: pointer to the sentinel that ends each chain
    Offset datastack_chunk = absent;
    Offset datastack_top = absent;
    Offset datastack_limit = absent;
  } thread;

  struct {
    Offset current_frame = absent;  ///< 3.11, 3.12
    Offset previous = absent;       ///< 3.10 to 3.12
  } cframe;

  struct {
    Offset previous = absent;
    Offset size = absent;
    Offset top = absent;
    Offset data = absent;
  } stack_chunk;

  /// PyFrameObject up to 3.10, _PyInterpreterFrame from 3.11.
  struct {
    Offset size = absent;         ///< sizeof without localsplus
    Offset previous = absent;     ///< f_back, previous
    Offset code = absent;         ///< f_code, f_executable
    Offset instruction = absent;  ///< f_lasti, prev_instr, instr_ptr
    Offset locals = absent;       ///< f_localsplus, localsplus
    Offset globals = absent;      ///< f_globals, a dict
    Offset scope = absent;        ///< f_locals: the names of a class body or module, a mapping
    Offset stack_top = absent;    ///< 3.11 to 3.13: stacktop, an int index; 3.14 on: stackpointer, an address
    Offset owner = absent;        ///< 3.11 on: 0 thread, 1 generator, 2 frame object, 3 and more C stack
    Offset is_entry = absent;     ///< 3.11
    Offset tlbc_index = absent;   ///< 3.14t on
    Offset executing = absent;    ///< up to 3.10: f_executing (one byte) or f_state
    std::int8_t executing_value = 1;  ///< its value while the frame runs
  } frame;

  struct {
    Offset size = absent;
    Offset argcount = absent;
    Offset kwonlyargcount = absent;
    Offset flags = absent;
    Offset firstlineno = absent;
    Offset filename = absent;
    Offset name = absent;
    Offset qualname = absent;
    Offset lines = absent;        ///< co_lnotab or co_linetable, a bytes object
    Offset code = absent;         ///< up to 3.10: co_code, a bytes object
    Offset adaptive = absent;     ///< 3.11 on: co_code_adaptive, the instructions themselves
    Offset names_of_locals = absent;  ///< co_varnames, co_localsplusnames: a tuple
    Offset names_of_cells = absent;   ///< up to 3.10: co_cellvars, a tuple
    Offset names_of_frees = absent;   ///< up to 3.10: co_freevars, a tuple
    Offset kinds_of_locals = absent;  ///< 3.11 on: co_localspluskinds, a bytes object
    Offset nlocalsplus = absent;  ///< 3.11 on
    Offset stacksize = absent;
    Offset framesize = absent;    ///< 3.12 on, in words
    Offset firsttraceable = absent;
    Offset version = absent;      ///< 3.12 on: co_version
    Offset tlbc = absent;         ///< 3.14t on: _PyCodeArray {size, entries[]}
  } code;

  struct {
    Offset size = absent;     ///< sizeof(PyObject)
    Offset type = absent;     ///< ob_type
    Offset var_size = absent; ///< PyVarObject.ob_size
  } object;

  struct {
    Offset name = absent;  ///< tp_name, a C string
    Offset basicsize = absent;
    Offset flags = absent;
    Offset dict = absent;
    Offset dictoffset = absent;
    Offset mro = absent;
    Offset cached_keys = absent;  ///< ht_cached_keys of a heap type
  } type;

  struct {
    Offset length = absent;
    Offset hash = absent;
    Offset state = absent;
    Offset ascii_data = absent;    ///< characters of a compact ASCII string: sizeof(PyASCIIObject)
    Offset compact_data = absent;  ///< of another compact string: sizeof(PyCompactUnicodeObject)
    Offset data = absent;          ///< pointer to the characters of one that is not compact
  } unicode;

  struct {
    Offset data = absent;  ///< ob_sval
    Offset hash = absent;  ///< ob_shash
  } bytes;

  struct {
    Offset items = absent;  ///< ob_item[0] of a tuple
  } tuple;

  struct {
    Offset items = absent;  ///< ob_item of a list, a pointer
  } list;

  struct {
    Offset digits = absent;  ///< ob_digit[0] of an int, 30 bits in 4 bytes each
  } integer;

  struct {
    Offset value = absent;  ///< ob_fval of a float; the two of a complex number are there as well
  } floating;

  struct {
    Offset start = absent;  ///< ob_start of a bytearray, a pointer
  } bytearray;

  struct {
    Offset used = absent;
    Offset mask = absent;   ///< slots of the table, less one
    Offset table = absent;  ///< a pointer to slots of {key, hash}
  } set;

  struct {
    Offset keys = absent;    ///< ma_keys (2.7: ma_table)
    Offset values = absent;  ///< ma_values (2.7: absent)
    Offset used = absent;
  } dict;

  struct {
    Offset size = absent;         ///< dk_size or dk_log2_size
    Offset index_bytes = absent;  ///< dk_log2_index_bytes
    Offset kind = absent;         ///< dk_kind
    Offset nentries = absent;
    Offset indices = absent;      ///< dk_indices; 3.5: dk_entries
    Offset values = absent;       ///< PyDictValues.values[0]
  } dict_keys;

  struct {
    Offset frame = absent;        ///< gi_frame (pointer) up to 3.10, gi_iframe (embedded) from 3.11
    Offset frame_state = absent;  ///< gi_frame_state, 3.11 on
    std::int8_t executing = 0;    ///< the value of frame_state while it runs
  } generator;

  struct {
    Offset code = absent;       ///< PyFunctionObject.func_code
    Offset qualname = absent;   ///< func_qualname
    Offset callable = absent;   ///< cm_callable of classmethod, sm_callable of staticmethod
    Offset property_get = absent;  ///< prop_get of property
  } function;

  struct {
    Offset contents = absent;  ///< ob_ref of a cell
  } cell;

  struct {
    Offset dict = absent;  ///< md_dict of a module
  } module;
};

}  // namespace pyagent::inline v0::cpython
