// What functions of the interpreter itself do, by their names: which are worth a place in a merged stack. signal-safe
#pragma once

#include <algorithm>    // any_of
#include <cstdint>      // uint8_t
#include <span>         // span
#include <string_view>  // string_view

namespace pyagent::inline v0::symbol {

/// What a function of libpython, or of a program that contains the interpreter, does.
enum class InterpreterFunction : std::uint8_t {
  eval,                ///< runs Python code: stands for Python frames
  dispatcher,          ///< calls what a call in Python code leads to, if that is written in C
  garbage_collection,  ///< of several in a row the outermost says it all
  waits_for_gil,       ///< waits until it gets the GIL, or is attached again; the C library's waits stand within
  builtin,             ///< does what a method or function that Python code sees is for
  other,
};

namespace detail {

using Names = std::span<const std::string_view>;

constexpr bool contains(Names names, std::string_view name) noexcept {
  return std::any_of(names.begin(), names.end(), [&](std::string_view known) { return known == name; });
}

constexpr bool starts_with_any(Names prefixes, std::string_view name) noexcept {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

/// Source: CPython 3.5 to 3.15, Python/ceval.c. Up to 3.5 PyEval_EvalFrameEx is the loop itself, later it calls it.
inline constexpr std::string_view eval_names[] = {"_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx"};

/// Source: CPython 3.5 to 3.15, Modules/gcmodule.c, Python/gc.c, Python/gc_free_threading.c, Python/ceval_gil.c
inline constexpr std::string_view collector_names[] = {"collect",
                                                       "collect_with_callback",
                                                       "collect_generations",
                                                       "PyGC_Collect",
                                                       "_PyGC_Collect",
                                                       "_PyGC_CollectNoFail",
                                                       "_PyGC_CollectIfEnabled",
                                                       "_Py_RunGC",
                                                       "deduce_unreachable",
                                                       "deduce_unreachable_heap",
                                                       "update_refs",
                                                       "subtract_refs",
                                                       "move_unreachable",
                                                       "clear_unreachable_mask",
                                                       "move_legacy_finalizers",
                                                       "move_legacy_finalizer_reachable",
                                                       "handle_legacy_finalizers",
                                                       "handle_resurrected_objects",
                                                       "handle_weakrefs",
                                                       "clear_weakrefs",
                                                       "finalize_garbage",
                                                       "delete_garbage",
                                                       "untrack_tuples",
                                                       "visit_decref",
                                                       "visit_reachable",
                                                       "visit_move",
                                                       "mark_alive_from_roots",
                                                       "mark_all_reachable",
                                                       "mark_stacks",
                                                       "mark_global_roots",
                                                       "completed_scavenge",
                                                       "expand_region_transitively_reachable"};

/// Source: CPython 3.5 to 3.15, Python/ceval_gil.c (ceval_gil.h), Python/ceval.c, Python/pystate.c
inline constexpr std::string_view gil_names[] = {"take_gil",
                                                 "drop_gil",
                                                 "drop_gil_impl",
                                                 "tstate_wait_attach",
                                                 "PyEval_RestoreThread",
                                                 "PyEval_AcquireThread",
                                                 "PyEval_AcquireLock",
                                                 "_PyEval_AcquireLock",
                                                 "_PyThreadState_Attach",
                                                 "_PyThreadState_Suspend",
                                                 "PyGILState_Ensure"};

/// Source: CPython 3.5 to 3.15, Objects/methodobject.c, descrobject.c, call.c, typeobject.c; Python/ceval.c
inline constexpr std::string_view dispatcher_names[] = {"call_function",
                                                        "do_call",
                                                        "do_call_core",
                                                        "ext_do_call",
                                                        "do_fast_call",
                                                        "trace_call_function",
                                                        "fast_function",
                                                        "function_code_fastcall",
                                                        "cfunction_call",
                                                        "cfunction_call_varargs",
                                                        "PyCFunction_Call",
                                                        "method_call",
                                                        "method_vectorcall",
                                                        "methoddescr_call",
                                                        "classmethoddescr_call",
                                                        "wrapper_call",
                                                        "wrapperdescr_call",
                                                        "wrapperdescr_raw_call",
                                                        "type_call",
                                                        "type_vectorcall",
                                                        "vectorcall_method",
                                                        "vectorcall_maybe",
                                                        "vectorcall_unbound",
                                                        "call_method",
                                                        "call_maybe",
                                                        "call_unbound",
                                                        "object_vacall",
                                                        "_PyCallMethodDescriptorFast_StackRef",
                                                        "_PyCallMethodDescriptorFastWithKeywords_StackRef",
                                                        "_Py_CallBuiltinClass_StackRef",
                                                        "_Py_BuiltinCallFast_StackRef",
                                                        "_Py_BuiltinCallFastWithKeywords_StackRef",
                                                        "_PyMethodDef_RawFastCallDict",
                                                        "_PyMethodDef_RawFastCallKeywords",
                                                        "_PyMethodDescr_FastCallKeywords",
                                                        "_PyMethodDescr_Vectorcall",
                                                        "_PyVectorcall_Call",
                                                        "PyVectorcall_Call",
                                                        "_PyCFunction_FastCallDict",
                                                        "_PyCFunction_FastCallKeywords",
                                                        "PyObject_Vectorcall",
                                                        "_PyObject_Vectorcall",
                                                        "PyObject_VectorcallMethod",
                                                        "PyObject_VectorcallDict",
                                                        "_PyObject_VectorcallTstate",
                                                        "_PyObject_VectorcallDictTstate",
                                                        "_PyObject_MakeTpCall",
                                                        "_PyObject_FastCallDict",
                                                        "_PyObject_FastCallKeywords",
                                                        "_PyObject_Call",
                                                        "_PyObject_Call_Prepend",
                                                        "PyObject_Call",
                                                        "PyObject_CallObject",
                                                        "PyObject_CallNoArgs",
                                                        "PyObject_CallOneArg"};
inline constexpr std::string_view dispatcher_prefixes[] = {"cfunction_vectorcall_", "method_vectorcall_", "wrap_",
                                                           "slot_", "_TAIL_CALL_"};

/// Beginnings of functions that implement functions of modules.
inline constexpr std::string_view module_prefixes[] = {
    "builtin_",    "os_",   "posix_", "time_",    "math_",    "_io_",      "_sre_",         "select_",
    "_functools_", "zlib_", "_json_", "_pickle_", "_struct_", "binascii_", "_collections_", "_operator_"};

/// Methods of one built-in type. Its slots and helpers (`list_dealloc`, `list_resize`) begin alike and are none.
struct TypeMethods {
  std::string_view prefix;
  std::string_view methods;  ///< separated, begun and ended by blanks
};

/// Source: the PyMethodDef tables of CPython 3.13 Objects/
inline constexpr TypeMethods type_methods[] = {
    {"list_", " append clear copy count extend index insert pop remove reverse sort "},
    {"dict_", " clear copy fromkeys get items keys pop popitem setdefault update values "},
    {"dictviews_", " isdisjoint "},
    {"set_",
     " add clear copy difference difference_update discard intersection intersection_update isdisjoint issubset "
     "issuperset "
     "pop remove symmetric_difference symmetric_difference_update union update "},
    {"tuple_", " count index "},
    {"unicode_",
     " capitalize casefold center count encode endswith expandtabs find format format_map index isalnum isalpha "
     "isascii "
     "isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip "
     "maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split "
     "splitlines startswith strip swapcase title translate upper zfill "},
    {"bytes_",
     " count decode endswith find fromhex hex index join lstrip maketrans partition removeprefix removesuffix replace "
     "rfind "
     "rindex rpartition rsplit rstrip split splitlines startswith strip translate "},
    {"bytearray_",
     " append clear copy count decode endswith extend find fromhex hex index insert join lstrip maketrans partition "
     "pop "
     "remove removeprefix removesuffix replace resize reverse rfind rindex rpartition rsplit rstrip split "
     "splitlines startswith strip translate "},
    {"stringlib_",
     " capitalize center count endswith expandtabs find index isalnum isalpha isascii isdigit islower isspace istitle "
     "isupper ljust lower rfind rindex rjust startswith swapcase title upper zfill "},
    {"int_", " as_integer_ratio bit_count bit_length from_bytes to_bytes "},
    {"long_", " to_bytes from_bytes "},
    {"float_", " as_integer_ratio fromhex hex is_integer "},
    {"memory_", " cast hex release tobytes tolist toreadonly "},
    {"gen_", " close send throw "},
    {"deque_", " append appendleft clear copy count extend extendleft index insert pop popleft remove reverse rotate "},
};

/// True when `word` stands in `words` between blanks.
constexpr bool has_word_between_blanks(std::string_view words, std::string_view word) noexcept {
  if (word.empty() || word.find(' ') != word.npos) return false;
  for (std::size_t at = words.find(word); at != words.npos; at = words.find(word, at + 1))
    if (words[at - 1] == ' ' && words[at + word.size()] == ' ') return true;
  return false;
}

constexpr bool is_method(std::string_view name) noexcept {
  for (const TypeMethods& type : type_methods)
    if (name.starts_with(type.prefix) && has_word_between_blanks(type.methods, name.substr(type.prefix.size())))
      return true;
  return false;
}

/// A module's functions begin with its name, and so do those that the interpreter calls to set it up and clear it away.
constexpr bool is_module_function(std::string_view name) noexcept {
  for (const std::string_view prefix : module_prefixes) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    return rest != "traverse" && rest != "clear" && rest != "free" && rest != "exec";
  }
  return false;
}

}  // namespace detail

/// What the function called `name` does, if it is the interpreter's own: other modules have functions of such names
/// too. `name` is without a clone's suffix, as NativeSymbols gives it.
constexpr InterpreterFunction classify_interpreter_function(std::string_view name) noexcept {
  if (detail::contains(detail::eval_names, name)) return InterpreterFunction::eval;
  if (name == "gc_collect" || name.starts_with("gc_collect_") || name.starts_with("gc_visit_") ||
      name.starts_with("gc_mark_") || detail::contains(detail::collector_names, name))
    return InterpreterFunction::garbage_collection;
  if (detail::contains(detail::gil_names, name)) return InterpreterFunction::waits_for_gil;
  if (detail::contains(detail::dispatcher_names, name) || detail::starts_with_any(detail::dispatcher_prefixes, name))
    return InterpreterFunction::dispatcher;
  // Argument Clinic, 3.5 on, gives the function that does the work the suffix.
  const bool is_clinics = name.ends_with("_impl") && !name.starts_with("_Py") && !name.starts_with("Py");
  if (is_clinics || detail::is_module_function(name) || detail::is_method(name)) return InterpreterFunction::builtin;
  return InterpreterFunction::other;
}

/// True when `name`, called directly by `caller`, is a built-in function or method. What dispatchers call is one,
/// unless it is a helper of theirs: functions of the C API, by contrast, are spelled with Py.
constexpr bool is_builtin_call(std::string_view caller, std::string_view name) noexcept {
  const InterpreterFunction kind = classify_interpreter_function(name);
  if (kind == InterpreterFunction::builtin) return true;
  if (kind != InterpreterFunction::other || name.empty() || name.starts_with("Py") || name.starts_with("_Py"))
    return false;
  return classify_interpreter_function(caller) == InterpreterFunction::dispatcher;
}

}  // namespace pyagent::inline v0::symbol
