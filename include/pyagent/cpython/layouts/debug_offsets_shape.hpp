// Where the fields of _Py_DebugOffsets are, in one minor version of CPython. signal-safe
#pragma once

#include <cstdint>  // uint16_t

namespace pyagent::inline v0::cpython {

/// Positions of the fields of `_Py_DebugOffsets` that a Layout takes over, in bytes from its cookie; 0 where that
/// version has no such field. Names are CPython's. The table itself says where things are in the target; this says
/// where the table says it.
///
/// Source: v3.13.0, Include/internal/pycore_runtime.h; v3.14.0 and v3.15.0, Include/internal/pycore_debug_offsets.h
struct DebugOffsetsShape {
  std::uint16_t size = 0;  ///< sizeof(_Py_DebugOffsets)

  struct {
    std::uint16_t size = 0, finalizing = 0, interpreters_head = 0;
  } runtime_state;
  struct {
    std::uint16_t size = 0, id = 0, next = 0, threads_head = 0, gc = 0, imports_modules = 0, ceval_gil = 0,
        gil_runtime_state = 0, gil_runtime_state_enabled = 0, gil_runtime_state_locked = 0,
        gil_runtime_state_holder = 0, code_object_generation = 0;
  } interpreter_state;
  struct {
    std::uint16_t size = 0, prev = 0, next = 0, interp = 0, current_frame = 0, base_frame = 0, thread_id = 0,
        native_thread_id = 0, datastack_chunk = 0, status = 0;
  } thread_state;
  struct {
    std::uint16_t size = 0, previous = 0, executable = 0, instr_ptr = 0, localsplus = 0, owner = 0, stackpointer = 0,
        tlbc_index = 0;
  } interpreter_frame;
  struct {
    std::uint16_t size = 0, filename = 0, name = 0, qualname = 0, linetable = 0, firstlineno = 0, argcount = 0,
        localsplusnames = 0, localspluskinds = 0, co_code_adaptive = 0, co_tlbc = 0;
  } code_object;
  struct {
    std::uint16_t size = 0, ob_type = 0;
  } pyobject;
  struct {
    std::uint16_t size = 0, tp_name = 0, tp_flags = 0, tp_basicsize = 0, tp_dictoffset = 0;
  } type_object;
  struct {
    std::uint16_t size = 0, ht_cached_keys = 0;
  } heap_type_object;
  struct {
    std::uint16_t size = 0, ob_item = 0, ob_size = 0;
  } tuple_object;
  struct {
    std::uint16_t size = 0, ob_item = 0;
  } list_object;
  struct {
    std::uint16_t size = 0, used = 0, table = 0, mask = 0;
  } set_object;
  struct {
    std::uint16_t size = 0, ma_keys = 0, ma_values = 0;
  } dict_object;
  struct {
    std::uint16_t size = 0, ob_fval = 0;
  } float_object;
  struct {
    std::uint16_t size = 0, ob_digit = 0;
  } long_object;
  struct {
    std::uint16_t size = 0, ob_sval = 0;
  } bytes_object;
  struct {
    std::uint16_t size = 0, state = 0, length = 0, asciiobject_size = 0, compactunicodeobject_size = 0;
  } unicode_object;
  struct {
    std::uint16_t size = 0, collecting = 0;
  } gc;
  struct {
    std::uint16_t size = 0, gi_iframe = 0, gi_frame_state = 0;
  } gen_object;
};

}  // namespace pyagent::inline v0::cpython
