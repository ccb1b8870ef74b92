// From a configuration file to a Config that is ready to use, or to everything that is wrong in it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/config/ini_source.hpp"
#include "fpm/config/problem.hpp"

namespace fpm::config {

/// What load() must know from outside the files.
struct LoadOptions {
  /// Pools may run as root (option --allow-to-run-as-root).
  bool allow_root = false;
  /// Folder below which relative paths lie (option --prefix); empty: that of the main file.
  std::string prefix;
  /// Overrides `pid` (option --pid); a relative one is below the prefix. Empty: the file's.
  std::string pid_file;
  /// The one pool that is wanted (option --single); an error if there is none of that name. All of
  /// the files is checked in any case. Empty: all pools.
  std::string single;
  /// Tells what is wrong with an access.format, in one line; empty when nothing is. Unset: any
  /// text is taken (who renders the tokens lives in another room).
  std::function<std::string(std::string_view format)> check_access_format;
  /// The program was started as php-fpm: its defaults, handler php among them, and a socket path that
  /// is too long is cut, with a WARNING, as there.
  bool as_php_fpm = false;
  /// Nothing is going to start (option --test).
  bool only_test = false;
  /// For PHP, in every pool; and the pools' php.version where they have none.
  PhpStart php_start;
  std::string php_version;
  /// Finds what a pool's handler is made of (Pool::php_library). @return what is missing and what would
  /// do, in one line; empty: nothing. Unset: nothing is looked for (who loads it lives in another room).
  std::function<std::string(Pool& pool)> find_handler;
  /// Whether we are root; unset: asks geteuid(2). Tests set it.
  std::optional<bool> running_as_root;
  /// net.core.somaxconn, connections; unset: read from /proc (nothing is said where it is not
  /// there). Tests set it.
  std::optional<int> somaxconn;
  /// CPUs of this machine, for process.cpu_affinity; unset: asks sysconf(3). Tests set it.
  std::optional<int> cpus;
};

/// What load() gives: a configuration that may be used when ok(), and all findings in any case, in
/// the order of the lines they are about, those about several directives last.
struct Loaded {
  Config config;
  std::vector<Problem> problems;

  /// No finding is an error.
  bool ok() const;
};

/// Reads `file` and what it includes, and checks all of it. Values of user, group, chroot and
/// process.priority are dropped when we are not root, with a NOTICE each. Does not throw; logs nothing; changes nothing; blocks on the disk and, for names of
/// users and groups, on the name service.
Loaded load(const std::string& file, const LoadOptions& options);

/// The same of directives that no file holds. `source` stands in messages where a file's name would.
/// Relative paths are below LoadOptions::prefix, else below the working directory.
Loaded load_entries(const std::string& source, const std::vector<Entry>& entries,
                    const LoadOptions& options);

}  // namespace fpm::config
