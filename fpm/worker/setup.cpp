#include "fpm/worker/setup.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/os/capabilities.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"

namespace fpm::worker {

namespace {

/// The pool's limits, before the change of user, which takes the right to raise them.
os::Result<void> set_limits(const config::Pool& pool) {
  using os::Limit;
  // What php-fpm knows is told and survived, as there: many files ask for more than a container
  // allows. A bound that only fpm knows was asked for on purpose.
  const auto tell = [&](const os::Result<void>& done) {
    if (!done) log::in_pool(log::Level::warning, pool.name, "{}", done.error().text());
  };
  if (pool.rlimit_files) tell(os::set_limit(Limit::files, *pool.rlimit_files));
  if (pool.rlimit_core) tell(os::set_limit(Limit::core, *pool.rlimit_core));
  if (pool.rlimit_nproc) {
    if (auto done = os::set_limit(Limit::processes, *pool.rlimit_nproc); !done) return done;
  }
  if (pool.rlimit_as) {
    if (auto done = os::set_limit(Limit::address_space, *pool.rlimit_as); !done) return done;
  }
  return {};
}

os::Result<void> set_scheduling(const config::Pool& pool, bool root) {
  if (!pool.cpu_affinity.empty()) {
    if (auto done = os::set_affinity(pool.cpu_affinity); !done) return done;
  }
  if (root && pool.process_priority) return os::set_priority(*pool.process_priority);
  return {};
}

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

/// `signal` when the master dies; after the change of user, which clears it. A worker gets QUIT, so that
/// a request under way is finished.
os::Result<void> end_with_master(const master::WorkerStart& start, int signal) {
  if (os::set_parent_death_signal(signal, start.master_pid)) return {};
  return os::Error(ESRCH, "the master has ended");
}

/// What a change of user would undo, or what would forbid it.
os::Result<void> confine(const config::Pool& pool) {
  if (pool.process_dumpable) {
    if (auto done = os::set_dumpable(true); !done) return done;
  }
  if (!pool.apparmor_hat.empty()) {
    if (auto done = os::change_apparmor_hat(pool.apparmor_hat); !done) return done;
  }
  // After the hat: with no_new_privs a profile can only be made narrower, apparmor(7).
  if (pool.no_new_privs) return os::give_up_new_privileges();
  return {};
}

}  // namespace

os::Result<void> set_up(const master::WorkerStart& start) {
  const config::Pool& pool = start.pool;
  const bool root = start.identity != nullptr;
  os::set_title(fmt::format("pool {}", pool.name));
  if (auto done = set_limits(pool); !done) return done;
  if (auto done = set_scheduling(pool, root); !done) return done;
  if (auto done = change_root(root ? pool.chroot : ""); !done) return done;
  if (auto done = change_folder(pool.chdir); !done) return done;
  if (root) {
    if (auto done = os::become(*start.identity); !done) return done;
  }
  if (auto done = end_with_master(start, SIGQUIT); !done) return done;
  return confine(pool);
}

os::Result<void> set_up_to_load(const master::WorkerStart& start, int signal) {
  const config::Pool& pool = start.pool;
  const bool root = start.identity != nullptr;
  const bool roots_elsewhere = root && !pool.chroot.empty();
  if (auto done = set_limits(pool); !done) return done;
  // A nice value stays when its process becomes somebody else.
  if (auto done = set_scheduling(pool, root); !done) return done;
  if (!roots_elsewhere) {
    if (auto done = change_folder(pool.chdir); !done) return done;
  }
  if (root) {
    auto done = roots_elsewhere ? os::become_keeping_chroot(*start.identity)
                                : os::become(*start.identity);
    if (!done) return done;
  }
  return end_with_master(start, signal);
}

os::Result<void> enter_place(const master::WorkerStart& start) {
  if (start.identity == nullptr || start.pool.chroot.empty()) return {};
  if (auto done = change_root(start.pool.chroot); !done) return done;
  if (auto done = os::give_up_rights(); !done) return done;
  return change_folder(start.pool.chdir);
}

os::Result<void> set_up_loaded(const master::WorkerStart& start) {
  os::set_title(fmt::format("pool {}", start.pool.name));
  if (auto done = end_with_master(start, SIGQUIT); !done) return done;
  return confine(start.pool);
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
