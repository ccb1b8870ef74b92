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
  wake,  ///< request_header_timeout passed: wake the worker from its read, it closes by itself
  kill,  ///< the worker did not end an overdue request by itself: the master does
};

struct Overdue {
  int slot = 0;
  DeadlineAction action = DeadlineAction::wake;
  std::chrono::milliseconds running{};  ///< since the request's first byte
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
/// How often a worker is woken before it counts as stuck.
inline constexpr std::chrono::milliseconds kWakeInterval{50};
inline constexpr std::chrono::milliseconds kStuckReading{2000};

DeadlinePlan plan_deadlines(const config::Pool& pool, std::span<const scoreboard::Moment> moments,
                            std::uint64_t now_ns);

}  // namespace fpm::policy
