// Where the control socket is: fpm and fpmctl have to agree.
#pragma once

#include <string>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// Of a program that is told nothing else: /run/fpm.ctl for root, else fpm.ctl in $XDG_RUNTIME_DIR; empty
/// without that.
std::string default_control_socket();

/// Of this configuration; empty: there is none.
std::string control_socket_path(const Global& global);

}  // namespace fpm::config
