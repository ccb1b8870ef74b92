// What is wrong, or worth a word, in the configuration files.
#pragma once

#include <string>

#include "fpm/log/level.hpp"

namespace fpm::config {

/// One finding of load(). Errors refuse the configuration, warnings and notices do not.
struct Problem {
  log::Level level = log::Level::error;
  std::string file;  ///< empty: the finding is about no line
  int line = 0;      ///< from 1; 0: about the file as a whole
  std::string pool;  ///< empty: not about a pool
  std::string text;  ///< what was read and what would do
  /// message() is `[FILE:LINE] text`, as php-fpm says it and tools compare it.
  bool as_php_fpm = false;

  /// `FILE:LINE: [pool www] pm.max_children = "many": expected a whole number, 1 or more`, without
  /// the parts that are empty. One line, no line feed at the end.
  std::string message() const;
};

}  // namespace fpm::config
