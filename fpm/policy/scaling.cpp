#include "fpm/policy/scaling.hpp"

#include <algorithm>

namespace fpm::policy {

ScalingPlan plan_workers(const config::Pool& pool, const Workers& workers) {
  ScalingPlan plan;
  plan.spawn = std::max(0, pool.max_children - workers.alive());
  return plan;
}

}  // namespace fpm::policy
