#include "fpm/config/php_value.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

constexpr std::pair<std::string_view, int> kConstants[] = {
    {"E_ERROR", 1},
    {"E_WARNING", 2},
    {"E_PARSE", 4},
    {"E_NOTICE", 8},
    {"E_CORE_ERROR", 16},
    {"E_CORE_WARNING", 32},
    {"E_COMPILE_ERROR", 64},
    {"E_COMPILE_WARNING", 128},
    {"E_USER_ERROR", 256},
    {"E_USER_WARNING", 512},
    {"E_USER_NOTICE", 1024},
    {"E_STRICT", 2048},
    {"E_RECOVERABLE_ERROR", 4096},
    {"E_DEPRECATED", 8192},
    {"E_USER_DEPRECATED", 16384},
    {"E_ALL", 32767},
};

/// Reads `expression` from left to right. The operators |, & and ^ have one rank there: php.ini's
/// grammar gives them none of their own, and all are left-associative.
class Calculator {
 public:
  explicit Calculator(std::string_view text) : rest_(text) {}

  /// The value, or nothing if the text is no expression, or has no operator and no constant.
  std::optional<int> value() {
    const std::optional<int> result = operation();
    skip_blanks();
    if (!rest_.empty() || !calculates_) return std::nullopt;
    return result;
  }

 private:
  void skip_blanks() { rest_ = trim(rest_); }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<int> operation() {
    std::optional<int> left = operand();
    while (left) {
      const char sign = take('|') ? '|' : take('&') ? '&' : take('^') ? '^' : '\0';
      if (sign == '\0') break;
      const std::optional<int> right = operand();
      if (!right) return std::nullopt;
      calculates_ = true;
      left = sign == '|' ? *left | *right : sign == '&' ? *left & *right : *left ^ *right;
    }
    return left;
  }

  std::optional<int> operand() {
    if (++depth_ > kMostDepth) return std::nullopt;
    std::optional<int> result;
    if (take('~')) {
      result = operand();
      if (result) result = ~*result;
      calculates_ = true;
    } else if (take('!')) {
      result = operand();
      if (result) result = *result == 0 ? 1 : 0;
      calculates_ = true;
    } else if (take('(')) {
      result = operation();
      if (!take(')')) result.reset();
    } else {
      result = word();
    }
    --depth_;
    return result;
  }

  std::optional<int> word() {
    skip_blanks();
    const std::string_view text = rest_.substr(0, rest_.find_first_of(" \t|&^~!()"));
    rest_.remove_prefix(text.size());
    for (const auto& [name, number] : kConstants) {
      if (text != name) continue;
      calculates_ = true;
      return number;
    }
    int number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end) return std::nullopt;
    return number;
  }

  static constexpr int kMostDepth = 64;
  std::string_view rest_;
  bool calculates_ = false;
  int depth_ = 0;
};

}  // namespace

std::string php_value(std::string_view text) {
  bool on = false;
  if (text != "0" && text != "1" && parse_flag(text, on).empty()) return on ? "1" : "";
  if (same_word(text, "null")) return {};
  const std::optional<int> number = Calculator(text).value();
  return number ? fmt::format("{}", *number) : std::string(text);
}

}  // namespace fpm::config
