// Users and groups: resolved by the master, once, taken on by each worker.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fpm/os/error.hpp"

namespace fpm::os {

/// Whom a worker runs as, in numbers, so that a worker never asks the name service (50 open files
/// and 2 ms in every child of php-fpm).
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< supplementary
  std::string name;           ///< empty for a number without a passwd entry
  std::string home;           ///< empty likewise
};

/// The identity of `user` (name or number) with `group` (name or number; empty: the user's own;
/// for a number without passwd entry: the same number). Blocks on the name service.
/// Errors: ENOENT with "cannot get uid for user 'x'" or "cannot get gid for group 'x'".
Result<Identity> resolve_identity(const std::string& user, const std::string& group);

/// resolve_identity() that asks once for each user: the name service takes 40 system calls and more where
/// libnss-systemd is installed, and 5,000 pools often have few users. For one reading of a configuration:
/// it keeps what it was told.
class Identities {
 public:
  /// Errors are asked for again.
  Result<Identity> resolve(const std::string& user, const std::string& group);

 private:
  std::map<std::pair<std::string, std::string>, Identity> known_;
};

/// The identity this process runs with.
Identity current_identity();

/// setgroups, setgid, setuid, in that order; the caller is root. @return an Error that names the
/// step. Afterwards no capability is left.
Result<void> become(const Identity& identity);

/// Whether `folder` can be entered: by this process, or by `identity`, which a short-lived child takes
/// on to find out (the caller is root then). Errors: those of chdir(2). Blocks on the disk.
Result<void> may_enter(const std::optional<Identity>& identity, const std::string& folder);

/// The uid of a name or number; nothing leaks about other entries. Blocks on the name service.
Result<uid_t> resolve_user(const std::string& user);
Result<gid_t> resolve_group(const std::string& group);

}  // namespace fpm::os
