// Whether pools are ready for clients, for load balancers. Pure.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::status {

/// From when on a pool is not ready; 0: never.
struct ReadyLimits {
  unsigned queue = 0;                ///< status.ready_queue, connections that wait
  std::chrono::milliseconds wait{};  ///< status.ready_wait, p99 of the queue wait
};

/// `recent_wait`: the queue wait of the last 10 s. @return why the pool is not ready: "starting",
/// "stopping", "drained", "its workers do not start", "no worker", "7 connections wait, ...", "...";
/// empty: it is.
std::string unready_reason(const scoreboard::PoolSnapshot& pool, const ReadyLimits& limits,
                           const scoreboard::HistogramSnapshot& recent_wait);

/// A pool and unready_reason() of it.
struct Readiness {
  std::string_view pool;
  std::string_view reason;
};

/// Appends one line for each pool: "www: ready" or "www: not ready, drained". @return all are ready.
bool render_ready(std::string& out, std::span<const Readiness> pools);

}  // namespace fpm::status
