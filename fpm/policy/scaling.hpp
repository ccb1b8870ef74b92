// How many workers a pool should have. Pure.
#pragma once

#include "fpm/config/config.hpp"

namespace fpm::policy {

/// A pool's workers at one moment.
struct Workers {
  int idle = 0;
  int active = 0;
  int starting = 0;

  int alive() const { return idle + active + starting; }
};

struct ScalingPlan {
  int spawn = 0;
  int retire = 0;  ///< never together with spawn
};

/// What to do now: as many starts or ends as bring the pool to what its configuration asks.
/// static: always pm.max_children.
ScalingPlan plan_workers(const config::Pool& pool, const Workers& workers);

}  // namespace fpm::policy
