// The callbacks by which PHP talks to its request: our own SAPI, with php-fpm's name.
#pragma once

#include <string>

#include "fpm/handlers/php/request.hpp"

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {

/// The SAPI. Its start-up is php_module_startup() with the module "cgi-fcgi".
extern sapi_module_struct g_sapi;

/// What is printed while no request runs goes there, borrowed (options -v, -i and -m); else it is
/// dropped.
void collect_output(std::string* text);

/// A message of ours about the request: to the front and, from NOTICE upwards, to the log.
void tell_front(Request& request, const char* level, std::string_view text);

/// $_SERVER and $_ENV from the request; installs itself in PHP's hooks.
void install_server_variables();
void register_server_variables(zval* array);

/// Loads an extension after PHP's start; its failure is told by PHP.
void load_extension(const char* name);

/// Keeps bodies in memory that PHP would put into files.
void install_body_readers();
/// The same for a body that the script will read itself, from php://input.
void prepare_body();

/// Values of .user.ini and of php.ini's [PATH=] and [HOST=] sections, for the script at `path`.
void activate_user_ini(Request& request, const char* path);

}  // namespace fpm::handlers::php
