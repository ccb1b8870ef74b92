// From one generation of a pool to the next, without a gap: the new one starts on the same socket,
// and when it serves the old one drains.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>

#include "fpm/config/compare.hpp"
#include "fpm/master/loop.hpp"
#include "fpm/os/wipe.hpp"
#include "fpm/policy/scaling.hpp"

namespace fpm::master {

using scoreboard::PoolState;

namespace {

/// Between reloads of all pools: of signals in quick succession some are done together, the last one
/// certainly. After each reload clients make their kept connections anew: a storm of it would be felt.
constexpr std::chrono::milliseconds kBetweenReloads{100};

/// All findings, as at the start; the first error is also what the asker is told.
std::string tell(const std::vector<config::Problem>& problems) {
  std::string first;
  for (const config::Problem& problem : problems) {
    log::write(problem.level, {}, problem.message());
    if (first.empty() && problem.level >= log::Level::error) first = problem.message();
  }
  return first;
}

}  // namespace

void Master::Loop::reload(const ReloadOrder& order, Done done) {
  if (shutdown_.stopping()) return done({.done = false, .text = "fpm is stopping"});
  const bool soon = order.pool || Clock::now() >= next_reload_;
  if (!reload_ && waiting_.empty() && soon) return begin_reload(order, {std::move(done)});
  // Once, after the one that is under way: what has changed since that one read the files counts.
  for (WaitingReload& waiting : waiting_) {
    if (!policy::merge(waiting.order, order)) continue;
    waiting.done.push_back(std::move(done));
    return;
  }
  waiting_.push_back({order, {}});
  waiting_.back().done.push_back(std::move(done));
  if (!reload_) begin_waiting_reload();
}

void Master::Loop::begin_reload(ReloadOrder order, std::vector<Done> done) {
  reload_.emplace();
  reload_->order = std::move(order);
  reload_->done = std::move(done);
  log::notice("Reloading in progress ...");
  service_manager_.reloading();
  config::Loaded loaded;
  {
    const os::FreedMemoryWiped wiped;
    loaded = surroundings_.load();
  }
  const std::string first = tell(loaded.problems);
  if (!loaded.ok()) {
    log::error("the configuration has errors: nothing is changed");
    return end_reload({.done = false, .text = first});
  }
  const bool taken = take_configuration(std::move(loaded));
  if (taken) end_if_all_started();
}

/// @return false: it was refused, and the reload has ended.
bool Master::Loop::take_configuration(config::Loaded loaded) {
  config::Config& config = loaded.config;
  std::vector<std::string> names;
  for (const config::Pool& pool : config.pools) names.push_back(pool.name);
  const policy::ReloadPlan plan =
      policy::plan_reload(reload_->order, running_pools(config), names);
  if (!plan.refused.empty()) {
    log::error("{}", plan.refused);
    end_reload({.done = false, .text = plan.refused});
    return false;
  }
  auto reporter = reload_->order.pool ? std::optional<ReporterParts>()
                                      : open_reporter(config, reporter_ ? &reporter_->parts() : nullptr);
  auto doors = doors_to_start(config, plan.start);
  auto parts = open_pools(pools_to_start(config, plan.start), existing());
  if (!parts || !doors || (!reporter && !reload_->order.pool)) {
    log::error("not all that the pools need is there: nothing is changed");
    end_reload({.done = false, .text = "not all that the pools need is there, the log says what"});
    return false;
  }
  if (!reload_->order.pool) {
    use_globals(std::move(config.global));
    order_ = names;
    if (reporter_) reporter_->use(std::move(*reporter));
  } else if (std::find(order_.begin(), order_.end(), *reload_->order.pool) == order_.end()) {
    order_.push_back(*reload_->order.pool);
  }
  spawner_.end_shared();  // another one will know the new pools, and load PHP anew
  for (auto& [name, door] : *doors) opened_doors_.insert_or_assign(name, std::move(door));
  reload_->pools = parts->size();
  log::notice("reloading: {} pool{} of {} with a new generation, {} removed", parts->size(),
              parts->size() == 1 ? "" : "s", names.size(), plan.remove.size());
  for (Pool::Parts& part : *parts) {
    if (!reload_->order.pool && !reload_->order.changed) tell_kept_socket(part);
    begin_generation(std::move(part));
  }
  for (const std::string& name : plan.remove) remove_pool(name);
  return true;
}

/// Takes these pools out of `config`. Of one that is drained the new directives wait for its resume.
std::vector<config::Pool> Master::Loop::pools_to_start(config::Config& config,
                                                       const std::vector<std::string>& names) {
  const std::set<std::string> start(names.begin(), names.end());
  std::vector<config::Pool> pools;
  for (config::Pool& pool : config.pools) {
    if (!start.contains(pool.name)) continue;
    const auto known = services_.find(pool.name);
    if (known != services_.end() && known->second.drained) {
      known->second.drained = std::make_unique<Drained>(secrets_, std::move(pool));
    } else {
      pools.push_back(std::move(pool));
    }
  }
  return pools;
}

/// Of those pools that are not drained.
std::optional<AllDoorParts> Master::Loop::doors_to_start(const config::Config& config,
                                                         const std::vector<std::string>& names) {
  const std::set<std::string> start(names.begin(), names.end());
  std::vector<const config::Pool*> pools;
  for (const config::Pool& pool : config.pools) {
    const auto known = services_.find(pool.name);
    const bool drained = known != services_.end() && known->second.drained;
    if (start.contains(pool.name) && !drained) pools.push_back(&pool);
  }
  return open_doors(pools, [this](const config::Address& address) {
    return doors_ ? doors_->listener(address) : nullptr;
  });
}

/// A generation serves: its doors take what was opened for them, or there are none any more.
void Master::Loop::use_door(Running& running) {
  if (!doors_) return;
  const auto opened = opened_doors_.find(running.name());
  if (opened == opened_doors_.end()) {
    return doors_->finish(running.name(), global_.process_control_timeout, {});
  }
  DoorParts parts = std::move(opened->second);
  opened_doors_.erase(opened);
  doors_->use(std::move(parts), running.pool.listening());
}

/// The pool goes: the requests that its doors hold need its workers still.
void Master::Loop::finish_door_then_drain(Running& running) {
  doors_->finish(running.name(), global_.process_control_timeout, [this, id = running.id] {
    Running* const last = find(id);
    if (last != nullptr && !last->pool.draining() && !shutdown_.stopping()) {
      drain_generation(*last, has_heir(*last));
    }
  });
}

/// What runs, and what of it the new configuration leaves as it is.
std::vector<policy::RunningPool> Master::Loop::running_pools(const config::Config& config) const {
  std::unordered_map<std::string, const config::Pool*> configured;
  for (const config::Pool& pool : config.pools) configured.emplace(pool.name, &pool);
  std::vector<policy::RunningPool> pools;
  for (const std::string& name : order_) {
    const auto found = services_.find(name);
    if (found == services_.end()) continue;
    const auto serving = running_.find(found->second.serving);
    const auto wanted = configured.find(name);
    const config::Pool* const now = found->second.drained       ? &found->second.drained->config
                                    : serving != running_.end() ? &serving->second->pool.config()
                                                                : nullptr;
    pools.push_back({name, now != nullptr && wanted != configured.end() &&
                               config::same_directives(*now, *wanted->second)});
  }
  return pools;
}

Existing Master::Loop::existing() {
  return {.listener =
              [this](const config::Address& address) -> std::shared_ptr<Listener> {
                for (const auto& [id, running] : running_) {
                  const auto& listener = running->pool.listening();
                  if (!running->pool.draining() && listener->is_at(address)) return listener;
                }
                return nullptr;
              },
          .account =
              [this](const std::string& name) {
                const auto found = services_.find(name);
                return found == services_.end() ? nullptr : found->second.account;
              },
          .inherited = nullptr};
}

void Master::Loop::use_globals(config::Global global) {
  for (const std::string& name : config::needing_restart(global_, global)) {
    log::notice("{} needs a restart to take effect", name);
  }
  if (surroundings_.use_log) {
    if (auto done = surroundings_.use_log(global); !done) {
      log::error("failed to open error_log ({}): {}", global.error_log, done.error().text());
    }
  }
  if (surroundings_.use_limits && (global.rlimit_files != global_.rlimit_files ||
                                   global.rlimit_core != global_.rlimit_core)) {
    if (auto limit = surroundings_.use_limits(global)) surroundings_.file_limit = limit;
  }
  shutdown_.set_patience(global.process_control_timeout);
  service_manager_.set_interval(global.systemd_interval);
  emergency_ = policy::EmergencyRestart(global.emergency_restart_threshold,
                                        global.emergency_restart_interval);
  global_ = std::move(global);
}

/// php-fpm's line: tools wait for it.
void Master::Loop::tell_kept_socket(const Pool::Parts& parts) const {
  const bool kept = std::any_of(running_.begin(), running_.end(), [&](const auto& one) {
    return one.second->pool.listening() == parts.listener;
  });
  if (!kept || parts.listener->address().hidden) return;
  log::notice("using inherited socket fd={}, \"{}\"", parts.listener->fd(),
              parts.listener->text());
}

/// It takes the place of the generation that serves, and of whoever else listens on its socket.
void Master::Loop::begin_generation(Pool::Parts parts) {
  const std::shared_ptr<Listener> listener = parts.listener;
  Running& running = add(std::move(parts));
  Service& service = services_[running.name()];
  for (const auto& [id, other] : running_) {
    const bool same_name = id == service.serving;
    const bool same_socket = other->pool.listening() == listener;
    if (id == running.id || other->pool.draining() || other->starting) continue;
    if (!same_name && !same_socket) continue;
    running.replaces.push_back(id);
    ++other->replacers;
  }
  service.starting = running.id;
  running.starting = true;
  reload_->starting.insert(running.id);
  // One for each pass of the loop, so that 1,000 pools stop nobody else's events.
  asio::post(io_, [this, id = running.id] { guarded([&] { start_generation(id); }); });
}

void Master::Loop::start_generation(GenerationId id) {
  Running* const found = find(id);
  if (found == nullptr || shutdown_.stopping()) return;
  Running& running = *found;
  (void)epoll_.add_unarmed(running.pool.listener(), listener_tag(id));  // or it is there already
  if (auto done = running.pool.listening()->apply(running.pool.config()); !done) {
    log::in_pool(log::Level::error, running.name(), "{}", done.error().text());
  }
  // Where workers are in use one is started at once: it tells whether the generation can serve.
  int in_use = 0;
  for (const GenerationId old : running.replaces) {
    if (const Running* const replaced = find(old)) in_use += replaced->pool.workers();
  }
  // One whose workers are slow to start takes over from as many as there are.
  const bool slow = succeeds_slowly(running);
  const int most = running.pool.config().max_children;
  const int least = slow ? std::min(in_use, most) : std::min(in_use, 1);
  make_room(running, slow ? std::min(1, least)
                          : std::max(least, policy::workers_at_start(running.pool.config())));
  running.pool.start(Clock::now(), room(running), least, true);
  recount(running);
  look(id);
  Running* const still = find(id);
  if (still != nullptr && still->starting) wait_for_start(*still);
}

void Master::Loop::check_start(Running& running) {
  if (running.pool.fails_to_start()) {
    generation_failed(running, "a worker cannot start");
  } else if (running.pool.first_workers_serve()) {
    generation_serves(running);
  }
}

void Master::Loop::generation_serves(Running& running) {
  running.starting = false;
  recount(running);
  running.cancel(&Timers::drain);
  running.pool.serves_alone();
  Service& service = services_[running.name()];
  service.starting = 0;
  service.serving = running.id;
  service.account->next_generation();
  service.account->enter(PoolState::serving);
  use_door(running);
  for (const GenerationId id : std::exchange(running.replaces, {})) {
    if (Running* const old = find(id)) one_replacer_less(*old, true);
  }
  if (!reload_) return;
  reload_->starting.erase(running.id);
  end_if_all_started();
}

/// What the log has said of the reason stands before this line.
void Master::Loop::generation_failed(Running& running, const char* why) {
  running.starting = false;
  Service& service = services_[running.name()];
  service.starting = 0;
  service.account->reload_failed();
  if (service.serving != 0) service.account->enter(PoolState::serving);
  log::in_pool(log::Level::error, running.name(), "the new generation does not serve: {}{}", why,
               service.serving != 0 ? "; the old one goes on" : "");
  const GenerationId id = running.id;
  if (reload_) {
    reload_->starting.erase(id);
    reload_->failed.push_back(running.name());
  }
  for (const GenerationId old : std::exchange(running.replaces, {})) {
    if (Running* const kept = find(old)) one_replacer_less(*kept, false);
  }
  if (service.serving != 0) opened_doors_.erase(running.name());
  if (service.serving == 0) {
    use_door(running);
    // A pool that is new is tried again and again, as at the start.
    service.serving = id;
    service.account->enter(PoolState::failing);
    running.pool.serves_alone();
  } else {
    running.pool.drain(has_heir(running));
    running.pool.push(policy::Push::kill);
    erase_when_empty(running);
  }
  if (reload_) end_if_all_started();
}

/// A generation that takes its place serves, or never will. It goes when all of them serve.
void Master::Loop::one_replacer_less(Running& replacing, bool serves) {
  --replacing.replacers;
  if (!serves) replacing.kept = true;
  if (replacing.replacers == 0 && !replacing.kept) {
    drain_generation(replacing, has_heir(replacing));
  }
  if (replacing.replacers == 0) replacing.kept = false;
}

void Master::Loop::remove_pool(const std::string& name) {
  const auto found = services_.find(name);
  if (found == services_.end()) return;
  Service& service = found->second;
  service.drained.reset();
  service.account->enter(PoolState::stopping);
  log::in_pool(log::Level::notice, name, "the pool is no longer configured, it ends");
  Running* const running = find(service.serving);
  service.serving = 0;
  if (running == nullptr) {
    services_.erase(found);
  } else if (running->replacers == 0) {
    finish_door_then_drain(*running);
  }
}

/// Another generation accepts at its socket.
bool Master::Loop::has_heir(const Running& running) const {
  return std::any_of(running_.begin(), running_.end(), [&](const auto& one) {
    return one.first != running.id && !one.second->pool.draining() &&
           one.second->pool.listening() == running.pool.listening();
  });
}

void Master::Loop::drain_generation(Running& running, bool hand_on) {
  running.cancel(&Timers::retry);
  running.cancel(&Timers::shrink);
  running.cancel(&Timers::relieve);
  running.cancel(&Timers::rest);
  if (!hand_on) epoll_.remove(running.pool.listener());
  running.pool.drain(hand_on);
  recount(running);
  running.pushes.emplace(global_.process_control_timeout);
  const GenerationId id = running.id;
  after(running.timers().drain, Clock::now() + running.pushes->wait(), [this, id] { push_draining(id); });
  if (!hand_on) release_addresses();
  if (running.pool.workers() > 0) return;
  // Not at once: the caller may hold it.
  asio::post(io_, [this, id] {
    guarded([&] {
      if (Running* const empty = find(id)) erase_when_empty(*empty);
    });
  });
}

void Master::Loop::push_draining(GenerationId id) {
  Running* const running = find(id);
  if (running == nullptr || shutdown_.stopping()) return;
  switch (running->pushes->next()) {
    case policy::Drain::Step::close_kept:
      running->pool.close_kept();
      break;
    case policy::Drain::Step::terminate:
      log::in_pool(log::Level::warning, running->name(),
                   "{} workers of an old generation are still in a request, they are ended now",
                   running->pool.workers());
      running->pool.push(policy::Push::terminate);
      break;
    case policy::Drain::Step::kill:
      running->pool.push(policy::Push::kill);
      break;
  }
  after(running->timers().drain, Clock::now() + running->pushes->wait(), [this, id] { push_draining(id); });
}

void Master::Loop::end_if_all_started() {
  if (!reload_ || !reload_->starting.empty()) return;
  const std::size_t failed = reload_->failed.size();
  if (!reload_->order.pool && !reload_->order.changed) {
    log::notice("fpm is running, pid {}", ::getpid());
    log::notice("ready to handle connections");
  } else {
    log::notice("reloaded: {} of {} new generations serve", reload_->pools - failed,
                reload_->pools);
  }
  if (failed > 0) {
    end_reload({.done = false,
                .text = fmt::format("{} of {} new generations do not serve, first that of pool {}",
                                    failed, reload_->pools, reload_->failed.front())});
  } else {
    end_reload({.done = true, .text = fmt::format("{} pools reloaded", reload_->pools)});
  }
}

void Master::Loop::end_reload(Reply reply) {
  const std::vector<Done> done = std::move(reload_->done);
  const bool reload_was_of_a_pool = reload_->order.pool.has_value();
  reload_.reset();
  tell_reporter();
  for (const Done& tell_asker : done) tell_asker(reply);
  if (shutdown_.stopping()) {
    for (WaitingReload& waiting : std::exchange(waiting_, {})) {
      for (const Done& tell_asker : waiting.done) tell_asker(reply);
    }
    return;
  }
  service_manager_.ready();
  if (!reload_was_of_a_pool) next_reload_ = Clock::now() + kBetweenReloads;
  begin_waiting_reload();
}

/// In a pass of its own: what the one before has left to do comes first.
void Master::Loop::begin_waiting_reload() {
  if (waiting_.empty()) return;
  const auto when = waiting_.front().order.pool ? Clock::now() : std::max(Clock::now(), next_reload_);
  after(reload_timer_, when, [this] {
    if (reload_ || waiting_.empty()) return;
    WaitingReload next = std::move(waiting_.front());
    waiting_.pop_front();
    if (!shutdown_.stopping()) return begin_reload(std::move(next.order), std::move(next.done));
    for (const Done& tell_asker : next.done) tell_asker({.done = false, .text = "fpm is stopping"});
    begin_waiting_reload();
  });
}

}  // namespace fpm::master
