#include "fpm/master/secrets.hpp"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace fpm::master {

namespace {

void wipe(const config::Variables& variables) {
  for (const auto& [name, value] : variables) {
    ::explicit_bzero(const_cast<char*>(value.data()), value.size());
  }
}

}  // namespace

void wipe_secrets(const config::Pool& pool) {
  wipe(pool.env);
  wipe(pool.env_written);
  wipe(pool.module_options);
  wipe(pool.module_options_written);
  wipe(pool.php_values);
  wipe(pool.php_admin_values);
}

void wipe_environment() {
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    ::explicit_bzero(*variable, ::strlen(*variable));
  }
  ::clearenv();
}

}  // namespace fpm::master
