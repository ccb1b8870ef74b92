// What differs between two configurations, by the table of directives.
#pragma once

#include <string>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// Every directive of both pools has the same value, that of env[] included; where it was written
/// plays no part.
bool same_directives(const Pool& one, const Pool& other);

/// Names of global directives that differ and that a reload does not put into force.
std::vector<std::string> needing_restart(const Global& running, const Global& wanted);

}  // namespace fpm::config
