#include "fpm/handlers/php/plugin.hpp"

#include "fpm/handlers/php/engine.hpp"
#include "fpm/handlers/php/php_handler.hpp"

namespace fpm::handlers::php {
namespace {

std::unique_ptr<Handler> make(const config::Pool& pool, const os::Identity& user) {
  return std::make_unique<PhpHandler>(pool, user);
}

}  // namespace
}  // namespace fpm::handlers::php

extern "C" __attribute__((visibility("default"))) const fpm::handlers::php::Plugin fpm_php_plugin = {
    fpm::handlers::php::kContract, fpm::handlers::php::kPhpVersion, fpm::handlers::php::make,
    fpm::handlers::php::print_about_php};
