// What stays of a pool through all its generations.
#pragma once

#include <cstdint>
#include <optional>

#include "fpm/scoreboard/ledger.hpp"

namespace fpm::master {

/// The master's own record of a pool, and its totals in shared memory as soon as it has had a
/// worker: 5,000 idle pools of type ondemand cost no memory. The record is not read back from
/// shared memory, where a worker may write anything.
class Account {
 public:
  Account();

  /// The totals, made now if need be. Errors: no memory, no descriptors; worth another try.
  os::Result<scoreboard::Totals*> open();
  /// nullptr: no worker has been started yet.
  scoreboard::Totals* totals() const { return ledger_ ? &ledger_->totals() : nullptr; }
  const scoreboard::Ledger* ledger() const { return ledger_ ? &*ledger_ : nullptr; }

  scoreboard::PoolState state() const { return state_; }
  void enter(scoreboard::PoolState state);
  std::uint32_t generation() const { return generation_; }
  /// A new generation serves. The first one is no reload.
  void next_generation();
  void reload_failed();

  /// Start, state and reloads, for a snapshot of a pool without totals.
  void describe(scoreboard::PoolSnapshot& pool) const;
  std::uint64_t started_ns() const { return started_ns_; }  ///< CLOCK_REALTIME

 private:
  void write() const;

  std::uint64_t started_ns_;
  scoreboard::PoolState state_ = scoreboard::PoolState::starting;
  std::uint32_t generation_ = 0;
  std::uint64_t reloads_ = 0;
  std::uint64_t reloads_failed_ = 0;
  std::uint64_t last_reload_ns_ = 0;
  std::optional<scoreboard::Ledger> ledger_;
};

}  // namespace fpm::master
