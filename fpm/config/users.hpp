// Users and groups by name or number, as directives give them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace fpm::config {

struct User {
  uid_t uid = 0;
  std::optional<gid_t> gid;  ///< first group; none for a number without an entry in passwd
  std::string error;         ///< php-fpm's "cannot get uid for user 'x'"; empty: found
};

struct Group {
  gid_t gid = 0;
  std::string error;  ///< php-fpm's "cannot get gid for group 'x'"; empty: found
};

/// Numbers are taken without an entry in passwd (containers). Blocks on the name service.
User find_user(const std::string& name);
Group find_group(const std::string& name);

}  // namespace fpm::config
