// What of root's rights a process keeps when it becomes another user.
#pragma once

#include "fpm/os/identity.hpp"

namespace fpm::os {

/// become(), but the right to chroot(2) stays, and it alone. A process that has become somebody else so
/// is to call give_up_rights() when it is done. Errors: EPERM where this process has not got that right.
/// Source: capabilities(7) CAP_SYS_CHROOT, prctl(2) PR_SET_KEEPCAPS.
Result<void> become_keeping_chroot(const Identity& identity);

/// Every capability goes, for ever. Source: capset(2).
Result<void> give_up_rights();

}  // namespace fpm::os
