#include "fpm/policy/scaling.hpp"

#include <algorithm>

namespace fpm::policy {

using config::ProcessManager;

namespace {

/// How many workers should be free to take a client, or on their way to it.
int wanted_free(const config::Pool& pool, const Workers& workers) {
  const int spare = pool.pm == ProcessManager::dynamic ? pool.min_spare_servers : 0;
  return workers.queue + spare;
}

}  // namespace

ScalingPlan plan_growth(const config::Pool& pool, const Workers& workers, int room) {
  ScalingPlan plan;
  const int limit = pool.max_children + std::min(1, workers.last);
  const int below_limit = std::max(0, limit - workers.alive());
  if (pool.pm == ProcessManager::static_pm) {
    plan.spawn = std::min(below_limit, std::max(0, room));
    plan.held_back = below_limit > plan.spawn;
    return plan;
  }
  const int coming = std::max(0, workers.idle + workers.starting - workers.leaving);
  const int want = wanted_free(pool, workers) - coming;
  if (want <= 0) return plan;
  const int allowed = std::min(below_limit, std::max(0, room));
  plan.spawn = std::min({want, allowed, pool.max_spawn_rate});
  plan.at_limit = want > below_limit;
  plan.held_back = std::min(want, below_limit) > allowed;
  // Clients that nobody is coming for: the next step follows at once, not a tick later.
  plan.again = plan.spawn > 0 && plan.spawn < std::min(want, allowed) &&
               workers.queue > coming + plan.spawn;
  return plan;
}

ScalingPlan plan_shrink(const config::Pool& pool, const Workers& workers,
                        std::span<const std::chrono::milliseconds> idle_for) {
  ScalingPlan plan;
  if (workers.queue > 0) return plan;
  if (pool.pm == ProcessManager::dynamic) {
    const int excess = workers.idle - workers.leaving - pool.max_spare_servers;
    if (excess > 0) plan.retire = (excess + 1) / 2;
  } else if (pool.pm == ProcessManager::ondemand) {
    plan.retire = static_cast<int>(
        std::count_if(idle_for.begin(), idle_for.end(),
                      [&](auto idle) { return idle >= pool.process_idle_timeout; }));
  }
  return plan;
}

int workers_at_start(const config::Pool& pool) {
  switch (pool.pm) {
    case ProcessManager::static_pm: return pool.max_children;
    case ProcessManager::dynamic: return pool.start_servers;
    case ProcessManager::ondemand: return 0;
  }
  return 0;
}

int spare_threshold(const config::Pool& pool) {
  return pool.pm == ProcessManager::dynamic ? std::max(1, pool.min_spare_servers) : 1;
}

}  // namespace fpm::policy
