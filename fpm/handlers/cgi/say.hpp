// Lines for the log that hold what strangers chose: paths from requests, output of scripts.
#pragma once

#include <string>
#include <string_view>

#include "fpm/handlers/handler.hpp"

namespace fpm::handlers::cgi {

/// `text` with control characters and what is no UTF-8 as \xNN. Unlike log::printable it leaves
/// quotes and backslashes, of which error messages of programs are full, and cuts nothing.
std::string visible(std::string_view text);

/// Exchange::log of a visible text, so that nobody can forge lines or steer the terminal of who
/// reads them.
void say(Exchange& exchange, log::Level level, std::string_view text);

}  // namespace fpm::handlers::cgi
