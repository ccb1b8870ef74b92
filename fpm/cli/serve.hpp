// `fpm serve DIR`: a folder in the browser, without a configuration file.
#pragma once

#include <string>
#include <vector>

#include "fpm/config/ini_source.hpp"

namespace fpm::cli {

struct ServeOptions {
  std::string folder;
  std::string handler = "cgi";  ///< --handler
  std::string listen;           ///< --listen; empty: 127.0.0.1:8080, or a free port if that is taken
  std::string user;             ///< --user, for root; empty: the folder's owner, or nobody for root's
  bool allow_root = false;      ///< -R
  bool help = false;
  std::string error;  ///< what is wrong with the command line; empty: nothing
};

/// Reads what stands behind `serve`. Pure.
ServeOptions parse_serve_options(const std::vector<std::string>& arguments);
std::string serve_usage(const std::string& program);

/// The configuration: one pool that serves the folder. With handler cgi files that may be executed are
/// scripts, with others those with a script's suffix. Looks at the folder's owner, and whether port
/// 8080 is free.
std::vector<config::Entry> serve_entries(const ServeOptions& options);

}  // namespace fpm::cli
