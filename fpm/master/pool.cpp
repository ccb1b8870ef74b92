#include "fpm/master/pool.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "fpm/log/log.hpp"
#include "fpm/policy/scaling.hpp"

namespace fpm::master {

using scoreboard::Stage;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

os::Result<Pool::Parts> Pool::open_parts(const config::Pool& config,
                                         std::optional<os::Identity> identity,
                                         os::InheritedSockets* inherited) {
  Parts parts;
  parts.config = &config;
  parts.identity = std::move(identity);
  auto listener = Listener::open(config, inherited);
  if (!listener) return listener.error();
  if (!config.access_log.empty()) {
    auto opened = log::open_file(config.access_log);
    if (!opened) {
      return os::Error(opened.error().code,
                       fmt::format("failed to open access log ({})", config.access_log));
    }
    parts.access_log = std::move(*opened);
  }
  if (!config.output_log.empty()) {
    if (auto opened = log::open_output(config.name, config.output_log); !opened) {
      return os::Error(opened.error().code,
                       fmt::format("failed to open output log ({})", config.output_log));
    }
  }
  if (!config.slowlog.empty()) {
    auto opened = log::open_file(config.slowlog);
    if (!opened) {
      return os::Error(opened.error().code,
                       fmt::format("failed to open slow log ({})", config.slowlog));
    }
    parts.slow_log = std::move(*opened);
  }
  // One slot more than workers: for the successor of one that is on its last request.
  auto board = scoreboard::Board::create(config.max_children + 1);
  if (!board) return board.error();
  auto ledger = scoreboard::Ledger::create();
  if (!ledger) return ledger.error();
  parts.wakeup.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!parts.wakeup) return os::last_error("eventfd");
  return Parts{.config = &config,
               .identity = std::move(parts.identity),
               .listener = std::move(*listener),
               .access_log = std::move(parts.access_log),
               .slow_log = std::move(parts.slow_log),
               .board = std::move(*board),
               .ledger = std::make_shared<scoreboard::Ledger>(std::move(*ledger)),
               .wakeup = std::move(parts.wakeup)};
}

Pool::Pool(Parts parts, Spawner& spawner, WatchOutput watch_output)
    : parts_(std::move(parts)),
      spawner_(spawner),
      watch_output_(std::move(watch_output)),
      slots_(static_cast<std::size_t>(parts_.board.slots())) {
  if (parts_.access_log) {
    // It was checked when the configuration was read.
    access_format_ = log::compile_access_format(config().access_format).format;
  }
  parts_.board.pulse().threshold.store(policy::spare_threshold(config()));
}

void Pool::start(Clock::time_point now, int room) {
  spawn_some(std::min(policy::workers_at_start(config()), room), now);
  serving_ = true;
}

bool Pool::grow(Clock::time_point now, int room) {
  if (stopping_ || (retry_at_ && now < *retry_at_)) return false;
  retry_at_.reset();
  scoreboard::Pulse& pulse = parts_.board.pulse();
  // Armed before the count: whoever takes a place after this is seen by one of the two. A static
  // pool has nothing to do for it, and a full one neither.
  if (config().pm != config::ProcessManager::static_pm && workers_ < config().max_children) {
    pulse.armed.store(1, std::memory_order_seq_cst);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const policy::Workers seen = count();
  const policy::ScalingPlan plan = policy::plan_growth(config(), seen, room);
  held_back_ = plan.held_back;
  tell_limit(plan.at_limit);
  spawn_some(plan.spawn, now);
  return plan.again && !retry_at_;
}

policy::Workers Pool::count() const {
  // The hint is set anew whenever we look: a worker that was killed in accept never gave it back.
  // Only if no worker changed it since the count: a hint that is one too large would swallow the
  // call of the worker that takes the last place, and a burst would wait for the tick (seen in 4
  // of 180). Under a storm of changes it is left alone: they keep it.
  std::atomic<std::int32_t>& spare = pulse().spare;
  scoreboard::Board::Counts counts;
  std::int32_t hint = 0;
  int tries = 0;
  do {
    hint = spare.load(std::memory_order_seq_cst);
    counts = parts_.board.counts();
  } while (!spare.compare_exchange_strong(hint, counts.idle - counts.kept,
                                          std::memory_order_seq_cst) &&
           ++tries < 8);
  policy::Workers workers;
  workers.idle = counts.idle;
  workers.active = counts.active;
  workers.starting = workers_ - counts.idle - counts.active;
  workers.last = counts.last;
  for (std::size_t slot = 0; slot < slots_.size() && asked_ > 0; ++slot) {
    if (!slots_[slot] || !slots_[slot]->asked) continue;
    if (!scoreboard::is_active(parts_.board.stage(static_cast<int>(slot)))) ++workers.leaving;
  }
  // While somebody accepts and nobody is in a request, nobody waits.
  const bool may_wait = counts.active > 0 || counts.idle == counts.kept;
  if (may_wait && config().pm != config::ProcessManager::static_pm) {
    workers.queue = static_cast<int>(os::listen_queue_length(listener()).value_or(0));
  }
  return workers;
}

void Pool::spawn_some(int wanted, Clock::time_point now) {
  for (int i = 0; i < wanted; ++i) {
    const auto slot = vacant_slot();
    if (!slot || !spawn(*slot, now)) return;
  }
}

bool Pool::needs_listener_watch() const {
  if (stopping_ || retry_at_) return false;
  const scoreboard::Board::Counts counts = parts_.board.counts();
  const int starting = workers_ - counts.idle - counts.active;
  if (counts.idle > counts.kept || starting > 0) return false;
  const bool may_grow = workers_ < config().max_children &&
                        config().pm != config::ProcessManager::static_pm;
  return may_grow || counts.kept > 0;
}

std::optional<Clock::time_point> Pool::shrink(Clock::time_point now) {
  if (stopping_ || workers_ == 0 || config().pm == config::ProcessManager::static_pm) {
    return std::nullopt;
  }
  struct Idle {
    milliseconds since;
    int slot;
  };
  std::vector<Idle> idle;
  const std::uint64_t now_ns = scoreboard::monotonic_ns();
  for (int slot = 0; slot < parts_.board.slots(); ++slot) {
    const auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (!worker || worker->asked) continue;
    const scoreboard::Moment moment = parts_.board.moment(slot);
    if (!scoreboard::is_idle(moment.stage)) continue;
    const auto age = duration_cast<milliseconds>(now - worker->started);
    const auto since = milliseconds(static_cast<std::int64_t>(
        (now_ns - std::min(moment.idle_since_ns, now_ns)) / 1'000'000U));
    idle.push_back({moment.idle_since_ns == 0 ? age : std::min(age, since), slot});
  }
  std::sort(idle.begin(), idle.end(), [](auto& a, auto& b) { return a.since > b.since; });
  std::vector<milliseconds> idle_for;
  for (const Idle& one : idle) idle_for.push_back(one.since);
  const policy::ScalingPlan plan = policy::plan_shrink(config(), count(), idle_for);
  const auto retire = std::min(static_cast<std::size_t>(plan.retire), idle.size());
  for (std::size_t i = 0; i < retire; ++i) ask_to_leave(idle[i].slot);
  if (config().pm != config::ProcessManager::ondemand || idle.size() <= retire) return std::nullopt;
  return now + std::max(milliseconds(1), config().process_idle_timeout - idle[retire].since);
}

void Pool::recycle() {
  for (int slot = 0; slot < parts_.board.slots(); ++slot) {
    const auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (worker && !worker->asked) tell_to_leave(slot);
  }
}

void Pool::ask_to_leave(int slot) {
  // A last look: what has begun a request since is needed.
  if (scoreboard::is_idle(parts_.board.stage(slot))) tell_to_leave(slot);
}

void Pool::tell_to_leave(int slot) {
  Worker& worker = *slots_[static_cast<std::size_t>(slot)];
  worker.asked = true;
  ++asked_;
  spawner_.signal(worker.pid, SIGQUIT);
}

std::optional<int> Pool::vacant_slot() const {
  const auto free = std::find(slots_.begin(), slots_.end(), std::nullopt);
  if (free == slots_.end()) return std::nullopt;
  return static_cast<int>(free - slots_.begin());
}

bool Pool::spawn(int slot, Clock::time_point now) {
  parts_.board.occupy(slot);
  auto spawned = spawner_.spawn({.pool = parts_.config,
                                 .identity = parts_.identity ? &*parts_.identity : nullptr,
                                 .board = &parts_.board,
                                 .totals = &totals(),
                                 .listener = listener(),
                                 .access_log = parts_.access_log.get(),
                                 .slow_log = parts_.slow_log.get(),
                                 .wakeup = wakeup(),
                                 .slot = slot,
                                 .log_generation = pulse().log_generation.load()});
  if (!spawned) {
    parts_.board.vacate(slot);
    log::in_pool(log::Level::error, config().name, "cannot start a worker: {}",
                 spawned.error().text());
    start_failed(now);
    return false;
  }
  Worker worker;
  worker.pid = spawned->pid;
  worker.started = now;
  worker.channel = std::move(spawned->channel);
  if (spawned->out) {
    worker.output =
        watch_output_(config(), worker.pid, std::move(spawned->out), std::move(spawned->err));
  }
  // As php-fpm: the first workers are no news, one that takes a dead one's place is.
  log::in_pool(serving_ ? log::Level::notice : log::Level::debug, config().name,
               "child {} started", worker.pid);
  slots_[static_cast<std::size_t>(slot)] = std::move(worker);
  ++workers_;
  return true;
}

void Pool::start_failed(Clock::time_point now) {
  const milliseconds wait = backoff_.failed();
  // Several workers that fail together are one failure: the longest wait counts.
  retry_at_ = std::max(retry_at_.value_or(now), now + wait);
}

bool Pool::reap(const os::Exit& exit, Clock::time_point now) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const auto& worker) {
    return worker && worker->pid == exit.pid;
  });
  if (found == slots_.end()) return false;
  const int slot = static_cast<int>(found - slots_.begin());
  const Stage stage = parts_.board.stage(slot);
  const bool was_ready = stage != Stage::starting;
  tell_end(**found, slot, exit, now);
  log_lost_request(slot, exit);
  const bool failed_start = !was_ready && !(*found)->asked;
  if ((*found)->asked) --asked_;
  found->reset();
  parts_.board.vacate(slot);
  --workers_;
  if (failed_start) {
    start_failed(now);
  } else if (was_ready) {
    backoff_.succeeded();
  }
  return true;
}

void Pool::stop(policy::Push push) {
  using scoreboard::Draining;
  stopping_ = true;
  retry_at_.reset();
  const bool quit = push == policy::Push::quit;
  // A socket that a service manager keeps listens on for our successor; its queue is not ours alone.
  if (quit && !parts_.listener.lent()) {
    parts_.listener.close_queue();
  } else {
    parts_.listener.unlink();
  }
  parts_.board.pulse().draining.store(
      static_cast<std::uint32_t>(quit && !parts_.listener.lent() ? Draining::serve_queue
                                                                 : Draining::leave),
      std::memory_order_seq_cst);
  const int signal = quit                                ? SIGQUIT
                     : push == policy::Push::terminate ? SIGTERM
                                                       : SIGKILL;
  for (auto& worker : slots_) {
    if (!worker) continue;
    if (!worker->asked) ++asked_;
    worker->asked = true;
    spawner_.signal(worker->pid, signal);
  }
}

bool Pool::release_address() {
  if (released_) return true;
  if (os::listen_queue_length(listener()).value_or(0) > 0 && workers_ > 0) return false;
  released_ = true;
  if (config().listen.is_unix()) return true;  // the path is free already
  parts_.board.pulse().draining.store(static_cast<std::uint32_t>(scoreboard::Draining::leave),
                                      std::memory_order_seq_cst);
  for (const auto& worker : slots_) {
    if (worker) spawner_.signal(worker->pid, SIGQUIT);
  }
  parts_.listener.close();
  return true;
}

bool Pool::relieve() {
  scoreboard::Board& board = parts_.board;
  const scoreboard::Board::Counts counts = board.counts();
  if (counts.kept == 0 || counts.idle > counts.kept) return false;
  unsigned waiting = os::listen_queue_length(listener()).value_or(1);
  if (waiting == 0) return false;
  for (int slot = 0; slot < board.slots() && waiting > 0; ++slot) {
    const auto& worker = slots_[static_cast<std::size_t>(slot)];
    const scoreboard::Moment now = board.moment(slot);
    if (!worker || !scoreboard::is_idle(now.stage) || !now.kept) continue;
    spawner_.signal(worker->pid, wake_signal());
    --waiting;
  }
  return true;
}

void Pool::note_peaks() {
  scoreboard::Totals& totals = this->totals();
  const auto active = static_cast<std::uint32_t>(parts_.board.counts().active);
  if (active > totals.max_active.load(std::memory_order_relaxed)) {
    totals.max_active.store(active, std::memory_order_relaxed);
  }
  if (active == 0) return;  // nobody can be waiting for long
  const unsigned queue = os::listen_queue_length(listener()).value_or(0);
  if (queue > totals.max_listen_queue.load(std::memory_order_relaxed)) {
    totals.max_listen_queue.store(queue, std::memory_order_relaxed);
  }
}

}  // namespace fpm::master
