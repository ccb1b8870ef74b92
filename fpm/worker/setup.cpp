#include "fpm/worker/setup.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fpm/os/process.hpp"

namespace fpm::worker {

namespace {

os::Result<void> change_root(const std::string& folder) {
  if (folder.empty()) return {};
  if (::chroot(folder.c_str()) < 0) return os::last_error(fmt::format("chroot {}", folder));
  if (::chdir("/") < 0) return os::last_error("chdir /");
  return {};
}

os::Result<void> change_folder(const std::string& folder) {
  if (!folder.empty() && ::chdir(folder.c_str()) < 0) {
    return os::last_error(fmt::format("chdir {}", folder));
  }
  return {};
}

}  // namespace

os::Result<void> set_up(const master::WorkerStart& start) {
  os::set_title(fmt::format("fpm: pool {}", start.pool.name));
  if (auto done = change_root(start.identity != nullptr ? start.pool.chroot : ""); !done) {
    return done;
  }
  if (auto done = change_folder(start.pool.chdir); !done) return done;
  if (start.identity != nullptr) {
    if (auto done = os::become(*start.identity); !done) return done;
  }
  // QUIT, so that a request under way is finished when the master dies; after the change of user,
  // which clears it.
  if (!os::set_parent_death_signal(SIGQUIT, start.master_pid)) {
    return os::Error(ESRCH, "the master has ended");
  }
  return {};
}

void give_up(int channel, const os::Error& error) {
  master::SetupFailure failure;
  failure.code = error.code;
  const std::size_t length = std::min(error.what.size(), sizeof failure.step - 1);
  std::copy_n(error.what.data(), length, failure.step);
  (void)::send(channel, &failure, sizeof failure, MSG_NOSIGNAL | MSG_DONTWAIT);
  os::exit_now(master::kExitSetupFailed);
}

}  // namespace fpm::worker
