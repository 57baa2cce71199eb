// Rust names mangled by the v0 scheme, as people write them. May allocate
#pragma once

#include <charconv>     // from_chars
#include <cstdint>      // uint64_t, uint32_t
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view

#include "pyagent/symbol/code_point.hpp"

namespace pyagent::inline v0::symbol {

/// No demangled name is longer: back-references let a short symbol stand for an endless one. The longest in rustc 1.95
/// has 10111 characters.
inline constexpr std::size_t longest_rust_name = 65536;
/// Nothing is nested deeper.
inline constexpr int deepest_rust_name = 100;

namespace detail {

/// Decodes Punycode (RFC 3492) with `_` for `-`, as Rust writes it; nothing when it is damaged.
inline std::optional<std::string> decode_punycode(std::string_view text) {
  std::u32string points;
  if (const std::size_t last = text.rfind('_'); last != text.npos) {
    for (const char c : text.substr(0, last)) points += static_cast<unsigned char>(c);
    text.remove_prefix(last + 1);
  }
  std::uint64_t point = 128, at = 0, bias = 72;
  for (bool is_first = true; !text.empty(); is_first = false) {
    const std::uint64_t before = at;
    for (std::uint64_t weight = 1, base = 36;; base += 36) {
      if (text.empty() || weight > 0xffffffff || at > 0xffffffff) return std::nullopt;
      const char c = text.front();
      const std::uint64_t digit = c >= 'a' && c <= 'z'   ? static_cast<std::uint64_t>(c - 'a')
                                  : c >= '0' && c <= '9' ? static_cast<std::uint64_t>(c - '0' + 26)
                                                         : 36;
      if (digit == 36) return std::nullopt;
      text.remove_prefix(1);
      at += digit * weight;
      const std::uint64_t threshold = base <= bias ? 1 : base >= bias + 26 ? 26 : base - bias;
      if (digit < threshold) break;
      weight *= 36 - threshold;
    }
    const std::uint64_t length = points.size() + 1;
    std::uint64_t delta = (at - before) / (is_first ? 700 : 2);
    delta += delta / length;
    for (bias = 0; delta > 455; bias += 36) delta /= 35;
    bias += 36 * delta / (delta + 38);
    point += at / length;
    at %= length;
    if (point > 0x10ffff || !is_scalar(static_cast<std::uint32_t>(point))) return std::nullopt;
    points.insert(points.begin() + static_cast<std::ptrdiff_t>(at++), static_cast<char32_t>(point));
  }
  std::string decoded;
  for (const char32_t c : points) append_utf8(decoded, c);
  return decoded;
}

/// One pass over a v0 symbol. A failure stops all that follows.
/// Source: RFC 2603 and The rustc book, "v0 Symbol Format"
class RustName {
 public:
  explicit RustName(std::string_view text) noexcept : text_(text) {}

  /// The path that the symbol, without its `_R`, stands for.
  std::optional<std::string> read() {
    if (!text_.empty() && text_[0] >= '0' && text_[0] <= '9') return std::nullopt;  // an encoding version to come
    read_path(true);
    if (ok_ && at_ < text_.size() && text_[at_] >= 'A' && text_[at_] <= 'Z') {  // the crate that instantiated it
      is_silent_ = true;
      read_path(false);
    }
    const bool is_whole = at_ == text_.size() || text_[at_] == '.' || text_[at_] == '$';
    if (!ok_ || !is_whole) return std::nullopt;
    return std::move(out_);
  }

 private:
  struct Identifier {
    std::uint64_t disambiguator = 0;
    std::string name;
  };
  /// Counts how deep the reading functions are in each other.
  class Depth {
   public:
    explicit Depth(RustName& name) noexcept : name_(name) {
      if (++name_.depth_ > deepest_rust_name) name_.ok_ = false;
    }
    ~Depth() { --name_.depth_; }

   private:
    RustName& name_;
  };

  void fail() noexcept { ok_ = false; }
  char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
  char next() noexcept {
    if (!ok_ || at_ >= text_.size()) return fail(), '\0';
    return text_[at_++];
  }
  bool take(char c) noexcept {
    if (!ok_ || peek() != c || c == '\0') return false;
    ++at_;
    return true;
  }
  void put(std::string_view text) {
    if (is_silent_ || !ok_) return;
    if (out_.size() + text.size() > longest_rust_name) return fail();
    out_ += text;
  }

  /// Digits, then `_`; the number of `_` alone is 0, that of `0_` is 1.
  std::uint64_t read_base62() noexcept {
    if (take('_')) return 0;
    std::uint64_t value = 0;
    while (ok_ && !take('_')) {
      const char c = next();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'z' ? c - 'a' + 10
                        : c >= 'A' && c <= 'Z' ? c - 'A' + 36
                                               : -1;
      if (digit < 0 || value > (~std::uint64_t{0} - 61) / 62 - 1) return fail(), 0;
      value = value * 62 + static_cast<std::uint64_t>(digit);
    }
    return value + 1;
  }
  std::uint64_t read_optional_base62(char tag) noexcept { return take(tag) ? read_base62() + 1 : 0; }

  std::uint64_t read_decimal() noexcept {
    if (take('0')) return 0;
    std::uint64_t value = 0;
    if (peek() < '1' || peek() > '9') return fail(), 0;
    while (ok_ && peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<std::uint64_t>(next() - '0');
      if (value > text_.size()) fail();
    }
    return value;
  }

  Identifier read_identifier() {
    Identifier identifier{read_optional_base62('s'), {}};
    const bool is_punycode = take('u');
    const auto length = static_cast<std::size_t>(read_decimal());
    take('_');
    if (!ok_ || length > text_.size() - at_) return fail(), Identifier{};
    identifier.name = text_.substr(at_, length);
    at_ += length;
    if (!is_punycode) return identifier;
    if (auto decoded = decode_punycode(identifier.name))
      identifier.name = std::move(*decoded);
    else
      fail();
    return identifier;
  }

  /// Runs `read` at an earlier place of the symbol. Back-references lead backwards only, and what they print is
  /// limited, so they come to an end.
  template <class Read>
  void follow_reference(Read&& read) {
    const std::size_t tag = at_ - 1;
    const std::uint64_t target = read_base62();
    if (!ok_ || target >= tag) return fail();
    if (is_silent_) return;
    const std::size_t back = at_;
    at_ = static_cast<std::size_t>(target);
    read();
    at_ = back;
  }

  /// Reads up to the E that ends a list, with `separator` between; how many there were.
  template <class Read>
  std::size_t read_list(std::string_view separator, Read&& read) {
    std::size_t count = 0;
    for (; ok_ && !take('E'); ++count) {
      if (count != 0) put(separator);
      read();
    }
    return count;
  }

  /// In a value position generic arguments are written with `::<`.
  void read_path(bool is_value) {
    const Depth depth{*this};
    if (!ok_) return;
    switch (next()) {
      case 'C':
        return put(read_identifier().name);
      case 'M':
        return read_impl_path(), read_self(false);
      case 'X':
        return read_impl_path(), read_self(true);
      case 'Y':
        return read_self(true);
      case 'N':
        return read_nested(is_value);
      case 'I':
        read_path(is_value);
        put(is_value ? "::<" : "<");
        read_list(", ", [&] { read_generic_argument(); });
        return put(">");
      case 'B':
        return follow_reference([&] { read_path(is_value); });
      default:
        return fail();
    }
  }

  /// Where an impl stands; it is not shown.
  void read_impl_path() {
    const bool was_silent = is_silent_;
    is_silent_ = true;
    (void)read_optional_base62('s');
    read_path(false);
    is_silent_ = was_silent;
  }

  void read_self(bool has_trait) {
    put("<");
    read_type();
    if (has_trait) put(" as "), read_path(false);
    put(">");
  }

  void read_nested(bool is_value) {
    const char space = next();
    read_path(is_value);
    const Identifier identifier = read_identifier();
    if (space >= 'A' && space <= 'Z') {
      put("::{");
      put(space == 'C' ? "closure" : space == 'S' ? "shim" : std::string_view{&space, 1});
      if (!identifier.name.empty()) put(":"), put(identifier.name);
      put("#" + std::to_string(identifier.disambiguator) + "}");
    } else if (space >= 'a' && space <= 'z') {
      if (!identifier.name.empty()) put("::"), put(identifier.name);
    } else {
      fail();
    }
  }

  void read_generic_argument() {
    if (take('L')) return put_lifetime(read_base62());
    if (take('K')) return read_const();
    read_type();
  }

  /// Lifetimes are numbered from the innermost binder outwards; 0 is erased.
  void put_lifetime(std::uint64_t index) {
    if (index == 0) return put("'_");
    if (index > bound_) return fail();
    const std::uint64_t number = bound_ - index;
    if (number < 26) return put(std::string{'\''} + static_cast<char>('a' + number));
    put("'_" + std::to_string(number));
  }

  template <class Read>
  void read_binder(Read&& read) {
    const std::uint64_t added = read_optional_base62('G');
    if (!ok_ || added > text_.size()) return fail();
    if (added != 0) {
      put("for<");
      for (std::uint64_t i = 0; i < added; ++i) {
        if (i != 0) put(", ");
        ++bound_;
        put_lifetime(1);
      }
      put("> ");
    }
    read();
    bound_ -= added;
  }

  static constexpr std::string_view basic_type(char tag) noexcept {
    constexpr std::string_view names[] = {"i8",    "bool", "char", "f64", "str",  "f32",  "",    "u8", "isize",
                                          "usize", "",     "i32",  "u32", "i128", "u128", "_",   "",   "",
                                          "i16",   "u16",  "()",   "...", "",     "i64",  "u64", "!"};
    return tag >= 'a' && tag <= 'z' ? names[tag - 'a'] : std::string_view{};
  }

  void read_type() {
    const Depth depth{*this};
    if (!ok_) return;
    const char tag = next();
    if (const std::string_view name = basic_type(tag); !name.empty()) return put(name);
    switch (tag) {
      case 'R':
      case 'Q':
        put("&");
        if (take('L'))
          if (const std::uint64_t lifetime = read_base62(); lifetime != 0) put_lifetime(lifetime), put(" ");
        if (tag == 'Q') put("mut ");
        return read_type();
      case 'P':
        return put("*const "), read_type();
      case 'O':
        return put("*mut "), read_type();
      case 'S':
        return put("["), read_type(), put("]");
      case 'A':
        return put("["), read_type(), put("; "), read_const(), put("]");
      case 'T': {
        put("(");
        const std::size_t count = read_list(", ", [&] { read_type(); });
        return put(count == 1 ? ",)" : ")");
      }
      case 'F':
        return read_binder([&] { read_function_type(); });
      case 'D':
        put("dyn ");
        read_binder([&] { read_list(" + ", [&] { read_dyn_trait(); }); });
        if (!take('L')) return fail();
        if (const std::uint64_t lifetime = read_base62(); lifetime != 0) put(" + "), put_lifetime(lifetime);
        return;
      case 'B':
        return follow_reference([&] { read_type(); });
      default:
        if (!ok_) return;
        --at_;
        return read_path(false);
    }
  }

  void read_function_type() {
    if (take('U')) put("unsafe ");
    if (take('K')) {
      std::string abi = take('C') ? "C" : read_identifier().name;
      for (char& c : abi) c = c == '_' ? '-' : c;
      put("extern \"" + abi + "\" ");
    }
    put("fn(");
    read_list(", ", [&] { read_type(); });
    put(")");
    if (take('u')) return;  // returns ()
    put(" -> ");
    read_type();
  }

  /// A trait with what its associated types are bound to, in the same angle brackets as its generic arguments.
  void read_dyn_trait() {
    bool is_open = read_open_path();
    while (ok_ && take('p')) {
      put(is_open ? ", " : "<");
      is_open = true;
      put(read_identifier().name);
      put(" = ");
      read_type();
    }
    if (is_open) put(">");
  }

  /// A path whose closing `>` is left to the caller; true when there is one.
  bool read_open_path() {
    const Depth depth{*this};
    bool is_open = false;
    if (take('B')) {
      follow_reference([&] { is_open = read_open_path(); });
    } else if (take('I')) {
      read_path(false);
      put("<");
      read_list(", ", [&] { read_generic_argument(); });
      is_open = true;
    } else {
      read_path(false);
    }
    return is_open;
  }

  void read_const() {
    const Depth depth{*this};
    if (!ok_) return;
    if (take('B')) return follow_reference([&] { read_const(); });
    const char type = next();
    if (type == 'p') return put("_");
    const std::string_view name = basic_type(type);
    if (name.empty() || std::string_view{"fdezpv"}.find(type) != std::string_view::npos) return fail();
    const bool is_negative = take('n');
    const std::size_t start = at_;
    while (ok_ && ((peek() >= '0' && peek() <= '9') || (peek() >= 'a' && peek() <= 'f'))) ++at_;
    const std::string_view digits = text_.substr(start, at_ - start);
    if (!take('_')) return fail();
    put_const(type, is_negative, digits);
  }

  void put_const(char type, bool is_negative, std::string_view digits) {
    std::uint64_t value = 0;
    const auto end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, value, 16);
    const bool is_small = digits.empty() || (parsed.ec == std::errc{} && parsed.ptr == end);
    if (type == 'b') return !is_small || value > 1 ? fail() : put(value != 0 ? "true" : "false");
    if (type == 'c') {
      if (!is_small || value > 0x10ffff || !is_scalar(static_cast<std::uint32_t>(value))) return fail();
      std::string text{value == '\'' || value == '\\' ? "\\" : ""};
      append_utf8(text, static_cast<std::uint32_t>(value));
      return put("'"), put(text), put("'");
    }
    if (is_negative) put("-");
    if (is_small) return put(std::to_string(value));
    put("0x");
    put(digits);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
  std::uint64_t bound_ = 0;
  int depth_ = 0;
  bool ok_ = true;
  bool is_silent_ = false;
};

}  // namespace detail

/// The path that a v0 symbol (`_RNvCs1234_7mycrate3foo`) stands for: `mycrate::foo`; crates without their hash.
/// Nothing when it is not one, or nested or long beyond the limits.
inline std::optional<std::string> demangle_rust_v0(std::string_view symbol) {
  if (!symbol.starts_with("_R")) return std::nullopt;
  return detail::RustName{symbol.substr(2)}.read();
}

}  // namespace pyagent::inline v0::symbol
