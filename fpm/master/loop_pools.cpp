// What the loop does for generations: brings them to what they want, reaps their workers, holds
// requests to their limits.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>

#include "fpm/master/loop.hpp"
#include "fpm/master/output.hpp"
#include "fpm/os/process.hpp"
#include "fpm/policy/scaling.hpp"

namespace fpm::master {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTick{1000};
/// How soon workers on kept connections are looked at again while clients wait.
constexpr milliseconds kRelieveAgain{20};

}  // namespace

Running& Master::Loop::add(Pool::Parts parts) {
  const WatchOutput watch = [this](const config::Pool& pool, pid_t pid, os::UniqueFd out,
                                   os::UniqueFd err) {
    return watch_output(io_, pool, pid, std::move(out), std::move(err));
  };
  const GenerationId id = ++last_id_;
  auto& running = *running_
                       .emplace(id, std::make_unique<Running>(id, io_, secrets_, std::move(parts),
                                                              spawner_, watch))
                       .first->second;
  running.pool.use_output_log();
  services_[running.name()].account = running.pool.account();
  return running;
}

Running* Master::Loop::find(GenerationId id) {
  const auto found = running_.find(id);
  return found == running_.end() ? nullptr : found->second.get();
}

const Running* Master::Loop::find(GenerationId id) const {
  const auto found = running_.find(id);
  return found == running_.end() ? nullptr : found->second.get();
}

/// A generation that drains and has no worker any more is over.
void Master::Loop::erase_when_empty(Running& running) {
  recount(running);
  if (!running.pool.draining() || running.pool.workers() > 0 || shutdown_.stopping()) return;
  (void)running.pool.release_address();
  if (running.watched) epoll_.remove(running.pool.wakeup());
  const std::string name = running.name();
  live_.erase(running.id);
  running_.erase(running.id);
  tell_reporter();
  const auto service = services_.find(name);
  if (service == services_.end() || service->second.serving != 0) return;
  const bool known = std::find(order_.begin(), order_.end(), name) != order_.end();
  const bool lives = std::any_of(running_.begin(), running_.end(),
                                 [&](const auto& one) { return one.second->name() == name; });
  if (!known && !lives) services_.erase(service);
}

void Master::Loop::reap_children() {
  const auto now = Clock::now();
  std::set<GenerationId> changed;
  bool emergency = false;
  // Templates first: they may have named a worker that has ended already.
  for (const auto& [id, running] : std::map(live_)) hear_template(*running);
  while (const auto exit = os::reap()) {
    if (reporter_ && reporter_->reap(*exit)) continue;
    if (doors_ && doors_->reap(*exit)) continue;
    if (spawner_.reap(*exit)) continue;
    const auto owner = std::find_if(live_.begin(), live_.end(), [&](const auto& one) {
      return one.second->pool.reap(*exit, now);
    });
    // As process 1 of a container we inherit what others leave behind.
    if (owner == live_.end()) {
      log::debug("reaped pid {}, no worker of ours", exit->pid);
      continue;
    }
    changed.insert(owner->first);
    recount(*owner->second);
    emergency = emergency_.worker_ended(exit->signal(), now) || emergency;
  }
  if (shutdown_.stopping()) {
    end_if_all_ended();
    return;
  }
  for (const GenerationId id : changed) {
    look(id);
    if (Running* running = find(id)) erase_when_empty(*running);
  }
  if (changed.empty()) return;
  std::vector<GenerationId> held_back;
  for (const auto& [id, running] : live_) {
    if (running->pool.held_back() && !changed.contains(id)) held_back.push_back(id);
  }
  for (const GenerationId id : held_back) look(id);
  if (!emergency) return;
  // So many crashes that memory which workers share may be damaged: all of it is made anew.
  log::warning("failed processes threshold ({} in {} sec) is reached, initiating reload",
               global_.emergency_restart_threshold,
               global_.emergency_restart_interval.count() / 1000);
  reload({}, [](const Reply&) {});
}

/// After whatever may have changed the number of its workers, or started a template.
void Master::Loop::recount(Running& running) {
  workers_ += running.pool.workers() - running.counted;
  running.counted = running.pool.workers();
  if (running.counted > 0 || running.pool.template_number() != 0 || running.starting ||
      running.pool.held_back()) {
    live_.emplace(running.id, &running);
  } else {
    live_.erase(running.id);
  }
}

/// How many more workers process.max allows.
int Master::Loop::room() const {
  const int limit = global_.process_max;
  return limit == 0 ? std::numeric_limits<int>::max() : std::max(0, limit - workers_);
}

/// The one place where a generation is brought to what it wants; called whenever something may have
/// changed for it.
void Master::Loop::look(GenerationId id) {
  Running* const found = find(id);
  if (found == nullptr || shutdown_.stopping()) return;
  Running& running = *found;
  check_deadlines(running);
  if (running.pool.draining()) return;
  const auto state = running.pool.account()->state();
  const bool again = running.pool.grow(Clock::now(), gives_way(running) ? 0 : room(running));
  recount(running);
  watch_generation(running);
  watch_template(running);
  tell_process_max(running);
  if (again) asio::post(io_, [this, id] { guarded([&] { look(id); }); });
  if (const auto at = running.pool.retry_at()) {
    after(running.timers().retry, *at, [this, id] { look(id); });
  }
  check_deadlines(running);
  if (!running.shrink_pending) shrink(running);
  relieve(running);
  wait_for_clients(running);
  if (const auto at = running.pool.check_template(Clock::now())) {
    after(running.timers().rest, *at, [this, id] { look(id); });
  }
  if (running.starting) {
    if (succeeds_slowly(running)) {
      let_old_go(running);
    } else if (running.pool.held_back()) {
      const int wanted = std::max(1, policy::workers_at_start(running.pool.config()));
      make_room(running, wanted - running.pool.workers());
    }
    check_start(running);
  } else if (running.pool.account()->state() == scoreboard::PoolState::failing &&
             running.pool.workers() > 0 && running.pool.first_workers_serve()) {
    running.pool.account()->enter(scoreboard::PoolState::serving);
  }
  // Only an account of its own is looked at: check_start() may have ended this generation.
  const Running* const still = find(id);
  if (still != nullptr && still->pool.account()->state() != state) tell_reporter();
}

void Master::Loop::tell_process_max(const Running& running) {
  if (running.pool.held_back() && !told_process_max_ && room() == 0) {
    told_process_max_ = true;
    log::warning(
        "The maximum number of processes has been reached. Please review your configuration and "
        "consider raising 'process.max'");
  }
  if (!running.pool.held_back() && room() > 0) told_process_max_ = false;
}

/// Its eventfd is there since its first worker.
void Master::Loop::watch_generation(Running& running) {
  if (running.watched || running.pool.wakeup() < 0) return;
  if (auto done = epoll_.watch(running.pool.wakeup(), wakeup_tag(running.id)); !done) {
    log::in_pool(log::Level::error, running.name(), "{}", done.error().text());
    return;
  }
  running.watched = true;
  tell_reporter();  // of its scoreboard
}

/// Its channel leaves the epoll set when it is closed.
void Master::Loop::watch_template(Running& running) {
  const std::uint64_t number = running.pool.template_number();
  if (number == running.watched_template) return;
  running.watched_template = number;
  if (number == 0) return;
  if (auto done = epoll_.watch(running.pool.template_channel(), template_tag(running.id)); !done) {
    log::in_pool(log::Level::error, running.name(), "{}", done.error().text());
  }
}

void Master::Loop::hear_template(Running& running) {
  if (running.pool.template_number() == 0) return;
  running.pool.hear_template(Clock::now(), [this](pid_t pid) {
    if (spawner_.is_shared(pid) || (reporter_ && reporter_->is(pid)) || (doors_ && doors_->is(pid))) return true;
    return std::any_of(live_.begin(), live_.end(), [pid](const auto& one) {
      return one.second->pool.template_pid() == pid || one.second->pool.has_worker(pid);
    });
  });
  recount(running);
}

void Master::Loop::tell_reporter() {
  if (reporter_) reporter_->changed();
}

/// In the order of the configuration, each with the scoreboards of all its generations.
std::vector<ReportedPool> Master::Loop::reported_pools() const {
  std::unordered_map<std::string, std::vector<ReportedBoard>> boards;
  for (auto one = running_.rbegin(); one != running_.rend(); ++one) {  // the newest first
    const scoreboard::Board& board = one->second->pool.board();
    if (board) boards[one->second->name()].push_back({board.memory().fd(), board.slots()});
  }
  std::vector<ReportedPool> pools;
  for (const std::string& name : order_) {
    const auto service = services_.find(name);
    if (service == services_.end()) continue;
    const auto running = running_.find(service->second.serving);
    ReportedPool pool;
    if (running != running_.end()) {
      pool.config = &running->second->pool.config();
      pool.listener = running->second->pool.listener();
    } else if (service->second.drained) {
      pool.config = &service->second.drained->config;
    } else {
      continue;
    }
    pool.account = service->second.account.get();
    pool.boards = std::move(boards[name]);
    for (const auto* const door : door_boards(name)) pool.doors.push_back(door->memory().fd());
    pools.push_back(std::move(pool));
  }
  return pools;
}

void Master::Loop::wait_for_clients(Running& running) {
  const Pool& pool = running.pool;
  if (!pool.needs_listener_watch()) return;
  if (auto armed = epoll_.arm(pool.listener(), listener_tag(running.id)); !armed) {
    log::in_pool(log::Level::error, running.name(), "{}", armed.error().text());
  }
}

void Master::Loop::shrink(Running& running) {
  const auto next = running.pool.shrink(Clock::now());
  running.shrink_pending = next.has_value();
  if (!next) return;
  after(running.timers().shrink, *next, [this, id = running.id] {
    if (Running* const one = find(id)) shrink(*one);
  });
}

void Master::Loop::check_deadlines(Running& running) {
  const auto next = running.pool.check_deadlines();
  if (!next) return;
  after(running.timers().deadline, *next, [this, id = running.id] {
    if (Running* const one = find(id)) check_deadlines(*one);
  });
}

/// Clients wait while workers sit on idle kept connections and nobody accepts: wakes as many.
void Master::Loop::relieve(Running& running) {
  if (running.pool.relieve()) {
    after(running.timers().relieve, Clock::now() + kRelieveAgain, [this, id = running.id] { look(id); });
  }
}

void Master::Loop::tick() {
  guarded([this] {
    log::flush();
    std::vector<GenerationId> busy;
    for (const auto& [id, running] : live_) {
      if ((running->counted > 0 || running->starting) && !running->pool.draining()) {
        busy.push_back(id);
      }
    }
    for (const GenerationId id : busy) {
      Running* const running = find(id);
      if (running == nullptr) continue;
      if (running->counted > 0) {
        running->pool.note_peaks();
        shrink(*running);
      }
      look(id);
    }
  });
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) tick();
  });
}

os::Activity Master::Loop::activity() const {
  os::Activity sum;
  for (const auto& [id, running] : running_) {
    const scoreboard::Board::Counts counts = running->pool.board().counts();
    sum.active += counts.active;
    sum.idle += counts.idle;
  }
  for (const auto& [name, service] : services_) {
    const scoreboard::Totals* const totals = service.account->totals();
    if (totals == nullptr) continue;
    sum.requests += totals->accepted.load(std::memory_order_relaxed);
    sum.slow += totals->slow.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace fpm::master
