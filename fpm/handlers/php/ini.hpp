// PHP's settings: as text for its start, and changed afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::handlers::php {

/// Text in php.ini's form that gives `name` this value, whatever the value holds, with a line feed.
std::string ini_line(std::string_view name, std::string_view value);
/// What option -d NAME=VALUE means: a value that begins with a letter, a digit or a quote is taken as
/// php.ini would take it, any other as it is.
std::string ini_define(std::string_view name, std::string_view value);

/// What PHP reads behind php.ini: options -d, then the pool's settings, so that those count too which
/// PHP only takes at its start (opcache's memory, extensions).
std::string ini_entries(const config::PhpStart& start, const config::Variables& values,
                        const config::Variables& admin_values);

}  // namespace fpm::handlers::php
