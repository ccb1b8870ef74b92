// PHP as a library: its start in a process, its settings, and one request.
#pragma once

#include <string>

#include "fpm/config/config.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/handlers/php/plugin.hpp"
#include "fpm/handlers/php/request.hpp"

namespace fpm::handlers::php {

/// Starts PHP with php.ini and the settings of the command line and of the pool. Once in a process: where
/// it runs already, for several pools, the pool's settings are added as php-fpm adds them, and those that
/// PHP only takes at its start have no effect.
/// Lines that PHP has to say go to the standard error. An Error says that PHP did not start.
os::Result<void> start_engine(const config::PhpStart& start, const config::Variables& values,
                              const config::Variables& admin_values);

/// The same for what PHP prints about itself, on standard output. @return exit status.
int print_about_php(Print what, const config::PhpStart& start);

/// In each worker, after start_engine() in it or in the process it was forked from.
void use_engine_in_worker();

/// What CPU time this process has used belongs to no request.
void start_measuring();

/// Executes a request. Blocks until it is over.
Outcome execute(Request& request, const config::Pool& pool);

/// The version of PHP that this build is of, "8.2.36".
extern const char* const kPhpVersion;

/// "X-Powered-By: PHP/8.2.36\r\n", or nothing with expose_php = off.
std::string_view powered_by();

}  // namespace fpm::handlers::php
