// Whether a file lies below a folder once every symbolic link is resolved.
#pragma once

#include <string>

#include "fpm/os/error.hpp"

namespace fpm::os {

/// Whether `path`, with all links resolved, is `root` (resolved likewise) or lies below it. Both
/// are absolute; `root` is resolved anew at each call, since deployments switch it by a link.
/// @return Error(ENOENT, EACCES, ELOOP, ...) if either cannot be resolved. Does not block.
/// Source: openat2(2) RESOLVE_BENEATH, else realpath(3).
Result<bool> lies_beneath(const std::string& root, const std::string& path);

}  // namespace fpm::os
