// What a pool's configuration keeps from other pools.
#pragma once

#include "fpm/config/config.hpp"

namespace fpm::master {

/// In a new worker: overwrites the values of env[] and php_*[] of a pool that is not its own, where
/// passwords are. Names, paths and numbers stay: they are in files that anybody may see or that
/// /proc shows, and to overwrite all would cost each worker a copy of every page of them.
/// The configuration is the child's copy; it must not have been made const.
void wipe_secrets(const config::Pool& pool);

/// In a new worker with clear_env: the environment of the master goes likewise, since `$NAME` in
/// another pool's env[] may have taken a password from there.
void wipe_environment();

}  // namespace fpm::master
