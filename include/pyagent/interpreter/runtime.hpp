// Where one interpreter lies in a process, and how to read it.
#pragma once

#include <string>  // string

#include "pyagent/base/address.hpp"
#include "pyagent/base/errc.hpp"
#include "pyagent/cpython/layout.hpp"

namespace pyagent::inline v0::interpreter {

/// A CPython runtime found in a process. Addresses are null where the build does not export the object.
struct Runtime {
  cpython::Layout layout;
  Address runtime;                ///< _PyRuntime; null up to 3.6
  Address interpreter_head;       ///< the variable that points to the newest interpreter
  Address current_thread_symbol;  ///< _PyThreadState_Current, up to 3.6

  Address none;                  ///< _Py_NoneStruct
  Address type_type;             ///< PyType_Type
  Address code_type;             ///< PyCode_Type
  Address function_type;         ///< PyFunction_Type
  Address generator_type;        ///< PyGen_Type
  Address coroutine_type;        ///< PyCoro_Type
  Address async_generator_type;  ///< PyAsyncGen_Type
  Address unicode_type;          ///< PyUnicode_Type
  Address bytes_type;            ///< PyBytes_Type
  Address tuple_type;            ///< PyTuple_Type
  Address dict_type;             ///< PyDict_Type
  Address property_type;         ///< PyProperty_Type
  Address classmethod_type;      ///< PyClassMethod_Type
  Address staticmethod_type;     ///< PyStaticMethod_Type

  AddressRange image;             ///< the file's load segments in the process
  std::string path;               ///< of the file, as the process's maps name it
  bool needs_self_check = false;  ///< a version that nobody described, read by its own debug offsets
};

/// Why no runtime was found, in words.
struct FindFailure {
  Errc code = Errc::ok;
  cpython::Version version{};  ///< as far as it was found; major 0 when not
  std::string path;            ///< the file it was found in
  std::string explanation;     ///< one sentence fragment
};

}  // namespace pyagent::inline v0::interpreter
