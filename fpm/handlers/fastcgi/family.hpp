// The habits of existing FastCGI programs. Pure.
#pragma once

#include <string_view>

#include "fpm/config/config.hpp"

namespace fpm::handlers::fastcgi {

/// What a family of programs needs and bears.
struct Habits {
  int stop_signal;        ///< ends it after the request under way
  bool keeps_connection;  ///< serves one request after the other on a kept connection
  /// A program that ends by itself after so many requests is told another number by this variable;
  /// empty: none.
  std::string_view max_requests_variable;
  /// NAME and value that it is started with; empty: none.
  std::string_view variable, value;
};

/// libfcgi and Perl's FCGI leave their accept loop by USR1, even when they are blocked in it; php-cgi and
/// the rest end by TERM.
Habits habits_of(config::Family family);

}  // namespace fpm::handlers::fastcgi
