// What a process may use and how it is scheduled.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fpm/os/error.hpp"

namespace fpm::os {

enum class Limit { files, core, address_space, processes };

/// No bound.
inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

/// Sets the soft and the hard limit. Unit: descriptors, bytes, bytes, processes of the user.
/// Errors: EPERM above the hard limit without CAP_SYS_RESOURCE or, for files, above fs.nr_open.
/// Source: setrlimit(2).
Result<void> set_limit(Limit limit, std::uint64_t value);

/// The master needs a descriptor or more for each worker; programs that select(2) must not get
/// descriptors above 1023. So the master raises its soft limit of open files to the hard one, and
/// every child puts back what was. At most kMostFiles: where the hard limit is a billion, as it was
/// in Docker, a loop over all possible descriptors in some library would take minutes. A system
/// that refuses leaves the limit as it is.
/// @return the limits before. Source: setrlimit(2) RLIMIT_NOFILE, select(2) FD_SETSIZE.
rlimit raise_file_limit();
inline constexpr std::uint64_t kMostFiles = 1'048'576;
/// In a child: the soft limit of `before` again.
Result<void> restore_file_limit(const rlimit& before);
/// The limit of open files now, and what raise_file_limit() would make of it.
std::uint64_t file_limit();
std::uint64_t greatest_file_limit();

/// The process's nice value, -20..19. Error: EACCES or EPERM without CAP_SYS_NICE for less than
/// what it is. Source: setpriority(2).
Result<void> set_priority(int nice);

/// Binds the process to these processors. Error: EINVAL if none of them is there.
/// Source: sched_setaffinity(2).
Result<void> set_affinity(const std::vector<int>& processors);

/// Whether the process dumps core, and its user may trace it: PR_SET_DUMPABLE. Every change of user
/// turns it off. Source: prctl(2).
Result<void> set_dumpable(bool on);

/// No program that is executed from now on gains rights: setuid bits and file capabilities are
/// ignored, for ever and for all descendants. Source: prctl(2) PR_SET_NO_NEW_PRIVS.
Result<void> give_up_new_privileges();

/// Changes to the AppArmor profile CURRENT//HAT. Errors: as php-fpm words them, "failed to query
/// apparmor confinement" (EINVAL where the kernel has no AppArmor), "failed to change to new
/// confinement". Source: aa_change_profile(2), apparmor(7).
Result<void> change_apparmor_hat(const std::string& hat);

}  // namespace fpm::os
