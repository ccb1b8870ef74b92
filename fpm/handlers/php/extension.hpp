// The module "cgi-fcgi" that scripts of php-fpm find: its settings and its functions.
#pragma once

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {

/// Values of its settings, which PHP writes.
struct Settings {
  bool rfc2616_headers, nph, force_redirect, fix_pathinfo, discard_path, logging;
  char* redirect_status_env;
  char* error_header;
  char* fpm_config;
};
extern Settings g_settings;

/// To be registered with PHP's module start-up.
extern zend_module_entry g_module;

/// What the callbacks of the module ask for; defined with the SAPI.
class Request* current_request();

}  // namespace fpm::handlers::php
