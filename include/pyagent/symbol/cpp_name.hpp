// C++ names as demanglers print them: without parameters, and with short template arguments. May allocate
#pragma once

#include <string>       // string
#include <string_view>  // string_view

namespace pyagent::inline v0::symbol {

namespace detail {

constexpr bool is_name_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// True when the word `word` stands at `at`, and is not part of a longer one.
constexpr bool has_word(std::string_view text, std::size_t at, std::string_view word) noexcept {
  if (!text.substr(at).starts_with(word)) return false;
  if (at > 0 && is_name_char(text[at - 1])) return false;
  return at + word.size() >= text.size() || !is_name_char(text[at + word.size()]);
}

/// Length of the `operator` at `at` with the symbol behind it, which may look like a bracket: `operator()`,
/// `operator<<`. Without a symbol (a conversion, `new`) that of the word; 0 when no operator stands there.
constexpr std::size_t operator_length(std::string_view text, std::size_t at) noexcept {
  constexpr std::string_view word = "operator";
  if (!has_word(text, at, word)) return 0;
  const std::string_view rest = text.substr(at + word.size());
  for (const std::string_view symbol : {"()", "[]", "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "<", ">"})
    if (rest.starts_with(symbol)) return word.size() + symbol.size();
  const std::size_t end = rest.find_first_not_of("+-*/%^&|~!=,");
  return word.size() + (end == rest.npos ? rest.size() : end);
}

/// Follows brackets through a demangled name. `<` and `>` that are operators in an expression do no harm: one that is
/// not closed ends with the bracket around it, and one that was not opened is passed over.
class BracketStack {
 public:
  bool is_empty() const noexcept { return open_.empty(); }
  std::size_t depth() const noexcept { return open_.size(); }

  /// Takes the character, or the whole operator, at `at`; the result is where to go on.
  std::size_t take(std::string_view text, std::size_t at) {
    if (const std::size_t length = operator_length(text, at); length != 0) return at + length;
    const char c = text[at];
    // Behind an operand in parentheses: `X<(1)<(2)>::f`.
    const bool is_less_than = c == '<' && at > 0 && text[at - 1] == ')' && !text.substr(0, at).ends_with("operator()");
    if (c == '(' || c == '[' || c == '{' || (c == '<' && !is_less_than)) open_.push_back(c);
    if (c == ')') close('(');
    if (c == ']') close('[');
    if (c == '}') close('{');
    if (c == '>' && !open_.empty() && open_.back() == '<' && (at == 0 || text[at - 1] != '-')) open_.pop_back();
    return at + 1;
  }

 private:
  void close(char opening) {
    const std::size_t match = open_.rfind(opening);
    if (match != open_.npos) open_.resize(match);
  }

  std::string open_;
};

/// Where the bracket that opens at `at` is closed: behind the closing one, or the end of the text.
inline std::size_t skip_brackets(std::string_view text, std::size_t at) {
  BracketStack brackets;
  do {
    at = brackets.take(text, at);
  } while (!brackets.is_empty() && at < text.size());
  return at;
}

/// Function types nest in function types: `int (*(*f(int))(char))(long)`.
inline constexpr int deepest_function_type = 8;

/// Behind `operator` and a type (a conversion), `new`, `delete[]` or `""_x`: where the parameters begin.
inline std::size_t skip_conversion(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    if (text[at] == '(') {
      const std::size_t end = skip_brackets(text, at);
      const std::string_view group = text.substr(at, end - at);
      const bool is_function_type = group.starts_with("(*") || group.starts_with("(&") || group.ends_with("::*)");
      if (!is_function_type && group != "(anonymous namespace)") return at;
      at = end;
      if (is_function_type && at < text.size() && text[at] == '(') at = skip_brackets(text, at);
    } else {
      at = text[at] == '<' || text[at] == '[' || text[at] == '{' ? skip_brackets(text, at) : at + 1;
    }
  }
  return at;
}

inline std::string without_parameters(std::string_view text, int depth) {
  constexpr std::string_view unnamed = "(anonymous namespace)";
  std::string name;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (const std::size_t length = operator_length(text, at); length != 0) {
      std::size_t end = at + length;
      if (length == std::string_view{"operator"}.size() && end < text.size() && (text[end] == ' ' || text[end] == '"'))
        end = skip_conversion(text, end);
      else if (text.substr(end).starts_with(" <"))
        ++end;  // "operator<< <int>": the blank keeps the two apart
      name += text.substr(at, end - at);
      at = end;
    } else if (rest.starts_with(unnamed)) {
      name += unnamed;
      at += unnamed.size();
    } else if (rest[0] == '(') {
      const std::size_t end = skip_brackets(text, at);
      const bool is_pointer =
          name.empty() && (rest.starts_with("(*") || rest.starts_with("(&") || rest.find("::*") < end - at);
      if (is_pointer && depth < deepest_function_type) {
        // A function that returns a pointer to a function is written inside that type: `void (*f(int))(char)`.
        const std::size_t inside = at + rest.find_first_of("*&") + 1;
        return without_parameters(text.substr(inside, end - 1 - inside), depth + 1);
      }
      at = end;
      const std::size_t scope = text.find("::", at);
      // What follows parameters are qualifiers; then the name may go on with what is local to the function.
      if (name.empty()) continue;  // decltype (...)
      if (scope == text.npos || text.substr(at, scope - at).find_first_of("(<[{") != text.npos) return name;
      at = scope;
    } else if (rest[0] == ' ') {
      name.clear();  // so far it was the return type
      ++at;
    } else if (rest[0] == '<' || rest[0] == '[' || rest[0] == '{') {
      const std::size_t end = skip_brackets(text, at);
      name += text.substr(at, end - at);
      at = end;
    } else {
      name += rest[0];
      ++at;
    }
  }
  return name;
}

}  // namespace detail

/// The qualified name of a demangled C++ function: without return type, parameters and qualifiers.
/// `void ns::f<int>(int) const` gives `ns::f<int>`; a lambda keeps its parameters, they tell it from others.
/// Special names (`vtable for X`, `guard variable for x`) stay as they are; a thunk gives the function it leads to.
inline std::string strip_parameters(std::string_view demangled) {
  const std::size_t special = demangled.find(" for ");
  if (special != demangled.npos && demangled.substr(0, special).find_first_of("<({") == demangled.npos)
    return std::string{demangled};
  std::string name = detail::without_parameters(demangled, 0);
  return name.empty() ? std::string{demangled} : name;
}

/// Template arguments of a C++ name, and generic ones of a Rust name, written as `...`:
/// `std::vector<int, std::allocator<int> >::push_back` gives `std::vector<...>::push_back`. The type before `::` in
/// Rust's `<T as Trait>::method` is no argument; it stays, shortened.
inline std::string shorten_templates(std::string_view name) {
  std::string text;
  bool follows_name = false;
  for (std::size_t at = 0; at < name.size();) {
    if (const std::size_t length = detail::operator_length(name, at); length != 0) {
      text += name.substr(at, length);
      at += length;
      follows_name = true;
      if (name.substr(at).starts_with(" <")) text += name[at++];
    } else if (const std::size_t end = name[at] == '<' ? detail::skip_brackets(name, at) : at;
               follows_name && end - at > 2 && !name.substr(at).starts_with("<impl ")) {
      text += "<...>";
      at = end;
      follows_name = false;
    } else {
      follows_name = detail::is_name_char(name[at]) || name[at] == ':' || name[at] == '}' || name[at] == ']';
      text += name[at++];
    }
  }
  return text;
}

}  // namespace pyagent::inline v0::symbol
