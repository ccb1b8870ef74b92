// From text to the fields that the table of directives points to.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "fpm/config/address.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/php_value.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

/// What was expected, as the end of a message.
std::string expected(const std::string& what) {
  return what.empty() ? std::string() : "expected " + what;
}

/// Bare words as php.ini reads them: off, no, false and none are nothing. "0" may well be a name.
std::string_view without_off_word(const Assignment& value) {
  bool on = true;
  const bool off = parse_flag(value.text, on).empty() && !on && value.text != "0";
  return off && !value.quoted ? std::string_view() : value.text;
}

/// The same, and on, yes and true are 1.
std::string_view bare_word(const Assignment& value) {
  bool on = false;
  const bool word = !value.quoted && parse_flag(value.text, on).empty() && on;
  return word ? "1" : without_off_word(value);
}

/// `text` is a number on the wrong side of a limit, not one that overflows nor anything else.
bool is_outside(std::string_view text, int least, int most) {
  int number = 0;
  if (!parse_number(text, INT_MIN, INT_MAX, number).empty()) return false;
  return number < least || number > most;
}

/// Writes text into the member that a row's field points to; one overload for each kind.
template <class Owner>
struct Writer {
  using D = Directive<Owner>;
  const D& row;
  Owner& owner;
  const Assignment& value;

  std::string checked(std::string_view text) const { return row.check(text); }

  /// Parses into a value of the member's type, checks, and only then writes.
  template <class T, class Parse>
  std::string parsed(T Owner::*member, Parse parse) const {
    T out{};
    std::string error = expected(parse(value.text, out));
    if (error.empty()) error = checked(value.text);
    if (error.empty()) owner.*member = std::move(out);
    return error;
  }

  std::string text_into(std::string Owner::*member, std::string_view text) const {
    std::string error = checked(text);
    if (error.empty()) owner.*member = text;
    return error;
  }

  std::string operator()(const typename D::Text& field) const {
    return text_into(field.member, without_off_word(value));
  }
  std::string operator()(const typename D::Path& field) const {
    return text_into(field.member, without_off_word(value));
  }
  std::string operator()(const typename D::LogFile& field) const {
    return text_into(field.member, without_off_word(value));
  }

  std::string operator()(const typename D::Flag& field) const {
    return parsed(field.member, parse_flag);
  }

  template <class Kind>
  std::string ranged(const Kind& field, std::string_view text, int& out) const {
    const std::string error = expected(parse_number(text, field.least, field.most, out));
    const bool outside = is_outside(text, field.least, field.most);
    if (!outside || field.out_of_range.empty()) return error;
    return fmt::format("{}, {}", fmt::format(fmt::runtime(field.out_of_range), text), error);
  }
  std::string operator()(const typename D::Number& field) const {
    int out = 0;
    std::string error = ranged(field, value.text, out);
    if (error.empty()) error = checked(value.text);
    if (error.empty()) owner.*field.member = out;
    return error;
  }
  std::string operator()(const typename D::OptionalNumber& field) const {
    int out = 0;
    std::string error = ranged(field, value.text, out);
    if (error.empty()) owner.*field.member = out;
    return error;
  }

  std::string operator()(const typename D::Time& field) const {
    return parsed(field.member, parse_time);
  }
  std::string operator()(const typename D::Size& field) const {
    return parsed(field.member, parse_size);
  }
  std::string operator()(const typename D::ResourceLimit& field) const {
    return parsed(field.member, [&](std::string_view text, Limit& out) {
      return parse_limit(text, field.bytes, out);
    });
  }
  std::string operator()(const typename D::Cpus& field) const {
    return parsed(field.member, parse_cpus);
  }
  std::string operator()(const typename D::Mode& field) const {
    return parsed(field.member, parse_mode);
  }

  std::string operator()(const typename D::Listen& field) const {
    Address out;
    const bool off = field.off && value.text.empty();
    std::string error = off ? std::string() : parse_address(value.text, out, field.any_port);
    if (error.empty()) error = checked(value.text);
    if (error.empty()) owner.*field.member = std::move(out);
    return error;
  }

  template <class Enum>
  std::string operator()(const typename D::template Choice<Enum>& field) const {
    return parsed(field.member, parse_word<Enum>);
  }

  std::string list_into(std::vector<std::string> Owner::*member, std::string_view text,
                        std::string_view separators, bool empty_items) const {
    std::vector<std::string> out;
    for (const std::string_view item : split(text, separators)) {
      if (item.empty() && !empty_items) continue;
      std::string error = checked(item);
      if (!error.empty()) return error;
      out.emplace_back(item);
    }
    owner.*member = std::move(out);
    return {};
  }
  std::string operator()(const typename D::CommaList& field) const {
    return list_into(field.member, value.text, ",", true);
  }
  std::string operator()(const typename D::BlankList& field) const {
    return list_into(field.member, without_off_word(value), " \t", false);
  }

  std::string operator()(const typename D::PathList& field) const {
    if (!value.index->empty()) return fmt::format("expected {}[] without a key", row.name);
    std::string error = checked(value.text);
    if (error.empty()) (owner.*field.member).emplace_back(value.text);
    return error;
  }
  std::string operator()(const typename D::UriList& field) const {
    std::string error = checked(value.text);
    if (error.empty()) (owner.*field.member).emplace_back(value.text);
    return error;
  }

  static void set(Variables& list, const std::string& key, std::string text) {
    const auto same = [&](const auto& variable) { return variable.first == key; };
    const auto old = std::find_if(list.begin(), list.end(), same);
    if (old != list.end()) {
      old->second = std::move(text);
    } else {
      list.emplace_back(key, std::move(text));
    }
  }
  std::string operator()(const typename D::Environment& field) const {
    std::string error = checked(value.text);
    if (!error.empty()) return error;
    std::string text(bare_word(value));
    set(owner.*field.as_written, *value.index, text);
    if (!text.empty() && text.front() == '$') {
      const char* const found = std::getenv(text.c_str() + 1);
      text = found != nullptr ? found : "";  // as php-fpm: an unset one gives an empty one
    }
    set(owner.*field.member, *value.index, std::move(text));
    return {};
  }

  std::string operator()(const typename D::PhpValues& field) const {
    std::string text(value.text);
    if (field.flag) {
      bool on = false;
      std::string error = expected(parse_flag(text, on));
      if (!error.empty()) return error;
      text = on ? "1" : "0";
    } else if (!value.quoted) {
      text = php_value(text);
    }
    (owner.*field.member).emplace_back(*value.index, std::move(text));
    return {};
  }
};

/// Makes one path absolute; @return what is wrong with it.
std::string resolve_path(std::string& path, std::string_view prefix) {
  constexpr std::string_view kPrefix = "$prefix";
  const std::size_t at = path.find(kPrefix);
  if (at != std::string::npos && at > 0) {
    return "'$prefix' must be use at the beginning of the value";  // php-fpm's words
  }
  if (at == 0) {
    const std::string rest = path.substr(kPrefix.size());
    path = std::string(prefix) + (rest.empty() || rest.front() == '/' ? "" : "/") + rest;
  }
  path = absolute_path(path, prefix);
  return {};
}

/// Paths among PHP's settings that php-fpm puts below the prefix in php_admin_value[] (fpm_php.h,
/// FPM_PHP_INI_TO_EXPAND).
constexpr std::array<std::string_view, 15> kPhpPaths = {
    "error_log", "extension_dir", "mime_magic.magicfile", "sendmail_path", "session.cookie_path",
    "session_pgsql.sem_file_name", "soap.wsdl_cache_dir", "uploadprogress.file.filename_template",
    "xdebug.output_dir", "xdebug.profiler_output_dir", "xdebug.trace_output_dir", "xmms.path",
    "axis2.client_home", "blenc.key_file", "coin_acceptor.device"};

/// Resolves the paths of a row's field; one overload for each kind that has any.
template <class Owner>
struct Resolver {
  using D = Directive<Owner>;
  Owner& owner;
  std::string_view prefix;

  template <class Kind>
  std::string operator()(const Kind&) const {
    return {};
  }
  std::string operator()(const typename D::Path& field) const {
    return resolve_path(owner.*field.member, prefix);
  }
  std::string operator()(const typename D::LogFile& field) const {
    std::string& path = owner.*field.member;
    return path == "syslog" ? std::string() : resolve_path(path, prefix);
  }
  std::string operator()(const typename D::Listen& field) const {
    return resolve_path((owner.*field.member).path, prefix);
  }
  std::string operator()(const typename D::PathList& field) const {
    for (std::string& path : owner.*field.member) {
      std::string error = resolve_path(path, prefix);
      if (!error.empty()) return error;
    }
    return {};
  }
  std::string operator()(const typename D::PhpValues& field) const {
    if (!field.paths) return {};
    for (auto& [key, text] : owner.*field.member) {
      const bool path = std::find(kPhpPaths.begin(), kPhpPaths.end(), key) != kPhpPaths.end();
      if (path) text = absolute_path(text, prefix);
    }
    return {};
  }
};

}  // namespace

template <class Owner>
std::string array_complaint(const Directive<Owner>& row, const Assignment& value) {
  if (row.takes_key() && value.index && value.index->empty()) {
    return fmt::format("You must provide a key for field '{}'", row.name);
  }
  if (!row.template is<typename Directive<Owner>::UriList>() || !value.index) return {};
  if (!value.index->empty()) {
    return fmt::format("Keys provided to field '{}' are ignored", row.name);
  }
  if (value.text.empty() || value.text.front() != '/') {
    return fmt::format("Values provided to field '{}' must begin with '/'", row.name);
  }
  return {};
}

template <class Owner>
std::string assign(const Directive<Owner>& row, Owner& owner, const Assignment& value) {
  if (row.takes_index() && !value.index) {
    return fmt::format("expected {}[{}] = value", row.name, row.takes_key() ? "NAME" : "");
  }
  if (!row.takes_index() && value.index) return fmt::format("expected {} = value", row.name);
  return std::visit(Writer<Owner>{row, owner, value}, row.field);
}

template <class Owner>
std::string resolve(const Directive<Owner>& row, Owner& owner, std::string_view prefix) {
  return std::visit(Resolver<Owner>{owner, prefix}, row.field);
}

template std::string assign(const Directive<Global>&, Global&, const Assignment&);
template std::string assign(const Directive<Pool>&, Pool&, const Assignment&);
template std::string array_complaint(const Directive<Global>&, const Assignment&);
template std::string array_complaint(const Directive<Pool>&, const Assignment&);
template std::string resolve(const Directive<Global>&, Global&, std::string_view);
template std::string resolve(const Directive<Pool>&, Pool&, std::string_view);

}  // namespace fpm::config
