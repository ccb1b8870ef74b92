// The border between the program and phpX.Y.so, the shared object that links PHP.
//
// The program loads it where PHP is to run and nowhere else. It gives one symbol, kPluginSymbol, a
// Plugin. Both sides share C++ types, so both must come from the same sources: kContract, made of
// the text of the headers that define those types, is compared before anything else is touched.
#pragma once

#include <memory>

#include "fpm/config/config.hpp"
#include "fpm/handlers/contract.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::handlers::php {

inline constexpr const char* kContract = FPM_HANDLER_CONTRACT;

/// What PHP can print about itself.
enum class Print {
  version,     ///< option -v
  info,        ///< option -i: phpinfo() as text
  modules,     ///< option -m
};

struct Plugin {
  const char* contract;     ///< first, and a text: whatever the rest is, this can be compared
  const char* php_version;  ///< "8.2.36", that of the headers
  /// The handler. load() starts PHP, which one process can do only once.
  std::unique_ptr<Handler> (*make)(const config::Pool& pool, const os::Identity& user);
  /// Prints to standard output. Starts PHP, so the process is good for nothing else afterwards. @return
  /// exit status.
  int (*print)(Print what, const config::PhpStart& start);
};

inline constexpr const char* kPluginSymbol = "fpm_php_plugin";

}  // namespace fpm::handlers::php
