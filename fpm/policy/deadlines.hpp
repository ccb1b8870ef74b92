// Which requests have run too long, and when to look again. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::policy {

enum class DeadlineAction {
  wake,       ///< the worker closes a connection by itself: request_header_timeout, keepalive_timeout
  kill,       ///< it does not: nobody can answer a request that was not read
  take_over,  ///< the worker did not end an overdue request: the master answers it and kills
  // Of handlers whose code runs in the worker itself (config::runs_inside).
  tell_slow,  ///< the worker is to say where the request is
  slow_here,  ///< it does not hear: the master says what it sees
  tell_over,  ///< the worker is to give the request up: answer, and stand still
  end,        ///< it has: its client had the time to take the answer, and it is killed
};

struct Overdue {
  int slot = 0;
  DeadlineAction action = DeadlineAction::wake;
  std::chrono::milliseconds running{};    ///< since the request's first byte
  std::uint64_t request_started_ns = 0;   ///< which request of the slot is meant
};

struct DeadlinePlan {
  std::vector<Overdue> overdue;
  /// When the next request can be overdue at the earliest (CLOCK_MONOTONIC); nothing: no limit is
  /// set.
  std::optional<std::uint64_t> next_check_ns;
};

/// How long after request_terminate_timeout the master waits for a handler that ends its requests
/// by itself.
inline constexpr std::chrono::milliseconds kTerminateGrace{100};
/// How long a worker whose code runs inside it has from tell_over until it has given up, and from tell_slow
/// until it has said so: signals may be blocked there.
inline constexpr std::chrono::milliseconds kGiveUp{20};
/// From then to its end: a client that still sends would lose the answer by the reset.
inline constexpr std::chrono::milliseconds kFarewell{100};
/// How often a worker is woken before it counts as stuck.
inline constexpr std::chrono::milliseconds kWakeInterval{50};
inline constexpr std::chrono::milliseconds kStuckReading{2000};
/// With request_terminate_timeout_track_finished: what a worker may need after request_terminate_grace
/// until stage finished is over. A second for a killed group to go, five to drain a connection.
inline constexpr std::chrono::milliseconds kFinishing{8000};

/// What is due at `now_ns` (CLOCK_MONOTONIC). An idle worker is only ever woken, and only from a
/// connection that was kept for keepalive_timeout.
DeadlinePlan plan_deadlines(const config::Pool& pool, std::span<const scoreboard::Moment> moments,
                            std::uint64_t now_ns);

}  // namespace fpm::policy
