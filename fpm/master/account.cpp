#include "fpm/master/account.hpp"

#include "fpm/scoreboard/board.hpp"

namespace fpm::master {

Account::Account() : started_ns_(scoreboard::realtime_ns()) {}

os::Result<scoreboard::Totals*> Account::open() {
  if (!ledger_) {
    auto ledger = scoreboard::Ledger::create();
    if (!ledger) return ledger.error();
    ledger_ = std::move(*ledger);
    write();
  }
  return totals();
}

void Account::enter(scoreboard::PoolState state) {
  state_ = state;
  write();
}

void Account::next_generation() {
  if (++generation_ > 1) {
    ++reloads_;
    last_reload_ns_ = scoreboard::realtime_ns();
  }
  write();
}

void Account::reload_failed() {
  ++reloads_failed_;
  write();
}

void Account::describe(scoreboard::PoolSnapshot& pool) const {
  pool.started = scoreboard::as_time(started_ns_);
  pool.state = state_;
  pool.generation = generation_;
  pool.reloads = reloads_;
  pool.reloads_failed = reloads_failed_;
  if (last_reload_ns_ != 0) pool.last_reload = scoreboard::as_time(last_reload_ns_);
}

void Account::write() const {
  if (!ledger_) return;
  scoreboard::Totals& totals = ledger_->totals();
  totals.started_ns.store(started_ns_, std::memory_order_relaxed);
  totals.state.store(static_cast<std::uint32_t>(state_), std::memory_order_relaxed);
  totals.generation.store(generation_, std::memory_order_relaxed);
  totals.reloads[0].store(reloads_failed_, std::memory_order_relaxed);
  totals.reloads[1].store(reloads_, std::memory_order_relaxed);
  totals.last_reload_ns.store(last_reload_ns_, std::memory_order_relaxed);
}

}  // namespace fpm::master
