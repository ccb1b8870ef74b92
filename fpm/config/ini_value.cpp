#include "fpm/config/ini_value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

/// Reads one value from left to right.
class Reader {
 public:
  explicit Reader(std::string_view raw) : rest_(raw) {}

  IniValue read() {
    skip_blanks();
    // php.ini takes ' for a quote at the start only: "it's up" is plain text.
    if (!rest_.empty() && rest_.front() == '\'') read_single();
    while (value_.error.empty() && !rest_.empty() && rest_.front() != ';') {
      if (rest_.front() == '"') {
        read_double();
      } else {
        read_bare();
      }
    }
    trim_end();
    return std::move(value_);
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
  }

  void read_single() {
    const std::size_t end = rest_.find('\'', 1);
    if (end == std::string_view::npos) {
      value_.error = "the ' is not closed on this line";
      return;
    }
    value_.quoted = true;
    value_.text += rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    kept_ = value_.text.size();
  }

  void read_double() {
    value_.quoted = true;
    rest_.remove_prefix(1);
    while (value_.error.empty()) {
      if (rest_.empty()) {
        value_.error = "the \" is not closed on this line";
        return;
      }
      const char next = rest_.front();
      if (next == '"') break;
      if (next == '\\' && rest_.size() > 1) {
        read_escape();
      } else {
        read_character();
      }
    }
    if (value_.error.empty()) rest_.remove_prefix(1);
    kept_ = value_.text.size();
  }

  /// The character behind a backslash never ends the text nor begins a ${NAME}.
  void read_escape() {
    const char escaped = rest_[1];
    if (escaped != '"' && escaped != '\\' && escaped != '\'') value_.text += '\\';
    value_.text += escaped;
    rest_.remove_prefix(2);
  }

  void read_bare() {
    while (value_.error.empty() && !rest_.empty() && rest_.front() != ';' && rest_.front() != '"') {
      read_character();
    }
  }

  void read_character() {
    if (rest_.substr(0, 2) == "${") {
      read_variable();
      return;
    }
    value_.text += rest_.front();
    rest_.remove_prefix(1);
  }

  void read_variable() {
    const std::size_t end = rest_.find('}');
    if (end == std::string_view::npos) {
      value_.error = "the ${ is not closed by } on this line";
      return;
    }
    const std::string_view inside = rest_.substr(2, end - 2);
    rest_.remove_prefix(end + 1);
    const std::size_t colon = inside.find(":-");
    const std::string name(inside.substr(0, colon));
    const char* const found = name.empty() ? nullptr : std::getenv(name.c_str());
    const bool has_default = colon != std::string_view::npos;
    if (found != nullptr && (*found != '\0' || !has_default)) {
      value_.text += found;
    } else if (has_default) {
      value_.text += inside.substr(colon + 2);
    } else {
      value_.error = fmt::format(
          "the environment variable {0} is not set; set it, or write ${{{0}:-DEFAULT}}", name);
    }
    kept_ = value_.text.size();  // blanks that a variable brought belong to the value
  }

  /// Blanks before a comment or the end of the line are no part of bare text.
  void trim_end() {
    const std::size_t last = value_.text.find_last_not_of(kBlanks);
    const std::size_t bare_end = last == std::string::npos ? 0 : last + 1;
    value_.text.resize(std::max(bare_end, kept_));
  }

  std::string_view rest_;
  IniValue value_;
  std::size_t kept_ = 0;  ///< so many bytes of the text are not trimmed
};

}  // namespace

IniValue read_value(std::string_view raw) { return Reader(raw).read(); }

}  // namespace fpm::config
