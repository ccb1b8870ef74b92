// THE table of directives: one row each, from which parsing, the check of each value, the dump,
// the samples and the manual come. To add a directive: one field in config.hpp and one row in
// directives.cpp (and a rule in rules.cpp if it concerns other directives as well).
#pragma once

#include <climits>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// What a reload does with a changed value.
enum class Reload {
  taken,          ///< in force from the new generation on
  needs_restart,  ///< stays as it was; a NOTICE says so
};

/// Looks at one value as text (each item of a list). @return what is wrong with it ("expected
/// ..."), empty: nothing.
using Check = std::string (*)(std::string_view value);

/// One directive of Owner, which is Global or Pool. The kind of the value is the kind of the
/// member's pointer, so that no text can be parsed into the wrong one.
template <class Owner>
struct Directive {
  struct Text { std::string Owner::*member; };
  /// Relative ones are resolved against the prefix; the bare words off, no, false and none unset.
  struct Path { std::string Owner::*member; };
  struct Flag { bool Owner::*member; };
  struct Number { int Owner::*member; int least; int most = INT_MAX; };
  struct Time { Milliseconds Owner::*member; };
  /// Octal permissions.
  struct Mode { std::string Owner::*member; };
  /// Where to listen; a relative path is resolved against the prefix.
  struct Listen { Address Owner::*member; };
  template <class Enum>
  struct Choice { Enum Owner::*member; };
  /// name = a,b,c
  struct CommaList { std::vector<std::string> Owner::*member; };
  /// name[] = value, again and again.
  struct PathList { std::vector<std::string> Owner::*member; };
  /// name[key] = value; `$NAME` alone stands for the variable of fpm's own environment.
  struct Environment { Variables Owner::*member; };

  using Field = std::variant<Text, Path, Flag, Number, Time, Mode, Listen, Choice<log::Level>,
                             Choice<HandlerKind>, Choice<ProcessManager>, Choice<OnAbort>,
                             Choice<Background>, CommaList, PathList, Environment>;

  std::string_view name;
  Field field;
  std::string_view default_text;  ///< goes the same way as text from a file; empty: none
  Check check;
  std::string_view doc;  ///< plain text, one paragraph, with the unit and the range
  Reload reload = Reload::taken;
  /// A pool without it is refused.
  bool mandatory = false;

  /// Written with brackets: `env[NAME]`, `cgi.allow[]`.
  bool takes_index() const {
    return std::holds_alternative<PathList>(field) || std::holds_alternative<Environment>(field);
  }
};

/// All rows, in the order of dump and sample.
std::span<const Directive<Global>> global_directives();
std::span<const Directive<Pool>> pool_directives();

/// The row of that name (any case), or nullptr.
const Directive<Global>* find_global(std::string_view name);
const Directive<Pool>* find_pool(std::string_view name);

/// A value on its way into a field.
struct Assignment {
  std::string_view text;
  std::optional<std::string> index;  ///< what stood in the brackets, if there were any
  bool quoted = false;
};

/// Checks a value and writes it into `owner`. @return what is wrong with it ("expected a whole
/// number, 1 or more"), empty: nothing; then `owner` is untouched. Reads the environment for
/// `env[X] = $NAME`.
template <class Owner>
std::string assign(const Directive<Owner>& row, Owner& owner, const Assignment& value,
                   std::string_view prefix);

/// The field as (written name, text) pairs: one, or one for each item of an array. Text that
/// assign() takes back to the same value; empty for what is unset.
template <class Owner>
std::vector<std::pair<std::string, std::string>> print(const Directive<Owner>& row,
                                                       const Owner& owner);

/// A Global or Pool with every default of the table.
Global default_global();
Pool default_pool(std::string name);

/// The directive whose name is nearest to an unknown one, empty if none is near.
std::string nearest_directive(std::string_view unknown);

}  // namespace fpm::config
