// Between text and the fields that the table of directives points to.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <type_traits>

#include "fpm/config/address.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

/// What was expected, as the end of a message.
std::string expected(const std::string& what) {
  return what.empty() ? std::string() : "expected " + what;
}

bool is_off_word(const Assignment& value) {
  bool on = true;
  // Bare words only: php.ini makes nothing of them, and "0" may well be a name.
  return !value.quoted && value.text != "0" && parse_flag(value.text, on).empty() && !on;
}

/// Writes text into the member that a row's field points to; one overload for each kind.
template <class Owner>
struct Writer {
  using D = Directive<Owner>;
  const D& row;
  Owner& owner;
  const Assignment& value;
  std::string_view prefix;

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

  std::string operator()(const typename D::Text& field) const {
    std::string error = checked(value.text);
    if (error.empty()) owner.*field.member = value.text;
    return error;
  }

  std::string operator()(const typename D::Path& field) const {
    const std::string_view text = is_off_word(value) ? std::string_view() : value.text;
    std::string error = checked(text);
    if (error.empty()) owner.*field.member = absolute_path(text, prefix);
    return error;
  }

  std::string operator()(const typename D::Flag& field) const {
    return parsed(field.member, parse_flag);
  }

  std::string operator()(const typename D::Number& field) const {
    return parsed(field.member, [&](std::string_view text, int& out) {
      return parse_number(text, field.least, field.most, out);
    });
  }

  std::string operator()(const typename D::Time& field) const {
    return parsed(field.member, parse_time);
  }

  std::string operator()(const typename D::Mode& field) const {
    return parsed(field.member, parse_mode);
  }

  std::string operator()(const typename D::Listen& field) const {
    Address out;
    std::string error = parse_address(value.text, out);
    if (error.empty()) error = checked(value.text);
    if (!error.empty()) return error;
    out.path = absolute_path(out.path, prefix);
    owner.*field.member = std::move(out);
    return {};
  }

  template <class Enum>
  std::string operator()(const typename D::template Choice<Enum>& field) const {
    return parsed(field.member, parse_word<Enum>);
  }

  std::string operator()(const typename D::CommaList& field) const {
    std::vector<std::string> out;
    std::string_view rest = value.text;
    while (true) {
      const std::size_t comma = rest.find(',');
      const std::string_view item = trim(rest.substr(0, comma));
      std::string error = checked(item);
      if (!error.empty()) return error;
      out.emplace_back(item);
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
    owner.*field.member = std::move(out);
    return {};
  }

  std::string operator()(const typename D::PathList& field) const {
    if (!value.index->empty()) return fmt::format("expected {}[] without a key", row.name);
    std::string error = checked(value.text);
    if (error.empty()) (owner.*field.member).push_back(absolute_path(value.text, prefix));
    return error;
  }

  std::string operator()(const typename D::Environment& field) const {
    if (value.index->empty()) return fmt::format("expected a key, as in {}[NAME]", row.name);
    std::string error = checked(value.text);
    if (!error.empty()) return error;
    std::string text(value.text);
    if (!text.empty() && text.front() == '$') {
      const char* const found = std::getenv(text.c_str() + 1);
      text = found != nullptr ? found : "";  // as php-fpm: an unset one gives an empty one
    }
    Variables& list = owner.*field.member;
    const auto same = [&](const auto& variable) { return variable.first == *value.index; };
    const auto old = std::find_if(list.begin(), list.end(), same);
    if (old != list.end()) {
      old->second = std::move(text);
    } else {
      list.emplace_back(*value.index, std::move(text));
    }
    return {};
  }
};

/// The text of the member that a row's field points to; one overload for each kind.
template <class Owner>
struct Printer {
  using D = Directive<Owner>;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  const D& row;
  const Owner& owner;

  Pairs one(std::string text) const { return {{std::string(row.name), std::move(text)}}; }

  Pairs operator()(const typename D::Text& field) const { return one(owner.*field.member); }
  Pairs operator()(const typename D::Path& field) const { return one(owner.*field.member); }
  Pairs operator()(const typename D::Mode& field) const { return one(owner.*field.member); }
  Pairs operator()(const typename D::Flag& field) const {
    return one(print_flag(owner.*field.member));
  }
  Pairs operator()(const typename D::Number& field) const {
    return one(fmt::format("{}", owner.*field.member));
  }
  Pairs operator()(const typename D::Time& field) const {
    return one(print_time(owner.*field.member));
  }
  Pairs operator()(const typename D::Listen& field) const {
    const Address& address = owner.*field.member;
    return one(address.is_unix() ? address.path : address.text);
  }
  template <class Enum>
  Pairs operator()(const typename D::template Choice<Enum>& field) const {
    return one(print_word(owner.*field.member));
  }
  Pairs operator()(const typename D::CommaList& field) const {
    return one(fmt::format("{}", fmt::join(owner.*field.member, ",")));
  }
  Pairs operator()(const typename D::PathList& field) const {
    Pairs out;
    for (const std::string& item : owner.*field.member) {
      out.emplace_back(fmt::format("{}[]", row.name), item);
    }
    return out;
  }
  Pairs operator()(const typename D::Environment& field) const {
    Pairs out;
    for (const auto& [key, text] : owner.*field.member) {
      out.emplace_back(fmt::format("{}[{}]", row.name, key), text);
    }
    return out;
  }
};

template <class Owner>
void set_defaults(std::span<const Directive<Owner>> rows, Owner& owner) {
  for (const Directive<Owner>& row : rows) {
    if (!row.default_text.empty()) assign(row, owner, {row.default_text, {}, true}, "/");
  }
}

template <class Owner>
const Directive<Owner>* find(std::span<const Directive<Owner>> rows, std::string_view name) {
  for (const Directive<Owner>& row : rows) {
    if (same_word(row.name, name)) return &row;
  }
  return nullptr;
}

/// How many letters must be put in, taken out or changed to make one of the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (same_word(a.substr(i, 1), b.substr(j, 1)) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

template <class Owner>
std::string assign(const Directive<Owner>& row, Owner& owner, const Assignment& value,
                   std::string_view prefix) {
  if (row.takes_index() && !value.index) {
    const bool key = std::holds_alternative<typename Directive<Owner>::Environment>(row.field);
    return fmt::format("expected {}[{}] = value", row.name, key ? "NAME" : "");
  }
  if (!row.takes_index() && value.index) return fmt::format("expected {} = value", row.name);
  return std::visit(Writer<Owner>{row, owner, value, prefix}, row.field);
}

template <class Owner>
std::vector<std::pair<std::string, std::string>> print(const Directive<Owner>& row,
                                                       const Owner& owner) {
  return std::visit(Printer<Owner>{row, owner}, row.field);
}

template std::string assign(const Directive<Global>&, Global&, const Assignment&, std::string_view);
template std::string assign(const Directive<Pool>&, Pool&, const Assignment&, std::string_view);
template std::vector<std::pair<std::string, std::string>> print(const Directive<Global>&,
                                                                const Global&);
template std::vector<std::pair<std::string, std::string>> print(const Directive<Pool>&,
                                                                const Pool&);

const Directive<Global>* find_global(std::string_view name) {
  return find(global_directives(), name);
}
const Directive<Pool>* find_pool(std::string_view name) { return find(pool_directives(), name); }

Global default_global() {
  Global global;
  set_defaults(global_directives(), global);
  return global;
}

Pool default_pool(std::string name) {
  Pool pool;
  set_defaults(pool_directives(), pool);
  pool.name = std::move(name);
  return pool;
}

std::string nearest_directive(std::string_view unknown) {
  // A third of the letters wrong is still a slip; more is another word.
  std::size_t best = std::max<std::size_t>(unknown.size() / 3, 1) + 1;
  std::string nearest;
  const auto look = [&](std::string_view name) {
    const std::size_t far = distance(unknown, name);
    if (far < best) {
      best = far;
      nearest = name;
    }
  };
  for (const auto& row : pool_directives()) look(row.name);
  for (const auto& row : global_directives()) look(row.name);
  look("include");
  return nearest;
}

}  // namespace fpm::config
