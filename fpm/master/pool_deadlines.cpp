// How a pool holds its workers to the time limits of requests.
#include <signal.h>

#include "fpm/log/log.hpp"
#include "fpm/master/pool.hpp"

namespace fpm::master {

std::optional<Clock::time_point> Pool::check_deadlines() {
  std::vector<scoreboard::Moment> moments;
  moments.reserve(slots_.size());
  for (int slot = 0; slot < board_.slots(); ++slot) {
    if (slots_[static_cast<std::size_t>(slot)]) moments.push_back(board_.moment(slot));
  }
  const policy::DeadlinePlan plan =
      policy::plan_deadlines(config(), moments, scoreboard::monotonic_ns());
  for (const policy::Overdue& overdue : plan.overdue) {
    Worker& worker = *slots_[static_cast<std::size_t>(overdue.slot)];
    if (overdue.action == policy::DeadlineAction::wake) {
      spawner_.signal(worker.pid, wake_signal());
      continue;
    }
    log::in_pool(log::Level::warning, config().name,
                 "child {} did not end its request after {} ms, it is killed and its client gets "
                 "no answer{}",
                 worker.pid, overdue.running.count(), request_of(overdue.slot));
    worker.overdue = true;
    spawner_.signal(worker.pid, SIGKILL);
  }
  if (!plan.next_check_ns) return std::nullopt;
  return Clock::time_point(std::chrono::nanoseconds(*plan.next_check_ns));
}

}  // namespace fpm::master
