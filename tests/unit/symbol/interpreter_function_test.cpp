// What functions of CPython 3.5 to 3.15 do, by the names that nm lists in their libraries.
#include "pyagent/symbol/interpreter_function.hpp"

#include "support/catch.hpp"

using namespace pyagent::symbol;

TEST_CASE("functions of the interpreter are told apart by name", "[symbol]") {
  const auto all_are = [](InterpreterFunction kind, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      INFO(name);
      CHECK(classify_interpreter_function(name) == kind);
    }
  };
  all_are(InterpreterFunction::eval, {"_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx"});
  all_are(InterpreterFunction::garbage_collection, {"collect",
                                                    "collect_generations",
                                                    "_PyGC_CollectNoFail",  // 3.6
                                                    "gc_collect_main",
                                                    "gc_collect_with_callback",
                                                    "gc_collect_generations",
                                                    "PyGC_Collect",  // 3.9 to 3.12
                                                    "gc_collect",
                                                    "gc_collect_impl",
                                                    "_Py_RunGC",
                                                    "_PyGC_Collect",
                                                    "deduce_unreachable",
                                                    "move_unreachable",
                                                    "subtract_refs",
                                                    "update_refs",
                                                    "untrack_tuples",
                                                    "visit_reachable",
                                                    "visit_decref",
                                                    "delete_garbage",
                                                    "gc_collect_young",
                                                    "gc_collect_increment",
                                                    "gc_collect_internal"});
  all_are(InterpreterFunction::waits_for_gil, {"take_gil", "drop_gil", "PyEval_RestoreThread", "_PyThreadState_Attach",
                                               "tstate_wait_attach", "PyGILState_Ensure"});
  all_are(
      InterpreterFunction::dispatcher,
      {"call_function", "_PyCFunction_FastCallDict", "_PyMethodDef_RawFastCallKeywords",  // 3.6, 3.7
       "cfunction_call_varargs", "cfunction_vectorcall_O", "cfunction_vectorcall_FASTCALL_KEYWORDS", "cfunction_call",
       "method_vectorcall_NOARGS", "PyObject_Vectorcall", "_PyObject_MakeTpCall", "wrap_binaryfunc", "wrapper_call",
       "slot_tp_call", "type_call", "_PyCallMethodDescriptorFast_StackRef", "_TAIL_CALL_BINARY_OP"});
  all_are(InterpreterFunction::builtin, {"builtin_sorted", "builtin_len", "list_sort", "list_sort_impl", "list_append",
                                         "dict_update", "unicode_join", "bytes_join", "os_stat_impl", "time_sleep",
                                         "math_factorial", "set_add", "tuple_index", "bytearray_pop", "deque_extend"});
  all_are(InterpreterFunction::other, {"list_dealloc",
                                       "list_resize",
                                       "dict_dealloc",
                                       "dict_resize",
                                       "unicode_dealloc",
                                       "tuple_traverse",
                                       "set_add_entry",
                                       "list_",
                                       "list",
                                       "_PyEval_Vector",
                                       "PyList_Append",
                                       "main",
                                       "",
                                       "gc_get_count",
                                       "gc_list_merge",
                                       "collect_exception_group_leaf_ids",
                                       "_mi_heap_collect_ex",
                                       "_Py_HandlePending",
                                       "_Py_subprocess_impl",
                                       "list_ append",
                                       "list_clear copy"});
}

TEST_CASE("what dispatchers call is a built-in, but not what they need themselves", "[symbol]") {
  CHECK(is_builtin_call("cfunction_vectorcall_O", "unknown_module_function"));
  CHECK(is_builtin_call("type_call", "enum_new"));
  CHECK(is_builtin_call("_PyEval_EvalFrameDefault", "list_append"));
  CHECK(is_builtin_call("_PyEval_EvalFrameDefault", "builtin_len"));
  CHECK_FALSE(is_builtin_call("_PyEval_EvalFrameDefault", "import_name"));
  CHECK_FALSE(is_builtin_call("cfunction_vectorcall_O", "_Py_CheckFunctionResult"));
  CHECK_FALSE(is_builtin_call("cfunction_vectorcall_O", "PyTuple_New"));
  CHECK_FALSE(is_builtin_call("PyObject_Vectorcall", "cfunction_vectorcall_O"));
  CHECK_FALSE(is_builtin_call("PyObject_Vectorcall", "_PyEval_EvalFrameDefault"));
  CHECK_FALSE(is_builtin_call("cfunction_vectorcall_O", ""));
  CHECK_FALSE(is_builtin_call("unknown_module_function", "its_helper"));
}
