// Functions that Cython generates, by the names they have in the program they come from. May allocate
#pragma once

#include <charconv>     // from_chars
#include <cstddef>      // size_t
#include <functional>   // less
#include <optional>     // optional
#include <set>          // set
#include <string>       // string
#include <string_view>  // string_view

namespace pyagent::inline v0::symbol {

/// What a function that Cython generated does.
enum class CythonKind {
  none,     ///< not Cython's
  code,     ///< statements of the .pyx file
  wrapper,  ///< unpacks Python arguments, then calls or contains the code
  support,  ///< made for a type or a module: deallocation, traversal and the like
  utility,  ///< Cython's own helpers (`__Pyx_...`), without a counterpart in the program
};

/// A generated function.
struct CythonName {
  CythonKind kind = CythonKind::none;
  std::string name;  ///< `package.module.Class.method`; empty for utilities
};

namespace detail {

/// A scope of a generated name, `7Big_Box_`: its length, its text, then an underscore.
inline std::optional<std::string_view> take_cython_scope(std::string_view& text) {
  std::size_t length = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  const auto digits = static_cast<std::size_t>(parsed.ptr - text.data());
  if (parsed.ec != std::errc{} || length == 0 || length >= text.size() - digits || text[digits + length] != '_')
    return std::nullopt;
  const std::string_view scope = text.substr(digits, length);
  text.remove_prefix(digits + length + 1);
  return scope;
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// What a kind of generated name has at its end: a number and a name, always or unless it would be the first, or a
/// name.
enum class CythonEnding { number, maybe_number, name };

struct CythonPrefix {
  std::string_view text;
  CythonKind kind;
  CythonEnding ending;
};

/// Source: Cython 3 Compiler/Naming.py
inline constexpr CythonPrefix cython_prefixes[] = {{"__pyx_pw_", CythonKind::wrapper, CythonEnding::number},
                                                   {"__pyx_pf_", CythonKind::code, CythonEnding::maybe_number},
                                                   {"__pyx_gb_", CythonKind::code, CythonEnding::number},
                                                   {"__pyx_f_", CythonKind::code, CythonEnding::name},
                                                   {"__pyx_getprop_", CythonKind::wrapper, CythonEnding::name},
                                                   {"__pyx_setprop_", CythonKind::wrapper, CythonEnding::name},
                                                   {"__pyx_specialmethod_", CythonKind::wrapper, CythonEnding::name}};

/// The prefix of `name`, which is then cut off, together with that of a specialization for fused types.
inline const CythonPrefix* take_cython_prefix(std::string_view& name) {
  std::string_view rest = name;
  if (rest.starts_with("__pyx_fuse_"))
    if (const std::size_t inner = rest.find("__pyx_", 6); inner != rest.npos) rest.remove_prefix(inner);
  for (const CythonPrefix& prefix : cython_prefixes) {
    if (!rest.starts_with(prefix.text)) continue;
    name = rest.substr(prefix.text.size());
    return &prefix;
  }
  return nullptr;
}

}  // namespace detail

/// Decodes the names of one module.
///
/// `4make_thing` may be a function `thing` in a scope `make`, or a function `make_thing` with the number 4. Names of
/// wrappers and generators always have a number in the end and can be told; the scopes in them decide for the others.
/// Source: Cython 3 Compiler/Nodes.py, DefNode and DefNodeWrapper; Symtab.py, Scope.next_id
class CythonNames {
 public:
  /// Takes note of the scopes in one of the module's symbols; other symbols do no harm.
  void learn(std::string_view name) {
    if (!name.starts_with("__pyx_")) return;
    const auto* const prefix = detail::take_cython_prefix(name);
    if (prefix != nullptr && prefix->ending == detail::CythonEnding::number)
      (void)decode_path(name, prefix->ending, &scopes_);
  }

  /// What the function called `name` (demangled, should it have been C++) is; CythonKind::none for most.
  CythonName decode(std::string_view name) const {
    if (name.starts_with("__Pyx_") || name.starts_with("__PYX_")) return {CythonKind::utility, {}};
    if (!name.starts_with("__pyx_")) return {};
    std::string_view path = name;
    if (const auto* const prefix = detail::take_cython_prefix(path))
      return {prefix->kind, decode_path(path, prefix->ending, nullptr)};
    if (name.starts_with("__pyx_lambda_funcdef_")) return {CythonKind::code, "<lambda>"};
    for (const std::string_view module : {"__pyx_pymod_exec_", "__pyx_module_exec_"})
      if (name.starts_with(module)) return {CythonKind::code, std::string{name.substr(module.size())} + ".<module>"};
    for (const std::string_view slot : {"__pyx_tp_", "__pyx_nb_", "__pyx_sq_", "__pyx_mp_"}) {
      const std::size_t end = name.find_first_of("0123456789", slot.size());
      if (!name.starts_with(slot) || end == name.npos || name[end - 1] != '_') continue;
      const std::string type = decode_path(name.substr(end), detail::CythonEnding::name, nullptr);
      return {CythonKind::support, type + "." + std::string{name.substr(6, end - 7)}};
    }
    return {CythonKind::utility, {}};
  }

 private:
  using Scopes = std::set<std::string, std::less<>>;

  /// `3pkg_6my_mod_7Big_Box_1__init__` as `pkg.my_mod.Big_Box.__init__`.
  std::string decode_path(std::string_view text, detail::CythonEnding ending, Scopes* learned) const {
    const std::string_view whole = text;
    std::string path;
    for (std::string_view rest = text;; text = rest) {
      const auto scope = detail::take_cython_scope(rest);
      if (!scope || !is_scope(whole.substr(0, whole.size() - rest.size()), *scope, rest, ending)) break;
      path += *scope;
      path += '.';
      if (learned != nullptr) learned->emplace(whole.substr(0, whole.size() - rest.size()));
    }
    if (ending != detail::CythonEnding::name)
      while (!text.empty() && detail::is_digit(text.front())) text.remove_prefix(1);
    if (text.starts_with("__pyx_lambda_funcdef")) text = "<lambda>";
    path += text;
    if (path.ends_with('.')) path.pop_back();
    return path;
  }

  bool is_scope(std::string_view whole, std::string_view scope, std::string_view rest,
                detail::CythonEnding ending) const {
    if (detail::is_digit(scope.front()) || rest.empty()) return false;
    if (ending == detail::CythonEnding::name || detail::is_digit(rest.front()) || rest.starts_with("__pyx_lambda_"))
      return true;
    return ending == detail::CythonEnding::maybe_number && (scopes_.empty() || scopes_.contains(whole));
  }

  Scopes scopes_;  ///< raw, as in `3pkg_6my_mod_`
};

/// True for functions that Cython puts around the program's own: helpers, and wrappers that unpack arguments. `name` is
/// as the symbol table or DWARF has it. Which of them a stack can do without is_hidden knows.
inline bool is_glue(std::string_view name) {
  const CythonKind kind = CythonNames{}.decode(name).kind;
  return kind == CythonKind::utility || kind == CythonKind::wrapper;
}

}  // namespace pyagent::inline v0::symbol
