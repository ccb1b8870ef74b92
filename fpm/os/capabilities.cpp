#include "fpm/os/capabilities.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace fpm::os {

namespace {

/// Permitted and effective are exactly these; inheritable is nothing.
Result<void> set_rights(std::uint32_t rights) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  data[0].permitted = rights;
  data[0].effective = rights;
  if (::syscall(SYS_capset, &header, data.data()) < 0) return last_error("capset");
  return {};
}

}  // namespace

Result<void> become_keeping_chroot(const Identity& identity) {
  if (::prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL) < 0) return last_error("PR_SET_KEEPCAPS");
  if (auto done = become(identity); !done) return done;
  ::prctl(PR_SET_KEEPCAPS, 0UL, 0UL, 0UL, 0UL);
  return set_rights(std::uint32_t{1} << CAP_SYS_CHROOT);
}

Result<void> give_up_rights() { return set_rights(0); }

}  // namespace fpm::os
