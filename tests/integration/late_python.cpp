// A program that loads Python late: LIBPYTHON CODE. It is no Python to the agent when it starts.
#include <dlfcn.h>

#include <cstdio>

int main(int count, char** arguments) {
  if (count != 3) return 2;
  void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  const auto initialize = reinterpret_cast<void (*)()>(dlsym(library, "Py_Initialize"));
  const auto run = reinterpret_cast<int (*)(const char*)>(dlsym(library, "PyRun_SimpleString"));
  const auto finalize = reinterpret_cast<void (*)()>(dlsym(library, "Py_Finalize"));
  // Twice, as programs do that reset their scripting.
  for (int round = 0; round < 2; ++round) {
    initialize();
    if (run(arguments[2]) != 0) return 1;
    finalize();
  }
}
