// The table of directives as text: for -tt and for the sample files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// What is in force, one line each, as php-fpm's -tt prints it: `[global]`, `\tname = value`, a
/// line of one blank after each section. Unset texts are `undefined`, booleans yes or no, times
/// `30s` or `250ms`; of arrays the newest item comes first. Values of env[] are shown as they are
/// written, `$NAME` unresolved: what fpm's own environment holds may be secret.
/// `as_php_fpm`: directives that php-fpm does not have only where they were written.
std::vector<std::string> dump(const Config& config, bool as_php_fpm = false);

/// The text of pools.d/www.conf: one pool that explains every directive of a pool. Those that the
/// sample uses are set, every other one is there as `;name = default`.
std::string sample_pool();

}  // namespace fpm::config
