// Access control lists of files.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fpm/os/error.hpp"

namespace fpm::os {

/// Gives `path` a POSIX access control list: `mode` for owner, group and others, and read and write
/// for each of the users and groups besides. Follows symbolic links.
/// Errors: ENOTSUP where the file system has no such lists, EPERM, ENOENT.
/// Source: acl(5); the attribute's form is that of <linux/posix_acl_xattr.h>.
Result<void> set_acl(const std::string& path, mode_t mode, std::vector<uid_t> users,
                     std::vector<gid_t> groups);

}  // namespace fpm::os
