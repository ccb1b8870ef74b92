// How many workers a pool should have. Pure.
#pragma once

#include <chrono>
#include <span>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::policy {

/// A pool's workers and clients at one moment.
struct Workers {
  int idle = 0;      ///< wait in accept or on a kept connection
  int active = 0;    ///< in a request
  int starting = 0;  ///< forked, not yet at their first accept
  int leaving = 0;   ///< of idle and starting: told to go, so not to be counted on
  int last = 0;      ///< of active: end after this request
  int queue = 0;     ///< connections that wait; 0 where it cannot be known

  int alive() const { return idle + active + starting; }
};

/// What one look at a pool leads to.
struct ScalingPlan {
  int spawn = 0;
  int retire = 0;         ///< of the idle ones; never together with spawn
  bool again = false;     ///< the queue is longer than what is coming: look again at once
  bool at_limit = false;  ///< more are wanted than pm.max_children allows
  bool held_back = false;  ///< more are wanted, and allowed by it, than process.max allows
};

/// What to start now. Called whenever something may have changed: a worker took the last spare
/// place, one ended, a client waits for a pool without workers.
///   static    always pm.max_children
///   dynamic   queue + pm.min_spare_servers - idle - starting, at most pm.max_spawn_rate a step;
///             pm.start_servers at the beginning
///   ondemand  queue - idle - starting, likewise
/// Never above pm.max_children, but for one successor of a worker that is on its last request: it
/// is there before the other is missed.
/// `room`: how many more process.max allows (a large number without one).
ScalingPlan plan_growth(const config::Pool& pool, const Workers& workers, int room);

/// What to retire now. Called once a second, and by ondemand pools when a worker has been idle for
/// pm.process_idle_timeout. `idle_for`: of every worker that waits in accept, in any order.
///   static    none
///   dynamic   half of the idle ones above pm.max_spare_servers (at least one), so that a pool
///             comes down in some seconds and a load that pauses for one finds most of them again
///   ondemand  those that have been idle for pm.process_idle_timeout
ScalingPlan plan_shrink(const config::Pool& pool, const Workers& workers,
                        std::span<const std::chrono::milliseconds> idle_for);

/// How many workers a pool begins with. dynamic: pm.start_servers; ondemand: none.
int workers_at_start(const config::Pool& pool);

/// At how many workers left in accept the master wants to look: the word that workers compare
/// with. At least 1, so that taking the last place is always seen.
int spare_threshold(const config::Pool& pool);

}  // namespace fpm::policy
