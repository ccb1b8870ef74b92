// The table of directives as a manual page.
#pragma once

#include <string>

namespace fpm::config {

/// The text of fpm.conf(5), in man(7) macros: the format of the file, then every directive with its
/// kind, default and meaning. The same in every build: folders that the build chooses stand there
/// by name (LOCALSTATEDIR).
std::string manual();

}  // namespace fpm::config
