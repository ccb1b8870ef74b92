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
  /// The bare words off, no, false and none unset, here and of a Path: php.ini makes nothing of
  /// them.
  struct Text { std::string Owner::*member; };
  /// Relative ones are below the prefix, see resolve().
  struct Path { std::string Owner::*member; };
  /// A Path, or the word syslog.
  struct LogFile { std::string Owner::*member; };
  struct Flag { bool Owner::*member; };
  /// `out_of_range`: php-fpm's words for a number that is too small or too large, {} is the value.
  struct Number {
    int Owner::*member;
    int least;
    int most = INT_MAX;
    std::string_view out_of_range = {};
  };
  /// The same, and it may be unset.
  struct OptionalNumber {
    std::optional<int> Owner::*member;
    int least;
    int most;
    std::string_view out_of_range = {};
  };
  struct Time { Milliseconds Owner::*member; };
  /// Bytes, with K, M or G.
  struct Size { std::uint64_t Owner::*member; };
  /// Of setrlimit(2): a number, with `bytes` also K, M or G; unlimited; 0 unsets.
  struct ResourceLimit { Limit Owner::*member; bool bytes = false; };
  /// Numbers of CPUs and ranges of them: 0-3,8.
  struct Cpus { std::vector<int> Owner::*member; };
  /// Octal permissions.
  struct Mode { std::string Owner::*member; };
  /// Where to listen; a relative path is below the prefix. `off`: may be empty; `any_port`: the port
  /// may be 0.
  struct Listen { Address Owner::*member; bool off = false; bool any_port = false; };
  template <class Enum>
  struct Choice { Enum Owner::*member; };
  /// name = a,b,c
  struct CommaList { std::vector<std::string> Owner::*member; };
  /// name = a b c
  struct BlankList { std::vector<std::string> Owner::*member; };
  /// name[] = value, again and again.
  struct PathList { std::vector<std::string> Owner::*member; };
  struct UriList { std::vector<std::string> Owner::*member; };
  /// name[key] = value; `$NAME` alone stands for the variable of fpm's own environment. Bare words
  /// as in php.ini: on, yes and true are 1, off, no, false and none are nothing.
  struct Environment { Variables Owner::*member; Variables Owner::*as_written; };
  /// name[key] = value for PHP; with `flag` a boolean, which becomes 1 or 0. `paths`: those that are
  /// paths of files are below the prefix.
  struct PhpValues { Variables Owner::*member; bool flag = false; bool paths = false; };

  using Field =
      std::variant<Text, Path, LogFile, Flag, Number, OptionalNumber, Time, Size, ResourceLimit,
                   Cpus, Mode, Listen, Choice<log::Level>, Choice<LogFormat>, Choice<TemplateMode>,
                   Choice<SyslogFacility>, Choice<HandlerKind>, Choice<ProcessManager>,
                   Choice<OnAbort>, Choice<Background>, Choice<Family>, Choice<Scripts>, CommaList, BlankList, PathList, UriList,
                   Environment, PhpValues>;

  std::string_view name;
  Field field;
  std::string_view default_text;  ///< goes the same way as text from a file; empty: none
  Check check;
  std::string_view doc;  ///< plain text, one paragraph, with the unit and the range
  Reload reload = Reload::taken;
  /// A pool without it is refused.
  bool mandatory = false;

  template <class Kind>
  bool is() const {
    return std::holds_alternative<Kind>(field);
  }
  /// Written as `env[NAME]`.
  bool takes_key() const { return is<Environment>() || is<PhpValues>(); }
  /// Written with brackets, `env[NAME]` or `cgi.allow[]`.
  bool takes_index() const { return takes_key() || is<PathList>() || is<UriList>(); }
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

/// Checks a value and writes it into `owner`. Paths stay as they are written. @return what is wrong
/// with it ("expected a whole number, 1 or more"), empty: nothing; then `owner` is untouched. Reads
/// the environment for `env[X] = $NAME`.
template <class Owner>
std::string assign(const Directive<Owner>& row, Owner& owner, const Assignment& value);

/// What php-fpm says of a wrong key or item of an array; it says it as `[FILE:LINE] text`, and
/// tools compare that line. Empty: nothing. To be asked before assign().
template <class Owner>
std::string array_complaint(const Directive<Owner>& row, const Assignment& value);

/// Makes the paths of the field absolute: below `prefix`, which is also what `$prefix` at the start
/// of one stands for. @return what is wrong with them, empty: nothing.
template <class Owner>
std::string resolve(const Directive<Owner>& row, Owner& owner, std::string_view prefix);

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
