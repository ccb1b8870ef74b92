// What a new process does before it may call itself a worker.
#pragma once

#include "fpm/master/worker_entry.hpp"

namespace fpm::worker {

/// Takes on the pool's limits, place and user: rlimits, affinity, chroot, chdir, priority, groups,
/// user, parent-death signal, then dumpable, AppArmor and no_new_privs; php-fpm's order.
/// The first step that fails is returned with its name.
os::Result<void> set_up(const master::WorkerStart& start);

/// Tells the master, through the channel, which step failed, and ends the process with
/// master::kExitSetupFailed.
[[noreturn]] void give_up(int channel, const os::Error& error);

}  // namespace fpm::worker
