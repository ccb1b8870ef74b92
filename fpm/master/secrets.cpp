#include "fpm/master/secrets.hpp"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace fpm::master {

namespace {

using config::Pool;

constexpr std::array kSecret{&Pool::env,
                             &Pool::env_written,
                             &Pool::module_options,
                             &Pool::module_options_written,
                             &Pool::php_values,
                             &Pool::php_admin_values};

bool has_secrets(const Pool& pool) {
  return std::any_of(kSecret.begin(), kSecret.end(),
                     [&](const auto variables) { return !(pool.*variables).empty(); });
}

void wipe(const Pool& pool) {
  for (const auto variables : kSecret) {
    for (const auto& [name, value] : pool.*variables) {
      ::explicit_bzero(const_cast<char*>(value.data()), value.size());
    }
  }
}

}  // namespace

Secrets::Kept::Kept(Secrets& all, const config::Pool& pool) : all_(all), pool_(pool) {
  if (has_secrets(pool)) all_.pools_.insert(&pool);
}

Secrets::Kept::~Kept() {
  if (all_.pools_.erase(&pool_) > 0) wipe(pool_);
}

void Secrets::wipe_others(const config::Pool& own) const {
  for (const config::Pool* const pool : pools_) {
    if (pool != &own) wipe(*pool);
  }
}

void wipe_environment() {
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    ::explicit_bzero(*variable, ::strlen(*variable));
  }
  ::clearenv();
}

}  // namespace fpm::master
