// The command line. Pure: nothing is printed or opened here.
#pragma once

#include <string>
#include <vector>

namespace fpm::cli {

struct Options {
  std::string config_file;     ///< -y; the default file if not given
  bool help = false;           ///< -h
  bool version = false;        ///< -v
  int test = 0;                ///< how often -t was given: 1 checks, 2 also dumps
  bool foreground = false;     ///< -F
  bool force_stderr = false;   ///< -O
  bool allow_root = false;     ///< -R
  std::string error;           ///< what is wrong with the command line; empty: nothing
};

/// Reads the arguments after the program's name. Options may be in any order and joined (-FO, -tt).
Options parse_options(const std::vector<std::string>& arguments);

/// The text of -h; its first line begins with "Usage: ".
std::string usage(const std::string& program);

/// SYSCONFDIR/fpm/fpm.conf
std::string default_config_file();

}  // namespace fpm::cli
