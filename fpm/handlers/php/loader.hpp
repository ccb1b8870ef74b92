// Finds and loads phpX.Y.so.
#pragma once

#include <memory>
#include <string>

#include "fpm/handlers/handler.hpp"
#include "fpm/handlers/php/plugin.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::handlers::php {

/// Finds the shared object for pool.php_version and notes it in pool.php_library: beside the program
/// when that runs from its build folder, else in LIBDIR/fpm. @return what is missing and what would
/// do, in one line; empty: nothing.
std::string find_library(config::Pool& pool);

/// Loads that file, for good. `fd`: the same, open, for a user who cannot reach it by its name; or -1. Errors: what dlopen(3) says, or that it belongs to another build.
os::Result<const Plugin*> load_plugin(const std::string& file, int fd);

/// Prints what is asked for, by the PHP of `version` (empty: the build's). This process is good for
/// nothing else afterwards. @return exit status. Errors: there is no such PHP.
os::Result<int> tell_about_php(Print what, const std::string& version,
                               const config::PhpStart& start);

/// A handler that loads PHP when load() is called, and passes everything on to it.
std::unique_ptr<Handler> make_loader(const config::Pool& pool, const os::Identity& user);

}  // namespace fpm::handlers::php
