#include "fpm/policy/deadlines.hpp"

#include <algorithm>

namespace fpm::policy {

namespace {

using scoreboard::Moment;
using scoreboard::Stage;
using std::chrono::milliseconds;

std::uint64_t ns(milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count()) * 1'000'000U;
}

/// A limit that a request is held to, and what follows when it has passed.
struct Bound {
  std::uint64_t at_ns;
  DeadlineAction action;
};

/// The next bound of one worker; nothing if none applies to where it is.
std::optional<Bound> next_bound(const config::Pool& pool, const Moment& moment,
                                std::uint64_t now_ns) {
  // A worker's own clock reading can be a little ahead of the one the check began with.
  const std::uint64_t began = std::min(moment.request_started_ns, now_ns);
  if (moment.stage == Stage::reading_headers && pool.request_header_timeout.count() > 0) {
    const std::uint64_t limit = began + ns(pool.request_header_timeout);
    if (now_ns < limit + ns(kStuckReading)) return Bound{limit, DeadlineAction::wake};
    return Bound{limit + ns(kStuckReading), DeadlineAction::kill};
  }
  const bool runs = moment.stage == Stage::info || moment.stage == Stage::executing ||
                    moment.stage == Stage::ending;
  if (runs && pool.request_terminate_timeout.count() > 0) {
    return Bound{began + ns(pool.request_terminate_timeout + kTerminateGrace),
                 DeadlineAction::kill};
  }
  return std::nullopt;
}

/// The earliest moment at which a request that has not begun yet could pass a bound.
std::optional<std::uint64_t> shortest_limit_ns(const config::Pool& pool) {
  std::optional<std::uint64_t> shortest;
  for (const milliseconds limit :
       {pool.request_header_timeout,
        pool.request_terminate_timeout.count() > 0
            ? pool.request_terminate_timeout + kTerminateGrace
            : milliseconds(0)}) {
    if (limit.count() > 0) shortest = std::min(shortest.value_or(ns(limit)), ns(limit));
  }
  return shortest;
}

}  // namespace

DeadlinePlan plan_deadlines(const config::Pool& pool, std::span<const Moment> moments,
                            std::uint64_t now_ns) {
  DeadlinePlan plan;
  const auto shortest = shortest_limit_ns(pool);
  if (!shortest) return plan;
  std::uint64_t next = now_ns + *shortest;
  for (const Moment& moment : moments) {
    const auto bound = next_bound(pool, moment, now_ns);
    if (!bound) continue;
    if (bound->at_ns > now_ns) {
      next = std::min(next, bound->at_ns);
      continue;
    }
    const std::uint64_t running = now_ns - std::min(moment.request_started_ns, now_ns);
    plan.overdue.push_back({moment.slot, bound->action,
                            milliseconds(static_cast<std::int64_t>(running / 1'000'000U))});
    next = std::min(next, now_ns + ns(kWakeInterval));
  }
  plan.next_check_ns = next;
  return plan;
}

}  // namespace fpm::policy
