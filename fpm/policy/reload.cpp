#include "fpm/policy/reload.hpp"

#include <algorithm>
#include <set>

namespace fpm::policy {

ReloadPlan plan_reload(const ReloadWish& wish, const std::vector<RunningPool>& running,
                       const std::vector<std::string>& configured) {
  ReloadPlan plan;
  const std::set<std::string> names(configured.begin(), configured.end());
  std::set<std::string> same;
  for (const RunningPool& pool : running) {
    if (pool.same) same.insert(pool.name);
  }
  const auto wanted = [&](const std::string& name) {
    return (!wish.pool || *wish.pool == name) && (!wish.changed || !same.contains(name));
  };
  std::copy_if(configured.begin(), configured.end(), std::back_inserter(plan.start), wanted);
  for (const RunningPool& pool : running) {
    const bool meant = !wish.pool || *wish.pool == pool.name;
    if (meant && !names.contains(pool.name)) plan.remove.push_back(pool.name);
  }
  if (wish.pool && !names.contains(*wish.pool) && plan.remove.empty()) {
    plan.refused = "there is no pool of that name";
  }
  return plan;
}

bool merge(ReloadWish& waiting, const ReloadWish& wish) {
  const bool covers_pool = !waiting.pool || waiting.pool == wish.pool;
  const bool covers_kind = !waiting.changed || wish.changed;
  if (covers_pool && covers_kind) return true;
  const bool covered = (!wish.pool || waiting.pool == wish.pool) && (!wish.changed || waiting.changed);
  if (covered) waiting = wish;
  return covered;
}

config::Milliseconds Drain::wait() const {
  switch (step_) {
    case Step::close_kept:
      return patience_ / 2;
    case Step::terminate:
      return patience_ - patience_ / 2;
    case Step::kill:
      break;
  }
  return config::Milliseconds(1000);
}

Drain::Step Drain::next() {
  const Step now = step_;
  if (step_ != Step::kill) step_ = static_cast<Step>(static_cast<int>(step_) + 1);
  return now;
}

}  // namespace fpm::policy
