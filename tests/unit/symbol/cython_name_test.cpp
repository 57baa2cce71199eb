// Names of functions that Cython 3.3 generated from tests' sources, by the functions they were generated from.
#include "pyagent/symbol/cython_name.hpp"

#include "support/catch.hpp"

using namespace pyagent::symbol;

TEST_CASE("generated names are decoded to the program's names", "[symbol]") {
  const CythonNames names;
  const auto name = [&](std::string_view generated) { return names.decode(generated).name; };
  CHECK(name("__pyx_pw_9my_module_3f") == "my_module.f");
  CHECK(name("__pyx_pw_3pkg_6my_mod_1shared") == "pkg.my_mod.shared");
  CHECK(name("__pyx_pw_3pkg_6my_mod_3make_thing") == "pkg.my_mod.make_thing");
  CHECK(name("__pyx_pw_3pkg_6my_mod_5outer") == "pkg.my_mod.outer");
  CHECK(name("__pyx_pw_3pkg_6my_mod_5outer_1inner") == "pkg.my_mod.outer.inner");
  CHECK(name("__pyx_pw_3pkg_6my_mod_7Big_Box_1__init__") == "pkg.my_mod.Big_Box.__init__");
  CHECK(name("__pyx_pw_3pkg_6my_mod_7Big_Box_4area_1__get__") == "pkg.my_mod.Big_Box.area.__get__");
  CHECK(name("__pyx_pw_3pkg_6my_mod_17__pyx_unpickle_Big_Box") == "pkg.my_mod.__pyx_unpickle_Big_Box");
  CHECK(name("__pyx_pw_3pkg_6my_mod_5Plain_6_under___pyx_lambda_funcdef_lambda1") ==
        "pkg.my_mod.Plain._under.<lambda>");
  CHECK(name("__pyx_fuse_1__pyx_pw_3pkg_6my_mod_21fused_def") == "pkg.my_mod.fused_def");
  CHECK(name("__pyx_f_3pkg_6my_mod_helper") == "pkg.my_mod.helper");
  CHECK(name("__pyx_f_3pkg_6my_mod_7Big_Box_grow") == "pkg.my_mod.Big_Box.grow");
  CHECK(name("__pyx_gb_3pkg_6my_mod_7Big_Box_6method_2generator2") == "pkg.my_mod.Big_Box.method.generator2");
  CHECK(name("__pyx_getprop_3pkg_6my_mod_7Big_Box_tag") == "pkg.my_mod.Big_Box.tag");
  CHECK(name("__pyx_tp_dealloc_3pkg_6my_mod_Big_Box") == "pkg.my_mod.Big_Box.tp_dealloc");
  CHECK(name("__pyx_pymod_exec_my_mod") == "my_mod.<module>");
  CHECK(name("__pyx_lambda_funcdef_lambda1") == "<lambda>");
}

TEST_CASE("what a module's wrappers are called tells numbers from scopes in other names", "[symbol]") {
  CythonNames names;
  for (const char* wrapper :
       {"__pyx_pw_3pkg_6my_mod_1shared", "__pyx_pw_3pkg_6my_mod_5make_thing", "__pyx_pw_3pkg_6my_mod_5outer_1inner",
        "__pyx_pw_3pkg_6my_mod_7Big_Box_1__init__", "__pyx_pw_3pkg_6my_mod_7Big_Box_4area_1__get__",
        "__pyx_gb_3pkg_6my_mod_7Big_Box_6method_2generator2", "PyInit_my_mod"})
    names.learn(wrapper);
  const auto name = [&](std::string_view generated) { return names.decode(generated).name; };
  CHECK(name("__pyx_pf_3pkg_6my_mod_shared") == "pkg.my_mod.shared");
  CHECK(name("__pyx_pf_3pkg_6my_mod_4make_thing") ==
        "pkg.my_mod.make_thing");  // number 4, not `thing` in a scope `make`
  CHECK(name("__pyx_pf_3pkg_6my_mod_5outer_inner") == "pkg.my_mod.outer.inner");
  CHECK(name("__pyx_pf_3pkg_6my_mod_7Big_Box___init__") == "pkg.my_mod.Big_Box.__init__");
  CHECK(name("__pyx_pf_3pkg_6my_mod_7Big_Box_4area___get__") == "pkg.my_mod.Big_Box.area.__get__");
  CHECK(name("__pyx_pf_3pkg_6my_mod_7Big_Box_6method_genexpr") == "pkg.my_mod.Big_Box.method.genexpr");
}

TEST_CASE("code, wrappers, support and helpers are told apart", "[symbol]") {
  const CythonNames names;
  CHECK(names.decode("__pyx_pf_1m_f").kind == CythonKind::code);
  CHECK(names.decode("__pyx_f_1m_f").kind == CythonKind::code);
  CHECK(names.decode("__pyx_pw_1m_1f").kind == CythonKind::wrapper);
  CHECK(names.decode("__pyx_tp_new_1m_C").kind == CythonKind::support);
  CHECK(names.decode("__Pyx_PyObject_Call").kind == CythonKind::utility);
  CHECK(names.decode("__pyx_bisect_code_objects").kind == CythonKind::utility);
  for (const char* other : {"main", "_PyEval_EvalFrameDefault", "pyx_pw_1m_1f", "", "__py"})
    CHECK(names.decode(other).kind == CythonKind::none);
  CHECK(is_glue("__pyx_pw_1m_1f"));
  CHECK(is_glue("__Pyx_PyObject_Call"));
  CHECK_FALSE(is_glue("__pyx_pf_1m_f"));
  CHECK_FALSE(is_glue("printf"));
}

TEST_CASE("damaged names come to an end", "[symbol]") {
  const CythonNames names;
  for (const char* damaged : {"__pyx_pw_", "__pyx_pw_9", "__pyx_pw_99999999999999999999999_f", "__pyx_pw_0_f",
                              "__pyx_pf_3ab", "__pyx_f_3pkg_", "__pyx_fuse_0", "__pyx_tp_new_", "__pyx_tp_new_1m"})
    CHECK_NOTHROW(names.decode(damaged));
}
