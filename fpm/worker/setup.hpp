// What a new process does before it may call itself a worker.
#pragma once

#include "fpm/master/worker_entry.hpp"

namespace fpm::worker {

/// Takes on the pool's limits, place and user: rlimits, affinity, chroot, chdir, priority, groups,
/// user, parent-death signal, then dumpable, AppArmor and no_new_privs; php-fpm's order.
/// The first step that fails is returned with its name.
os::Result<void> set_up(const master::WorkerStart& start);

// The same in three parts, where an application is loaded as the pool's user but from outside its chroot,
// once for many workers. What a template does holds for the workers that it forks.
/// Before the application is loaded: limits, affinity, priority, groups, user. With a chroot the right to
/// change to it, and nothing else of root's, stays. `signal`: what this process gets when the master ends.
os::Result<void> set_up_to_load(const master::WorkerStart& start, int signal);
/// After it: chroot and chdir, and no rights are left.
os::Result<void> enter_place(const master::WorkerStart& start);
/// Of a worker: parent-death signal, dumpable, AppArmor, no_new_privs.
os::Result<void> set_up_loaded(const master::WorkerStart& start);

/// Tells the master, through the channel, which step failed, and ends the process with
/// master::kExitSetupFailed.
[[noreturn]] void give_up(int channel, const os::Error& error);

}  // namespace fpm::worker
