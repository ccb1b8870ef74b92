#include "fpm/scoreboard/ledger.hpp"

#include <algorithm>
#include <new>

#include "fpm/scoreboard/board.hpp"

namespace fpm::scoreboard {

os::Result<Ledger> Ledger::create() {
  auto memory = os::SharedMemory::create("fpm-totals", sizeof(Totals));
  if (!memory) return memory.error();
  Ledger ledger;
  ledger.memory_ = std::move(*memory);
  // Zeroed memory is a valid state of every one of these atomics.
  ledger.totals_ = std::launder(reinterpret_cast<Totals*>(ledger.memory_.data()));
  ledger.totals_->started_ns.store(realtime_ns(), std::memory_order_relaxed);
  return ledger;
}

Ledger Ledger::over(os::SharedMemory memory) {
  Ledger ledger;
  ledger.memory_ = std::move(memory);
  ledger.totals_ = std::launder(reinterpret_cast<Totals*>(ledger.memory_.data()));
  return ledger;
}

os::Result<Ledger> Ledger::attach(int fd) {
  auto memory = os::SharedMemory::map_read_only(fd, sizeof(Totals));
  if (!memory) return memory.error();
  return over(std::move(*memory));
}

os::Result<Ledger> Ledger::join(int fd) {
  auto memory = os::SharedMemory::map_writable(fd, sizeof(Totals));
  if (!memory) return memory.error();
  return over(std::move(*memory));
}

void read_totals(const Totals& totals, PoolSnapshot& pool) {
  const auto load = [](const auto& number) { return number.load(std::memory_order_relaxed); };
  pool.started = as_time(load(totals.started_ns));
  pool.accepted = load(totals.accepted);
  pool.slow_requests = load(totals.slow);
  pool.timed_out = load(totals.timed_out);
  pool.aborted = load(totals.aborted);
  pool.killed = load(totals.killed);
  for (std::size_t i = 0; i < kRejections; ++i) pool.rejected[i] = load(totals.rejected[i]);
  pool.max_children_reached = load(totals.max_children_reached);
  pool.max_active = std::max(load(totals.max_active), pool.active);
  pool.max_listen_queue = load(totals.max_listen_queue);
  pool.worker_starts = load(totals.worker_starts);
  for (std::size_t i = 0; i < kExitCauses; ++i) pool.worker_exits[i] = load(totals.worker_exits[i]);
  pool.reloads_failed = load(totals.reloads[0]);
  pool.reloads = load(totals.reloads[1]);
  if (const std::uint64_t at = load(totals.last_reload_ns); at != 0) pool.last_reload = as_time(at);
  pool.generation = load(totals.generation);
  pool.state = static_cast<PoolState>(load(totals.state));
  pool.duration = copy(totals.duration);
  pool.queue_wait = copy(totals.queue_wait);
}

}  // namespace fpm::scoreboard
