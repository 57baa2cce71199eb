// libstdc++'s record of exceptions in flight, in static thread storage.
//
// The static libstdc++ keeps it in storage that is reached through __tls_get_addr, which may allocate. Nothing in the
// handler throws, but a library without that call can be checked by looking at its symbols.
// Source: __cxa_eh_globals, Itanium C++ ABI: Exception Handling 2.2.2
namespace __cxxabiv1 {

struct __cxa_eh_globals {
  void* caught;
  unsigned uncaught;
};

extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
extern "C" __cxa_eh_globals* __cxa_get_globals_fast() noexcept;

static thread_local __attribute__((tls_model("initial-exec"))) __cxa_eh_globals globals;

extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept { return &globals; }
extern "C" __cxa_eh_globals* __cxa_get_globals_fast() noexcept { return &globals; }

}  // namespace __cxxabiv1
