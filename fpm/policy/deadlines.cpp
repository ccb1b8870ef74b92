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

/// A limit that a worker is held to, and what follows when it has passed.
struct Bound {
  std::uint64_t at_ns;
  DeadlineAction action;
};

/// How long a worker that ends its requests by itself has for one; nothing: any time.
std::optional<milliseconds> longest_run(const config::Pool& pool, Stage stage, bool answered) {
  if (pool.request_terminate_timeout.count() == 0) return std::nullopt;
  if (answered && !pool.request_terminate_timeout_track_finished) return std::nullopt;
  if (stage >= Stage::info && stage <= Stage::ending) {
    return pool.request_terminate_timeout + kTerminateGrace;
  }
  if (stage == Stage::finished && pool.request_terminate_timeout_track_finished) {
    return pool.request_terminate_timeout + pool.request_terminate_grace + kFinishing;
  }
  return std::nullopt;
}

/// Likewise of a request whose code runs in the worker itself.
std::optional<Bound> next_bound_inside(const config::Pool& pool, const Moment& moment,
                                       std::uint64_t began, std::uint64_t now_ns) {
  if (moment.expired_ns != 0) {
    return Bound{std::min(moment.expired_ns, now_ns) + ns(kFarewell), DeadlineAction::end};
  }
  std::optional<Bound> bound;
  const bool limited = pool.request_terminate_timeout.count() > 0 &&
                       (!moment.answered || pool.request_terminate_timeout_track_finished);
  if (limited && moment.asked_to_end_ns != 0) {
    bound = Bound{moment.asked_to_end_ns + ns(kGiveUp), DeadlineAction::take_over};
  } else if (limited) {
    bound = Bound{began + ns(pool.request_terminate_timeout), DeadlineAction::tell_over};
  }
  const bool may_be_slow = pool.request_slowlog_timeout.count() > 0 && !moment.slow_told &&
                           moment.asked_to_end_ns == 0;
  if (!may_be_slow) return bound;
  const Bound slow = moment.asked_if_slow_ns == 0
                         ? Bound{began + ns(pool.request_slowlog_timeout), DeadlineAction::tell_slow}
                         : Bound{moment.asked_if_slow_ns + ns(kGiveUp), DeadlineAction::slow_here};
  return !bound || slow.at_ns < bound->at_ns ? slow : bound;
}

/// What the worker is like once it has been told.
bool is_told(Moment& moment, DeadlineAction action, std::uint64_t now_ns) {
  if (action == DeadlineAction::tell_slow) {
    moment.asked_if_slow_ns = now_ns;
  } else if (action == DeadlineAction::slow_here) {
    moment.slow_told = true;
  } else if (action == DeadlineAction::tell_over) {
    moment.asked_to_end_ns = now_ns;
  } else {
    return false;
  }
  return true;
}

/// The next bound of one worker; nothing if none applies to where it is.
std::optional<Bound> next_bound(const config::Pool& pool, const Moment& moment,
                                std::uint64_t now_ns) {
  // A worker's own clock reading can be a little ahead of the one the check began with.
  const std::uint64_t began = std::min(moment.request_started_ns, now_ns);
  if (moment.kept && pool.keepalive_timeout.count() > 0) {
    const std::uint64_t idle_since = std::min(std::max(began, moment.idle_since_ns), now_ns);
    return Bound{idle_since + ns(pool.keepalive_timeout), DeadlineAction::wake};
  }
  if (moment.stage == Stage::reading_headers && pool.request_header_timeout.count() > 0) {
    const std::uint64_t limit = began + ns(pool.request_header_timeout);
    if (now_ns < limit + ns(kStuckReading)) return Bound{limit, DeadlineAction::wake};
    return Bound{limit + ns(kStuckReading), DeadlineAction::kill};
  }
  if (config::runs_inside(pool) && moment.stage == Stage::executing) {
    return next_bound_inside(pool, moment, began, now_ns);
  }
  if (const auto longest = longest_run(pool, moment.stage, moment.answered)) {
    return Bound{began + ns(*longest), DeadlineAction::take_over};
  }
  return std::nullopt;
}

/// The earliest moment at which a request, or a wait, that has not begun yet could pass a bound.
std::optional<std::uint64_t> shortest_limit_ns(const config::Pool& pool) {
  std::optional<std::uint64_t> shortest;
  const bool inside = config::runs_inside(pool);
  for (const milliseconds limit :
       {pool.request_header_timeout, pool.keepalive_timeout,
        inside ? pool.request_terminate_timeout
               : longest_run(pool, Stage::executing, false).value_or(milliseconds(0)),
        inside ? pool.request_slowlog_timeout : milliseconds(0)}) {
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
  for (Moment moment : moments) {
    const std::uint64_t running = now_ns - std::min(moment.request_started_ns, now_ns);
    auto bound = next_bound(pool, moment, now_ns);
    while (bound && bound->at_ns <= now_ns) {
      plan.overdue.push_back({moment.slot, bound->action,
                              milliseconds(static_cast<std::int64_t>(running / 1'000'000U)),
                              moment.request_started_ns});
      if (!is_told(moment, bound->action, now_ns)) {
        next = std::min(next, now_ns + ns(kWakeInterval));
        break;
      }
      bound = next_bound(pool, moment, now_ns);
    }
    if (bound && bound->at_ns > now_ns) next = std::min(next, bound->at_ns);
  }
  plan.next_check_ns = next;
  return plan;
}

}  // namespace fpm::policy
