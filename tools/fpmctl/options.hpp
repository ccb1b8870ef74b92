// The command line of fpmctl.
#pragma once

#include <optional>
#include <string>

namespace fpmctl {

struct Options {
  bool help = false;
  std::string command;  ///< "status", "reload", ...
  std::string pool;     ///< empty: none was named
  std::string socket;   ///< -s
  std::string config;   ///< -y
  bool json = false;
  bool changed = false;
  bool now = false;
  bool batch = false;  ///< top: plain text, no screen
  int count = 0;       ///< top: so many times; 0: until q, with batch once
  double delay = 1;    ///< top: seconds between two looks, 0.1 or more
};

/// Reads the command line. @return the options, or nothing and `error` in one line.
std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error);

std::string help_text();

/// The order that the command is, as one line of JSON with its line feed.
std::string order_line(const Options& options);

}  // namespace fpmctl
