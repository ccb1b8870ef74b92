#include "fpm/os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace fpm::os {

// Not FUTEX_PRIVATE_FLAG: the memory is that of several processes.

bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  return ::syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0) == 0 ||
         errno != EINTR;
}

void futex_wake(std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace fpm::os
