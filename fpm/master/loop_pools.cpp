// What the loop does for pools: brings them to what they want, reaps their workers, holds requests
// to their limits.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>

#include "fpm/master/loop.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTick{1000};
/// How soon workers on kept connections are looked at again while clients wait.
constexpr milliseconds kRelieveAgain{20};

}  // namespace

void Master::Loop::reap_children() {
  const auto now = Clock::now();
  std::vector<std::size_t> changed;
  while (const auto exit = os::reap()) {
    const auto owner = std::find_if(pools_.begin(), pools_.end(), [&](const auto& running) {
      return running->pool.reap(*exit, now);
    });
    // As process 1 of a container we inherit what others leave behind.
    if (owner == pools_.end()) {
      log::debug("reaped pid {}, no worker of ours", exit->pid);
      continue;
    }
    changed.push_back(static_cast<std::size_t>(owner - pools_.begin()));
    if (emergency_.worker_ended(exit->signal(), now)) restart_workers();
  }
  count_workers();
  if (shutdown_.stopping()) {
    if (workers_ == 0) io_.stop();
    return;
  }
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const bool mine = std::find(changed.begin(), changed.end(), i) != changed.end();
    if (mine || (!changed.empty() && pools_[i]->pool.held_back())) look(i);
  }
}

/// So many crashes that memory which workers share may be damaged: all of them are made anew.
void Master::Loop::restart_workers() {
  log::warning("failed processes threshold ({} in {} sec) is reached, initiating reload",
               config_.global.emergency_restart_threshold,
               config_.global.emergency_restart_interval.count() / 1000);
  for (auto& running : pools_) running->pool.recycle();
}

void Master::Loop::count_workers() {
  workers_ = 0;
  for (const auto& running : pools_) workers_ += running->pool.workers();
}

/// How many more workers process.max allows.
int Master::Loop::room() const {
  const int limit = config_.global.process_max;
  return limit == 0 ? std::numeric_limits<int>::max() : std::max(0, limit - workers_);
}

/// The one place where a pool is brought to what it wants; called whenever something may have
/// changed for it.
void Master::Loop::look(std::size_t index) {
  if (shutdown_.stopping()) return;
  Running& running = *pools_[index];
  const bool again = running.pool.grow(Clock::now(), room());
  count_workers();
  if (running.pool.held_back() && !told_process_max_) {
    told_process_max_ = true;
    log::warning(
        "The maximum number of processes has been reached. Please review your configuration and "
        "consider raising 'process.max'");
  }
  if (!running.pool.held_back() && room() > 0) told_process_max_ = false;
  if (again) asio::post(io_, [this, index] { guarded([&] { look(index); }); });
  if (const auto at = running.pool.retry_at()) {
    after(running.retry, *at, [this, index] { look(index); });
  }
  check_deadlines(running);
  if (!running.shrink_pending) shrink(index);
  relieve(index);
  wait_for_clients(index);
}

void Master::Loop::wait_for_clients(std::size_t index) {
  const Pool& pool = pools_[index]->pool;
  if (!pool.needs_listener_watch()) return;
  if (auto armed = epoll_.arm(pool.listener(), listener_tag(index)); !armed) {
    log::in_pool(log::Level::error, pool.config().name, "{}", armed.error().text());
  }
}

void Master::Loop::shrink(std::size_t index) {
  Running& running = *pools_[index];
  const auto next = running.pool.shrink(Clock::now());
  running.shrink_pending = next.has_value();
  if (next) after(running.shrink, *next, [this, index] { shrink(index); });
}

void Master::Loop::check_deadlines(Running& running) {
  const auto next = running.pool.check_deadlines();
  if (!next || running.pool.workers() == 0) return;
  after(running.deadline, *next, [this, &running] { check_deadlines(running); });
}

/// Clients wait while workers sit on idle kept connections and nobody accepts: wakes as many.
void Master::Loop::relieve(std::size_t index) {
  Running& running = *pools_[index];
  if (running.pool.relieve()) {
    after(running.relieve, Clock::now() + kRelieveAgain, [this, index] { look(index); });
  }
}

void Master::Loop::tick() {
  guarded([this] {
    log::flush();
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      if (pools_[i]->pool.workers() == 0) continue;
      pools_[i]->pool.note_peaks();
      shrink(i);
      look(i);
    }
  });
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) tick();
  });
}

os::Activity Master::Loop::activity() const {
  os::Activity sum;
  for (const auto& running : pools_) {
    const scoreboard::Board::Counts counts = running->pool.board().counts();
    sum.active += counts.active;
    sum.idle += counts.idle;
    sum.requests += running->pool.totals().accepted.load(std::memory_order_relaxed);
    sum.slow += running->pool.totals().slow.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace fpm::master
