// The command line. Pure: nothing is printed or opened here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fpm::cli {

/// Under which name the program runs.
struct Program {
  bool php_fpm = false;     ///< one that begins with php-fpm: its options and defaults
  std::string php_version;  ///< "8.2" of php-fpm8.2; empty: none in the name
};

/// By the last part of argv[0].
Program read_program(std::string_view argv0);

/// What the command line said. php-fpm's options in any order, and ours.
struct Options {
  /// -y; else -d fpm.config=FILE; else below -p; else the default file.
  std::string config_file;
  std::string prefix;    ///< -p: for config::LoadOptions::prefix; empty: not given
  std::string pid_file;  ///< -g: for config::LoadOptions::pid_file; empty: the configuration's
  std::string single;    ///< --single: the one pool that is started; empty: all
  bool help = false;     ///< -h
  bool version = false;  ///< -v
  Program program;
  int test = 0;          ///< how often -t was given: 1 checks, 2 also dumps
  /// -D is yes, -F is no, the last one counts; unset: `daemonize` of the configuration.
  std::optional<bool> daemonize;
  bool foreground = false;    ///< -F, and no -D after it
  bool force_stderr = false;  ///< -O
  bool allow_root = false;    ///< -R

  // For PHP.
  std::string php_ini;         ///< -c: file or folder; empty: PHP's own
  bool no_php_ini = false;     ///< -n
  bool extended_info = false;  ///< -e
  bool php_info = false;       ///< -i
  bool php_modules = false;    ///< -m
  /// -d NAME=VALUE in the order given; without a value it is "1".
  std::vector<std::pair<std::string, std::string>> defines;

  std::string error;  ///< what is wrong with the command line; empty: nothing
};

/// Reads the arguments after the program's name. Options may be in any order and joined (-FO, -tt).
/// What is told about an option that is wrong is its name and how it is wrong, without a line feed.
Options parse_options(const std::vector<std::string>& arguments, const Program& program = {});

/// The text of -h; its first line begins with "Usage: ". `name`: as the program was called.
std::string usage(const std::string& name, const Program& program = {});

/// The text of -i and -m without PHP, with the reason; the exit status of fpm is 0 all the same,
/// because scripts ask for both without wanting an answer.
std::string no_php_answer(const std::string& why);

/// SYSCONFDIR/fpm/fpm.conf, or with a prefix PREFIX/etc/fpm/fpm.conf. For php-fpm the file that the
/// php-fpm of the system reads, of the version in the name, or PREFIX/etc/php-fpm.conf.
std::string default_config_file(const std::string& prefix = {}, const Program& program = {});

}  // namespace fpm::cli
