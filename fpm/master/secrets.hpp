// What a pool's configuration keeps from other pools.
#pragma once

#include <unordered_set>

#include "fpm/config/config.hpp"

namespace fpm::master {

/// The configurations in this process with values of env[], module.option[] or php_*[], where passwords
/// are. Known by themselves, so that a new worker of one of 1,000 pools looks at none of the others that
/// have nothing to hide: it did for 0.8 ms, since their memory is in no cache.
class Secrets {
 public:
  /// Keeps `pool` among them for its life, if it has any, and overwrites them at its end. Both
  /// arguments outlive it; `pool` stays where it is and must not have been made const.
  class Kept {
   public:
    Kept(Secrets& all, const config::Pool& pool);
    ~Kept();
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;

   private:
    Secrets& all_;
    const config::Pool& pool_;
  };

  /// In a new worker of the pool `own`: overwrites the values of all others. Names, paths and numbers
  /// stay: they are in files that anybody may see or that /proc shows, and to overwrite all would cost
  /// each worker a copy of every page of them.
  void wipe_others(const config::Pool& own) const;

 private:
  std::unordered_set<const config::Pool*> pools_;
};

/// In a new worker with clear_env: the environment of the master goes likewise, since `$NAME` in
/// another pool's env[] may have taken a password from there.
void wipe_environment();

}  // namespace fpm::master
