// A C++ extension that calls back into Python: through a template, a method and an inlined function, on the caller's
// thread and on threads of its own. Built several ways by the tests, which look for the lines by the words in <>.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <stdexcept>
#include <thread>

namespace shapes {

static inline __attribute__((always_inline)) PyObject* visit(PyObject* callback) {
  return PyObject_CallObject(callback, nullptr);  // <visit>
}

template <class T>
__attribute__((noinline)) T walk(PyObject* callback, T depth) {
  PyObject* const result = visit(callback);  // <walk>
  if (result == nullptr) return -1;
  Py_DECREF(result);
  return depth + 1;
}

struct Square {
  int side;
  __attribute__((noinline)) int area(PyObject* callback) {
    const int depth = walk<int>(callback, side);  // <area>
    return depth * depth;
  }
};

static std::atomic<bool> stop{false};

__attribute__((noinline)) static unsigned long grind() {
  unsigned long sum = 1;
  while (!stop.load(std::memory_order_relaxed)) sum = sum * 6364136223846793005u + 1442695040888963407u;  // <grind>
  return sum;
}

__attribute__((noinline)) static int fall(int depth) {
  if (depth == 0) throw std::runtime_error("down");
  return fall(depth - 1) + 1;
}

}  // namespace shapes

extern "C" {

static PyObject* call(PyObject*, PyObject* callback) {
  shapes::Square square{2};
  const int area = square.area(callback);  // <call>
  if (PyErr_Occurred()) return nullptr;
  return PyLong_FromLong(area);
}

static PyObject* call_in_thread(PyObject*, PyObject* callback) {
  Py_BEGIN_ALLOW_THREADS;
  std::thread worker([callback] {
    const PyGILState_STATE state = PyGILState_Ensure();
    shapes::Square square{2};
    square.area(callback);  // <thread>
    PyErr_Clear();
    PyGILState_Release(state);
  });
  worker.join();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

static std::thread grinder;

static PyObject* start_grinding(PyObject*, PyObject*) {
  shapes::stop = false;
  grinder = std::thread([] { shapes::grind(); });
  Py_RETURN_NONE;
}

static PyObject* stop_grinding(PyObject*, PyObject*) {
  shapes::stop = true;
  Py_BEGIN_ALLOW_THREADS;
  grinder.join();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

static PyObject* throw_and_catch(PyObject*, PyObject* times) {
  long caught = 0;
  for (long i = PyLong_AsLong(times); i > 0; --i) try {
      shapes::fall(20);
    } catch (const std::runtime_error&) {
      ++caught;
    }
  return PyLong_FromLong(caught);
}

static PyMethodDef methods[] = {
    {"call", call, METH_O, nullptr},
    {"call_in_thread", call_in_thread, METH_O, nullptr},
    {"start_grinding", start_grinding, METH_NOARGS, nullptr},
    {"stop_grinding", stop_grinding, METH_NOARGS, nullptr},
    {"throw_and_catch", throw_and_catch, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

#define PASTE(a, b) a##b
#define INIT_NAME(name) PASTE(PyInit_, name)
#define TEXT(name) #name
#define NAME_TEXT(name) TEXT(name)

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, NAME_TEXT(NAME), nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

__attribute__((visibility("default"))) PyObject* INIT_NAME(NAME)(void);
PyObject* INIT_NAME(NAME)(void) { return PyModule_Create(&definition); }
}
