// From the fields that the table of directives points to back to text.
#include <fmt/format.h>

#include "fpm/config/directives.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

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
  Pairs operator()(const typename D::LogFile& field) const { return one(owner.*field.member); }
  Pairs operator()(const typename D::Mode& field) const { return one(owner.*field.member); }
  Pairs operator()(const typename D::Flag& field) const {
    return one(print_flag(owner.*field.member));
  }
  Pairs operator()(const typename D::Number& field) const {
    return one(fmt::format("{}", owner.*field.member));
  }
  Pairs operator()(const typename D::OptionalNumber& field) const {
    const std::optional<int>& value = owner.*field.member;
    return one(value ? fmt::format("{}", *value) : std::string());
  }
  Pairs operator()(const typename D::Size& field) const {
    return one(print_size(owner.*field.member));
  }
  Pairs operator()(const typename D::ResourceLimit& field) const {
    return one(print_limit(owner.*field.member));
  }
  Pairs operator()(const typename D::Cpus& field) const {
    return one(print_cpus(owner.*field.member));
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
  Pairs operator()(const typename D::BlankList& field) const {
    return one(fmt::format("{}", fmt::join(owner.*field.member, " ")));
  }
  Pairs operator()(const typename D::PathList& field) const { return items(owner.*field.member); }
  Pairs operator()(const typename D::UriList& field) const { return items(owner.*field.member); }
  Pairs operator()(const typename D::Environment& field) const {
    return keyed(owner.*field.as_written);
  }
  /// Flags stand among the values, so that the row of the values prints both.
  Pairs operator()(const typename D::PhpValues& field) const {
    return field.flag ? Pairs() : keyed(owner.*field.member);
  }

  Pairs items(const std::vector<std::string>& list) const {
    Pairs out;
    for (const std::string& item : list) out.emplace_back(fmt::format("{}[]", row.name), item);
    return out;
  }
  Pairs keyed(const Variables& list) const {
    Pairs out;
    for (const auto& [key, text] : list) {
      out.emplace_back(fmt::format("{}[{}]", row.name, key), text);
    }
    return out;
  }
};

}  // namespace

template <class Owner>
std::vector<std::pair<std::string, std::string>> print(const Directive<Owner>& row,
                                                       const Owner& owner) {
  return std::visit(Printer<Owner>{row, owner}, row.field);
}

template std::vector<std::pair<std::string, std::string>> print(const Directive<Global>&,
                                                                const Global&);
template std::vector<std::pair<std::string, std::string>> print(const Directive<Pool>&,
                                                                const Pool&);

}  // namespace fpm::config
