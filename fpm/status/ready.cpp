#include "fpm/status/ready.hpp"

#include <fmt/format.h>

#include "fpm/status/escape.hpp"

namespace fpm::status {

std::string unready_reason(const scoreboard::PoolSnapshot& pool, const ReadyLimits& limits,
                           const scoreboard::HistogramSnapshot& recent_wait) {
  using scoreboard::PoolState;
  if (pool.state == PoolState::failing) return "its workers do not start";
  if (pool.state != PoolState::serving) return std::string(state_word(pool));
  // An ondemand pool starts one when a client comes.
  if (pool.process_manager != "ondemand" && pool.idle + pool.active == 0) return "no worker";
  if (limits.queue > 0 && pool.listen_queue.value_or(0) > limits.queue) {
    return fmt::format("{} connections wait, more than {}", *pool.listen_queue, limits.queue);
  }
  if (limits.wait.count() > 0) {
    const auto wait = recent_wait.percentile(0.99);
    if (wait > limits.wait) {
      return fmt::format("requests wait for {} ms (p99 of the last 10 s), longer than {} ms",
                         wait.count() / 1000, limits.wait.count());
    }
  }
  return {};
}

bool render_ready(std::string& out, std::span<const Readiness> pools) {
  bool all = true;
  for (const Readiness& one : pools) {
    append_text(out, one.pool);
    if (one.reason.empty()) {
      out += ": ready\n";
      continue;
    }
    all = false;
    out += ": not ready, ";
    append_text(out, one.reason);
    out += '\n';
  }
  return all;
}

}  // namespace fpm::status
