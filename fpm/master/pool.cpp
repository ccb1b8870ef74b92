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
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/os/sibling.hpp"
#include "fpm/policy/scaling.hpp"

namespace fpm::master {

namespace {
/// A front that opens connections while it keeps one has most likely chosen that for its next request
/// already, which is on its way: behind nginx, which takes kept ones first, closing one that was used just
/// now lost 1 POST in 1,000.
constexpr std::uint64_t kJustUsedNs = 50'000'000;
constexpr std::uint64_t kBetweenReliefNs = 5'000'000;
}  // namespace

using scoreboard::ExitCause;
using scoreboard::Stage;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

os::Result<Pool::Parts> Pool::open_parts(config::Pool config,
                                         std::optional<os::Identity> identity) {
  Parts parts;
  const auto open = [](const char* what, const std::string& path) -> os::Result<os::UniqueFd> {
    if (path.empty()) return os::UniqueFd();
    auto opened = log::open_file(path);
    if (opened) return opened;
    return os::Error(opened.error().code, fmt::format("failed to open {} ({})", what, path));
  };
  auto access_log = open("access log", config.access_log);
  if (!access_log) return access_log.error();
  auto slow_log = open("slow log", config.slowlog);
  if (!slow_log) return slow_log.error();
  // Opened again by use_output_log(), when the generation begins.
  if (auto output = open("output log", config.output_log); !output) return output.error();
  parts.config = std::make_unique<config::Pool>(std::move(config));
  parts.identity = std::move(identity);
  parts.access_log = std::move(*access_log);
  parts.slow_log = std::move(*slow_log);
  return parts;
}

Pool::Pool(Parts parts, Spawner& spawner, WatchOutput watch_output)
    : parts_(std::move(parts)), spawner_(spawner), watch_output_(std::move(watch_output)) {
  if (parts_.access_log) {
    // It was checked when the configuration was read.
    access_format_ = log::compile_access_format(config().access_format).format;
  }
}

/// What the workers share. Made with the first of them: 5,000 idle pools cost no memory.
os::Result<void> Pool::make_memory() {
  if (auto totals = parts_.account->open(); !totals) return totals.error();
  if (board_) return {};
  wakeup_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup_) return os::last_error("eventfd");
  // One slot more than workers: for the successor of one that is on its last request.
  auto board = scoreboard::Board::create(config().max_children + 1);
  if (!board) return board.error();
  board_ = std::move(*board);
  slots_.resize(static_cast<std::size_t>(board_.slots()));
  pulse().threshold.store(policy::spare_threshold(config()));
  pulse().announce.store(announce_ ? 2 : 0);
  // The first worker may take a client before the next look.
  pulse().armed.store(1, std::memory_order_seq_cst);
  return {};
}

void Pool::start(Clock::time_point now, int room, int least, bool told) {
  announce_ = told;
  // Others only begin with so many.
  least_ = config().handler == config::HandlerKind::fastcgi ? least : 0;
  const int wanted = std::max(policy::workers_at_start(config()), least);
  spawn_some(std::min(wanted, room), now);
  serving_ = true;
}

void Pool::serves_alone() {
  announce_ = false;
  least_ = 0;
  if (board_) pulse().announce.store(0);
}

bool Pool::first_workers_serve() const {
  const int serving = serving_workers();
  if (retry_at_ || workers_ > serving) return false;
  // Those that take over one by one wait for the places of the old ones: held back, and not all there.
  if (least_ > 0) return serving >= std::min(least_, config().max_children);
  return !held_back_ || workers_ > 0;  // process.max: the others follow
}

void Pool::use_output_log() const {
  if (config().output_log.empty()) {
    log::close_output(config().name);
  } else if (auto opened = log::open_output(config().name, config().output_log); !opened) {
    log::in_pool(log::Level::error, config().name, "failed to open output log ({}): {}",
                 config().output_log, opened.error().text());
  }
}

bool Pool::grow(Clock::time_point now, int room) {
  if (stopping_ || (retry_at_ && now < *retry_at_)) return false;
  retry_at_.reset();
  // Armed before the count: whoever takes a place after this is seen by one of the two. A static
  // pool has nothing to do for it, and a full one neither.
  const bool elastic = config().pm != config::ProcessManager::static_pm;
  if (board_ && elastic && workers_ < config().max_children) {
    pulse().armed.store(1, std::memory_order_seq_cst);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const policy::Workers seen = count();
  policy::ScalingPlan plan = policy::plan_growth(config(), seen, room);
  const int missing = std::min(least_, config().max_children) - seen.alive();
  if (missing > plan.spawn) {
    plan.spawn = std::min(missing, std::max(0, room));
    plan.held_back = missing > plan.spawn;
  }
  held_back_ = plan.held_back;
  if (seen.idle + seen.active > 0) dismiss_stand_in();
  const int owed = std::min(std::exchange(owed_, 0), room);
  // A stand-in takes every client: none waits any more that would ask for another try.
  const int tried = stand_in() && orders_ == 0 ? 1 : 0;
  spawn_some(std::min(std::max({plan.spawn, owed, tried}), room), now);
  // A crowd may be there before the first worker, with which the memory for the count is made.
  tell_limit(plan.at_limit && static_cast<bool>(board_));
  if (board_) replace_retiring(now, room);
  return plan.again && !retry_at_;
}

/// Workers that take long to start and have done enough serve until others are ready in their
/// place: one at a time, so that there is never more than one beyond pm.max_children.
void Pool::replace_retiring(Clock::time_point now, int room) {
  bool on_the_way = false;
  for (int slot = 0; slot < board_.slots(); ++slot) {
    auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (!worker || !worker->successor) continue;
    const Stage stage = board_.stage(slot);
    if (scoreboard::is_idle(stage) || scoreboard::is_active(stage)) {
      worker->successor = false;
      let_one_retire();
    } else {
      on_the_way = true;
    }
  }
  const int leaving = std::max(0, pulse().relieved.load(std::memory_order_relaxed)) + asked_;
  if (on_the_way || retry_at_ || board_.counts().retiring <= leaving) return;
  const auto slot = vacant_slot();
  if (!slot || room <= 0 || workers_ > config().max_children) return;
  pulse().announce.store(1);
  const bool coming = has_template() ? order(*slot, now) : spawn(*slot, now);
  auto& successor = slots_[static_cast<std::size_t>(*slot)];
  if (coming && successor) successor->successor = true;
}

/// One that is idle at once, else the first that comes to the end of its request.
void Pool::let_one_retire() {
  for (int slot = 0; slot < board_.slots(); ++slot) {
    if (board_.retires(slot) && ask_to_leave(slot, ExitCause::done)) return;
  }
  pulse().relieved.fetch_add(1, std::memory_order_relaxed);
}

policy::Workers Pool::count() const {
  const scoreboard::Board::Counts counts = board_ ? count_anew() : scoreboard::Board::Counts{};
  policy::Workers workers;
  workers.idle = counts.idle;
  workers.active = counts.active;
  workers.starting = workers_ - counts.idle - counts.active;
  workers.last = counts.last;
  if (const auto slot = stand_in()) {
    const Stage stage = board_.stage(*slot);
    --(scoreboard::is_idle(stage) ? workers.idle
       : scoreboard::is_active(stage) ? workers.active : workers.starting);
  }
  for (std::size_t slot = 0; slot < slots_.size() && asked_ > 0; ++slot) {
    if (!slots_[slot] || !slots_[slot]->asked) continue;
    if (!scoreboard::is_active(board_.stage(static_cast<int>(slot)))) ++workers.leaving;
  }
  // While somebody accepts and nobody is in a request, nobody waits.
  const bool may_wait = counts.active > 0 || counts.idle == counts.kept;
  if (may_wait && config().pm != config::ProcessManager::static_pm) {
    workers.queue = static_cast<int>(os::listen_queue_length(listener()).value_or(0));
  }
  return workers;
}

/// The counts, and the hint set to them: a worker that was killed in accept never gave it back.
/// Only if no worker changed it since the count: a hint that is one too large would swallow the
/// call of the worker that takes the last place, and a burst would wait for the tick (seen in 4
/// of 180). Under a storm of changes it is left alone: they keep it.
scoreboard::Board::Counts Pool::count_anew() const {
  std::atomic<std::int32_t>& spare = pulse().spare;
  scoreboard::Board::Counts counts;
  std::int32_t hint = 0;
  int tries = 0;
  do {
    hint = spare.load(std::memory_order_seq_cst);
    counts = board_.counts();
  } while (!spare.compare_exchange_strong(hint, counts.idle - counts.kept,
                                          std::memory_order_seq_cst) &&
           ++tries < 8);
  board_.parking().correct();
  return counts;
}

void Pool::spawn_some(int wanted, Clock::time_point now) {
  if (wanted <= 0) return;
  if (auto made = make_memory(); !made) return cannot_start(made.error(), now);
  for (int i = 0; i < wanted; ++i) {
    const auto slot = vacant_slot();
    if (!slot || !(has_template() ? order(*slot, now) : spawn(*slot, now))) return;
  }
}

bool Pool::needs_listener_watch() const {
  if (stopping_ || retry_at_) return false;
  const scoreboard::Board::Counts counts = board_.counts();
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
  for (int slot = 0; slot < board_.slots(); ++slot) {
    const auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (!worker || worker->asked) continue;
    const scoreboard::Moment moment = board_.moment(slot);
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
  for (std::size_t i = 0; i < retire; ++i) ask_to_leave(idle[i].slot, ExitCause::idle);
  if (config().pm != config::ProcessManager::ondemand || idle.size() <= retire) return std::nullopt;
  return now + std::max(milliseconds(1), config().process_idle_timeout - idle[retire].since);
}

/// @return it was idle, and has been told. A last look: what has begun a request since is needed.
bool Pool::ask_to_leave(int slot, ExitCause why) {
  auto& worker = slots_[static_cast<std::size_t>(slot)];
  if (!worker || worker->asked || !scoreboard::is_idle(board_.stage(slot))) return false;
  ask(*worker, why);
  return true;
}

void Pool::ask(Worker& worker, ExitCause why) {
  worker.asked = why;
  ++asked_;
  signal(worker, SIGQUIT);
}

void Pool::give_up(int most) {
  // A kept connection may be about to be used: those last.
  for (int slot = 0; slot < board_.slots() && most > asked_; ++slot) {
    if (!board_.moment(slot).kept) ask_to_leave(slot, ExitCause::replaced);
  }
  for (const bool kept : {false, true}) {
    for (int slot = 0; slot < board_.slots() && most > asked_; ++slot) {
      auto& worker = slots_[static_cast<std::size_t>(slot)];
      if (!worker || worker->asked || board_.moment(slot).kept != kept) continue;
      ask(*worker, ExitCause::replaced);
    }
  }
}

void Pool::give_up_starting() {
  for (int slot = 0; slot < board_.slots(); ++slot) {
    auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (worker && !worker->asked && board_.stage(slot) == Stage::starting) {
      ask(*worker, ExitCause::replaced);
    }
  }
}

int Pool::serving_workers() const {
  if (!board_) return 0;
  const scoreboard::Board::Counts counts = board_.counts();
  return counts.idle + counts.active;
}

void Pool::give_up_idle(int most) {
  most -= asked_;
  for (int slot = 0; slot < board_.slots() && most > 0; ++slot) {
    if (ask_to_leave(slot, ExitCause::replaced)) --most;
  }
}

std::optional<int> Pool::vacant_slot() const {
  const auto free = std::find(slots_.begin(), slots_.end(), std::nullopt);
  if (free == slots_.end()) return std::nullopt;
  return static_cast<int>(free - slots_.begin());
}

bool Pool::spawn(int slot, Clock::time_point now, bool stand_in) {
  board_.occupy(slot);
  WorkerPlace where = place(slot);
  where.stand_in = stand_in;
  auto spawned = spawner_.spawn(where);
  if (!spawned) {
    board_.vacate(slot);
    cannot_start(spawned.error(), now);
    return false;
  }
  Worker worker;
  worker.pid = spawned->pid;
  worker.stand_in = stand_in;
  worker.started = now;
  worker.channel = std::move(spawned->channel);
  worker.out = std::move(spawned->out);
  worker.err = std::move(spawned->err);
  started(worker);
  slots_[static_cast<std::size_t>(slot)] = std::move(worker);
  ++workers_;
  return true;
}

/// There is a process.
void Pool::started(Worker& worker) {
  totals().worker_starts.fetch_add(1, std::memory_order_relaxed);
  if (worker.out) {
    worker.output =
        watch_output_(config(), worker.pid, std::move(worker.out), std::move(worker.err));
  }
  // As php-fpm: the first workers are no news, one that takes a dead one's place is.
  log::in_pool(serving_ ? log::Level::notice : log::Level::debug, config().name,
               "child {} started", worker.pid);
}

void Pool::signal(const Worker& worker, int signal) {
  if (worker.process) {
    (void)os::send_signal_to(worker.process.get(), signal);
  } else if (worker.pid > 0) {
    spawner_.signal(worker.pid, signal);
  }
}

bool Pool::has_worker(pid_t pid) const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [&](const auto& worker) { return worker && worker->pid == pid; });
}

void Pool::cannot_start(const os::Error& error, Clock::time_point now) {
  log::in_pool(log::Level::error, config().name, "cannot start a worker: {}", error.text());
  start_failed(now);
}

void Pool::start_failed(Clock::time_point now) {
  const milliseconds wait = backoff_.failed();
  if (!stopping_) parts_.account->enter(scoreboard::PoolState::failing);
  // Several workers that fail together are one failure: the longest wait counts.
  retry_at_ = std::max(retry_at_.value_or(now), now + wait);
}

bool Pool::reap(const os::Exit& exit, Clock::time_point now) {
  if (template_ && template_->pid() == exit.pid) {
    template_ended(exit, now);
    return true;
  }
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const auto& worker) {
    return worker && worker->pid == exit.pid;
  });
  if (found == slots_.end()) return false;
  const int slot = static_cast<int>(found - slots_.begin());
  const Stage stage = board_.stage(slot);
  const bool was_ready = stage != Stage::starting;
  read_reports(**found);
  tell_end(**found, slot, exit, now);
  log_lost_request(slot, exit);
  count_exit(slot, exit, was_ready);
  const bool failed_start = !was_ready && !(*found)->asked && !(*found)->stand_in;
  const bool succeeded = was_ready && !(*found)->stand_in;
  if ((*found)->asked) --asked_;
  found->reset();
  board_.vacate(slot);
  --workers_;
  if (failed_start) {
    start_failed(now);
    put_stand_in(now);
  } else if (succeeded) {
    backoff_.succeeded();
  }
  return true;
}

/// No new client gets into the queue, and those that are in it are served. A socket that a service
/// manager keeps listens on for our successor; its queue is not ours alone.
void Pool::close_queue() {
  using scoreboard::Draining;
  const bool lent = parts_.listener->lent();
  if (!lent) parts_.listener->close_queue();
  if (!board_) return;
  pulse().draining.store(static_cast<std::uint32_t>(lent ? Draining::leave : Draining::serve_queue),
                         std::memory_order_seq_cst);
}

void Pool::drain(bool hand_on) {
  stopping_ = true;
  end_template();
  retry_at_.reset();
  released_ = hand_on;
  if (!hand_on) {
    close_queue();
  } else if (board_) {
    pulse().draining.store(static_cast<std::uint32_t>(scoreboard::Draining::leave),
                           std::memory_order_seq_cst);
  }
  // Flag first, then the look at each, and the workers the other way round: who enters accept after
  // the look has seen the flag.
  for (int slot = 0; slot < board_.slots(); ++slot) {
    if (!board_.moment(slot).kept) ask_to_leave(slot, ExitCause::replaced);
  }
}

void Pool::close_kept() {
  for (int slot = 0; slot < board_.slots(); ++slot) {
    if (board_.moment(slot).kept) ask_to_leave(slot, ExitCause::replaced);
  }
}

void Pool::stop(policy::Push push) {
  stopping_ = true;
  end_template();
  retry_at_.reset();
  if (push == policy::Push::quit) {
    close_queue();
  } else {
    parts_.listener->unlink();
    if (board_) pulse().draining.store(static_cast<std::uint32_t>(scoreboard::Draining::leave),
                                       std::memory_order_seq_cst);
  }
  this->push(push);
}

void Pool::push(policy::Push push) {
  const int number = push == policy::Push::quit        ? SIGQUIT
                     : push == policy::Push::terminate ? SIGTERM
                                                       : SIGKILL;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    auto& worker = slots_[slot];
    if (!worker) continue;
    if (!worker->asked) ++asked_;
    worker->asked = worker->asked.value_or(ExitCause::replaced);
    if (push == policy::Push::quit && is_in_request(static_cast<int>(slot))) continue;
    signal(*worker, number);
  }
}

/// A signal would cut short a sleep or a call of the application. The flag of draining, which was set
/// before this look, is enough: the worker looks at it before it waits for anybody again.
bool Pool::is_in_request(int slot) const {
  return scoreboard::is_active(board_.stage(slot));
}

bool Pool::release_address() {
  if (released_) return true;
  if (workers_ > 0 && os::listen_queue_length(listener()).value_or(0) > 0) return false;
  released_ = true;
  if (config().listen.is_unix()) return true;  // the path is free already
  if (board_) pulse().draining.store(static_cast<std::uint32_t>(scoreboard::Draining::leave),
                                     std::memory_order_seq_cst);
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    const auto& worker = slots_[slot];
    if (worker && !is_in_request(static_cast<int>(slot))) signal(*worker, SIGQUIT);
  }
  parts_.listener->release();
  return true;
}

bool Pool::relieve() {
  const scoreboard::Board& board = board_;
  const scoreboard::Board::Counts counts = board.counts();
  if (stopping_ || counts.kept == 0 || counts.idle > counts.kept) return false;
  unsigned waiting = os::listen_queue_length(listener()).value_or(1);
  if (waiting == 0) return false;
  std::vector<scoreboard::Moment> kept;
  const std::uint64_t now_ns = scoreboard::monotonic_ns();
  // Each takes some time to go: a second signal would find it at that.
  if (now_ns < relieved_ns_ + kBetweenReliefNs) return true;
  relieved_ns_ = now_ns;
  for (int slot = 0; slot < board.slots(); ++slot) {
    const scoreboard::Moment now = board.moment(slot);
    if (!slots_[static_cast<std::size_t>(slot)] || !scoreboard::is_idle(now.stage) || !now.kept) continue;
    if (now.idle_since_ns + kJustUsedNs <= now_ns) kept.push_back(now);
  }
  // The longest idle ones: fronts take the connection first that they used last, and whoever closes
  // one that was just chosen loses its request.
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a.idle_since_ns < b.idle_since_ns; });
  for (std::size_t i = 0; i < kept.size() && waiting > 0; ++i, --waiting) {
    signal(*slots_[static_cast<std::size_t>(kept[i].slot)], wake_signal());
  }
  return true;
}

void Pool::note_peaks() {
  scoreboard::Totals& totals = this->totals();
  const auto active = static_cast<std::uint32_t>(board_.counts().active);
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
