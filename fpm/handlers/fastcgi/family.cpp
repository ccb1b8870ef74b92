#include "fpm/handlers/fastcgi/family.hpp"

#include <signal.h>

namespace fpm::handlers::fastcgi {

Habits habits_of(config::Family family) {
  using config::Family;
  switch (family) {
    case Family::libfcgi:
    case Family::perl:
      return {SIGUSR1, true, {}, {}, {}};
    case Family::php_cgi:
      // With children of its own it would hide which of them is stuck.
      return {SIGTERM, true, "PHP_FCGI_MAX_REQUESTS", "PHP_FCGI_CHILDREN", "0"};
    case Family::python:
    case Family::go:
    case Family::generic:
      break;
  }
  return {SIGTERM, false, {}, {}, {}};
}

}  // namespace fpm::handlers::fastcgi
