// Demangled names: C++ as c++filt -p and llvm-cxxfilt write them, Rust as llvm-cxxfilt and RFC 2603 do, clones'
// suffixes.
#include "pyagent/symbol/demangle.hpp"

#include <string>

#include "support/catch.hpp"

using namespace pyagent::symbol;

TEST_CASE("C++ functions are shown without return type and parameters", "[symbol]") {
  // Left: g++ 12 and clang 14, from libstdc++, libLLVM-14 and libclang-cpp-14; right: c++filt -p.
  CHECK(demangle("_ZN4llvm11raw_ostreamlsENS_9StringRefE") == "llvm::raw_ostream::operator<<");
  CHECK(demangle("_ZNKSt8functionIFvvEEclEv") == "std::function<void ()>::operator()");
  CHECK(demangle("_ZN2ns1AptEv") == "ns::A::operator->");
  CHECK(demangle("_ZN2ns1AcvbEv") == "ns::A::operator bool");
  CHECK(demangle("_ZN2ns1AcvSt6vectorIiSaIiEEEv") == "ns::A::operator std::vector<int, std::allocator<int> >");
  CHECK(demangle("_ZNKSt15__exception_ptr13exception_ptrcvMS0_FvvEEv") ==
        "std::__exception_ptr::exception_ptr::operator void (std::__exception_ptr::exception_ptr::*)()");
  CHECK(demangle("_ZN12_GLOBAL__N_11fEi") == "(anonymous namespace)::f");
  CHECK(demangle("_ZN2ns12_GLOBAL__N_16Helper3runERKSs") == "ns::(anonymous namespace)::Helper::run");
  CHECK(demangle("_Z1fIiEvT_") == "f<int>");
  CHECK(demangle("_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_") == "std::move<int&>");
  CHECK(demangle("_Z1gIiEPFvcET_") == "g<int>");         // void (*g<int>(int))(char)
  CHECK(demangle("_Z1hIiEPFPFviEcET_") == "h<int>");     // void (*(*h<int>(int))(char))(int)
  CHECK(demangle("_Z1aIiEDTplfp_Li1EET_") == "a<int>");  // decltype ({parm#1}+(1)) a<int>(int)
  CHECK(demangle("_ZlsIcEvT_") == "operator<< <char>");
  CHECK(demangle("_ZltIcEvT_") == "operator< <char>");
  CHECK(demangle("_ZgtIcEvT_") == "operator><char>");
  CHECK(demangle("_Znwm") == "operator new");
  CHECK(demangle("_ZdaPv") == "operator delete[]");
  CHECK(demangle("_Zli2_xy") == "operator\"\" _x");
  CHECK(demangle("_ZZ4mainENKUlvE_clEv") == "main::{lambda()#1}::operator()");
  CHECK(demangle("_ZZN2ns3runEiENKUlT_iE_clIdEEDaS0_i") == "ns::run::{lambda(auto:1, int)#1}::operator()<double>");
  CHECK(demangle("_ZN1AB5cxx11C1Ev") == "A[abi:cxx11]::A");
  CHECK(demangle("_Z3strB5cxx11v") == "str[abi:cxx11]");
  CHECK(demangle("_ZThn8_N1B1fEv") == "B::f");  // non-virtual thunk
  CHECK(demangle("_ZGVZ1fvE1x") == "guard variable for f()::x");
  CHECK(demangle("_ZN1XI1YXgtLi1ELi2EEE1fEv") == "X<Y, ((1)>(2))>::f");
  CHECK(demangle("_ZN1XIXltLi1ELi2EEE1fEv") == "X<(1)<(2)>::f");
}

TEST_CASE("a demangler that goes on for ever is stopped", "[symbol]") {
  detail::BoundedText out;
  const auto endless = [](const char* mangled, void (*take)(const char*, std::size_t, void*), void* opaque) -> int {
    for (;;) take(mangled, 2, opaque);
  };
  CHECK_FALSE(detail::demangle_into(out, "_Z", endless));
  CHECK(out.text.size() == longest_demangled_name);
  detail::BoundedText brief;
  const auto once = [](const char* mangled, void (*take)(const char*, std::size_t, void*), void* opaque) -> int {
    take(mangled, 2, opaque);
    return 0;
  };
  CHECK(detail::demangle_into(brief, "_Z", once));
  CHECK(brief.text == "_Z");
}

TEST_CASE("a symbol that would fill all memory stays as it is", "[symbol]") {
  if (&__gcclibcxx_demangle_callback == nullptr) {
    WARN("skipped: this C++ library has no demangler that can be stopped");
    return;
  }
  // A<B, B>, then 25 times A of twice the type before.
  std::string bomb = "_Z1f1AI1BS0_E";
  for (std::size_t i = 0; i < 25; ++i) {
    const std::string before = {'S', "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i], '_'};
    bomb += "S_I" + before + before + "E";
  }
  CHECK(demangle(bomb) == bomb);
  CHECK(demangle("_Z1f1AI1BS0_ES_IS1_S1_E") == "f");  // the same, once
}

TEST_CASE("parameters are cut off demangled text that is damaged too, and nothing is lost of text without",
          "[symbol]") {
  CHECK(strip_parameters("plain_c_function") == "plain_c_function");
  CHECK(strip_parameters("f(") == "f");
  CHECK(strip_parameters("f<<<") == "f<<<");
  CHECK(strip_parameters("((((") == "((((");
  CHECK(strip_parameters("") == "");
  CHECK(strip_parameters("operator") == "operator");
  CHECK(strip_parameters("my_operator<int>(char)") == "my_operator<int>");
}

TEST_CASE("template arguments are shortened, operators are not", "[symbol]") {
  CHECK(shorten_templates("std::vector<int, std::allocator<int> >::push_back") == "std::vector<...>::push_back");
  CHECK(shorten_templates("f<a<b> >::g<c>::h") == "f<...>::g<...>::h");
  CHECK(shorten_templates("ns::operator<") == "ns::operator<");
  CHECK(shorten_templates("ns::operator<< <int>") == "ns::operator<< <...>");
  CHECK(shorten_templates("ns::operator+<int>") == "ns::operator+<...>");
  CHECK(shorten_templates("A::operator-><int>") == "A::operator-><...>");
  CHECK(shorten_templates("A::operator()<int>") == "A::operator()<...>");
  CHECK(shorten_templates("X<Y, ((1)>(2))>::f") == "X<...>::f");
  CHECK(shorten_templates("std::function<void ()>::operator()") == "std::function<...>::operator()");
  CHECK(shorten_templates("run::{lambda(std::vector<int>)#1}::operator()") ==
        "run::{lambda(std::vector<...>)#1}::operator()");
  CHECK(shorten_templates("<alloc::vec::Vec<T> as core::ops::Drop>::drop") ==
        "<alloc::vec::Vec<...> as core::ops::Drop>::drop");
  CHECK(shorten_templates("core::ptr::drop_in_place::<alloc::string::String>") == "core::ptr::drop_in_place::<...>");
  CHECK(shorten_templates("core::slice::<impl [T]>::iter") == "core::slice::<impl [T]>::iter");
  CHECK(shorten_templates("a < b") == "a < b");
  CHECK(shorten_templates("f<") == "f<");
}

TEST_CASE("pieces and copies of a function have its name", "[symbol]") {
  CHECK(demangle("gc_collect_main.cold") == "gc_collect_main");
  CHECK(demangle("take_gil.constprop.0.isra.0") == "take_gil");
  CHECK(demangle("list_sort.part.3.cold.12") == "list_sort");
  CHECK(demangle("static_function.lto_priv.0") == "static_function");
  CHECK(demangle("helper.llvm.1234567890123") == "helper");
  CHECK(demangle("nested.1") == "nested");
  CHECK(demangle("_ZN2ns1fEv.cold") == "ns::f");
  CHECK(demangle("_RNvCs1234_7mycrate3foo.llvm.0123ABCD") == "mycrate::foo");
  CHECK(demangle("kernel.avx2") == "kernel.avx2");  // chosen at run time: another function
  CHECK(demangle(".cold") == ".cold");
  CHECK(demangle("") == "");
}

TEST_CASE("Rust's v0 symbols are shown as paths", "[symbol]") {
  // RFC 2603, "Appendix B - Interesting examples", and rustc 1.95; right: llvm-cxxfilt 14.
  CHECK(demangle("_RNvNtCs1234_7mycrate3foo3bar") == "mycrate::foo::bar");
  CHECK(demangle("_RNvMs_Cs4Cv8Wi1oAIB_7mycrateNtB4_3Foo3new") == "<mycrate::Foo>::new");
  CHECK(demangle("_RNvXs_CsbmNqQUJIY6D_4implNtB4_3FooNtB4_3Bar3baz") == "<impl::Foo as impl::Bar>::baz");
  CHECK(demangle("_RINvNtC3std3mem8align_ofdE") == "std::mem::align_of::<f64>");
  CHECK(demangle("_RINvNtC3std3mem8align_ofjddE") == "std::mem::align_of::<usize, f64, f64>");
  CHECK(demangle("_RNCNvCs1234_7mycrate3foo0") == "mycrate::foo::{closure#0}");
  CHECK(demangle("_RNCNCNvCs1234_7mycrate3foos_0s0_0") == "mycrate::foo::{closure#1}::{closure#2}");
  CHECK(demangle("_RNSNvCs1234_7mycrate3foo6vtable") == "mycrate::foo::{shim:vtable#0}");
  CHECK(demangle("_RMC0INtC8arrayvec8ArrayVechKj7b_E") == "<arrayvec::ArrayVec<u8, 123>>");
  CHECK(demangle("_RMC0INtC7mycrate3FooKb0_E") == "<mycrate::Foo<false>>");
  CHECK(demangle("_RMC0INtC7mycrate3FooKc76_Kln5_Kc27_KpE") == "<mycrate::Foo<'v', -5, '\\'', _>>");
  CHECK(demangle("_RMC0INtC7mycrate3FooKoffffffffffffffffff_E") == "<mycrate::Foo<0xffffffffffffffffff>>");
  CHECK(demangle("_RMC0TRhQaPbOcShAtj4_FKCvEuE") ==
        "<(&u8, &mut i8, *const bool, *mut char, [u8], [u16; 4], extern \"C\" fn(...))>");
  CHECK(demangle("_RMC0FG_RL0_hEB3_") == "_RMC0FG_RL0_hEB3_");  // a back-reference to itself
  CHECK(demangle("_RMC0DG_INtC1a5TraitRL0_hEp4ItemlEL_") == "<dyn for<'a> a::Trait<&'a u8, Item = i32>>");
  CHECK(demangle("_RNvNtC1ru8gre_8kka5zhle_koa") == "_RNvNtC1ru8gre_8kka5zhle_koa");  // no such Punycode
  CHECK(demangle("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y") ==
        "utf8_idents::საჭმელად_გემრიელი_სადილი");
}

TEST_CASE("damaged and hostile Rust symbols stay as they are", "[symbol]") {
  for (const std::string symbol : {"_R", "_R0", "_RNvC", "_RNvC99999999999999999999_a", "_RB_", "_RNvB_3foo",
                                   "_RINvC1aB2_E", "_RNvC1a", "_RMC0Ahpp", "_RC3a", "_RNvC1a3foo?", "_RMC0TB6_hE"})
    CHECK(demangle(symbol) == symbol);
  CHECK(demangle("_RMC0" + std::string(5000, 'R') + "h") == "_RMC0" + std::string(5000, 'R') + "h");
  // Each tuple refers to the one before it twice: without a limit, 2^60 names.
  std::string bomb = "_RMC0T";
  for (int i = 0; i < 60; ++i) bomb += "TB4_B4_E";
  CHECK(demangle(bomb + "E") == bomb + "E");
  CHECK(demangle("_ZN" + std::string(20000, '1')) == "_ZN" + std::string(20000, '1'));
}

TEST_CASE("every cut of a Rust symbol is refused or read", "[symbol]") {
  const std::string symbol =
      "_RINvCs2OpA4fNwd7R_1r7genericRINtNtNtNtCsjrHSEGnQ3l9_3std11collections4hash3map7HashMapNtNtCslNYArtu3iFV_"
      "5alloc6string6StringINtNtB1q_3vec3VecThxEEEFG_RL0_eERL0_eEB2_";
  REQUIRE(demangle_rust_v0(symbol));
  for (std::size_t length = 0; length < symbol.size(); ++length) {
    const std::string cut = symbol.substr(0, length);
    const auto name = demangle_rust_v0(cut);
    if (name) CHECK(name->size() <= longest_rust_name);
  }
}

TEST_CASE("Rust's legacy symbols are shown without their hash", "[symbol]") {
  // rustc nightly, legacy mangling; right: c++filt, without the hash.
  CHECK(demangle("_ZN5alloc3vec16Vec$LT$T$C$A$GT$3len17h7f4d3149bc96c965E") == "alloc::vec::Vec<T,A>::len");
  CHECK(demangle("_ZN47_$LT$i32$u20$as$u20$core..iter..range..Step$GT$17forward_unchecked17h3cb981727d5857a6E") ==
        "<i32 as core::iter::range::Step>::forward_unchecked");
  CHECK(demangle("_ZN4core5slice29_$LT$impl$u20$$u5b$T$u5d$$GT$22split_at_mut_unchecked17h5bac15dd4f7ceca7E") ==
        "core::slice::<impl [T]>::split_at_mut_unchecked");
  CHECK(demangle("_ZN4core3ops8function6FnOnce40call_once$u7b$$u7b$vtable.shim$u7d$$u7d$17hdeb878b231e1ec4bE") ==
        "core::ops::function::FnOnce::call_once{{vtable.shim}}");
  CHECK(demangle("_ZN1r13gr$uf6$$udf$e9z$ue4$hle17h557f5cd50df5bf01E.llvm.123") == "r::größe::zähle");
  CHECK(demangle("_ZN3foo17h0123456789abcdeE") != "foo");  // 16 characters: no hash
}
