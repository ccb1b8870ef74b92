// What an operator asks for over the control socket.
#include <algorithm>

#include "fpm/master/loop.hpp"
#include "fpm/os/socket.hpp"

namespace fpm::master {

using scoreboard::PoolSnapshot;
using scoreboard::PoolState;

namespace {

/// Of a list: what the operator's terminal and the loop's time can take.
constexpr std::size_t kMostConnections = 1000;

const char* name_of(config::ProcessManager pm) {
  switch (pm) {
    case config::ProcessManager::static_pm: return "static";
    case config::ProcessManager::dynamic: return "dynamic";
    case config::ProcessManager::ondemand: return "ondemand";
  }
  return "static";
}

}  // namespace

Reply Master::Loop::stop(bool now) {
  if (shutdown_.stopping() && !now) return {.done = false, .text = "fpm is stopping already"};
  finish_or_terminate(now ? policy::StopOrder::terminate : policy::StopOrder::finish);
  return {.done = true, .text = now ? "fpm stops now" : "fpm finishes what runs and stops"};
}

Reply Master::Loop::drain(std::string_view pool) {
  const auto found = services_.find(std::string(pool));
  if (found == services_.end()) return {.done = false, .text = "there is no pool of that name"};
  Service& service = found->second;
  if (shutdown_.stopping()) return {.done = false, .text = "fpm is stopping"};
  if (service.drained) return {.done = false, .text = "the pool is drained already"};
  Running* const running = find(service.serving);
  if (service.starting != 0 || running == nullptr || running->replacers > 0) {
    return {.done = false, .text = "the pool is being reloaded, ask again"};
  }
  log::in_pool(log::Level::notice, pool, "the pool is taken out of service");
  service.drained = std::make_unique<Drained>(secrets_, running->pool.config());
  service.serving = 0;
  service.account->enter(PoolState::drained);
  tell_reporter();
  finish_door_then_drain(*running);
  return {.done = true, .text = "the pool drains"};
}

Reply Master::Loop::resume(std::string_view pool) {
  const auto found = services_.find(std::string(pool));
  if (found == services_.end()) return {.done = false, .text = "there is no pool of that name"};
  Service& service = found->second;
  if (shutdown_.stopping()) return {.done = false, .text = "fpm is stopping"};
  if (!service.drained) return {.done = false, .text = "the pool is in service"};
  std::vector<config::Pool> one;
  one.push_back(service.drained->config);
  auto doors = open_doors({&one.front()});
  auto parts = open_pools(std::move(one), existing());
  if (!parts || !doors) return {.done = false, .text = "it cannot be opened, the log says why"};
  service.drained.reset();
  log::in_pool(log::Level::notice, pool, "the pool is put into service again");
  Running& running = add(std::move(parts->front()));
  service.serving = running.id;
  service.account->enter(PoolState::serving);
  tell_reporter();
  (void)epoll_.add_unarmed(running.pool.listener(), listener_tag(running.id));
  running.pool.start(Clock::now(), room());
  recount(running);
  for (auto& [name, door] : *doors) opened_doors_.insert_or_assign(name, std::move(door));
  use_door(running);
  look(running.id);
  return {.done = true, .text = "the pool serves"};
}

std::vector<PoolSnapshot> Master::Loop::pools(bool full) {
  std::vector<PoolSnapshot> all;
  std::unordered_map<std::string, std::size_t> places;
  for (const std::string& name : order_) {
    const auto found = services_.find(name);
    if (found == services_.end()) continue;
    const Service& service = found->second;
    const Running* const running = find(service.serving);
    PoolSnapshot seen = running != nullptr ? running->pool.board().snapshot(full) : PoolSnapshot();
    seen.now = std::chrono::system_clock::now();
    if (service.account->totals() != nullptr) {
      scoreboard::read_totals(*service.account->totals(), seen);
    }
    service.account->describe(seen);
    for (const auto* const door : door_boards(name)) {
      if (!seen.door) seen.door.emplace();
      seen.door->add(door->counts());
    }
    seen.name = name;
    const config::Pool* const pool = running != nullptr ? &running->pool.config()
                                     : service.drained  ? &service.drained->config
                                                        : nullptr;
    if (pool != nullptr) {
      seen.process_manager = name_of(pool->pm);
      seen.max_children = static_cast<unsigned>(pool->max_children);
      seen.listen_queue_limit = static_cast<unsigned>(os::effective_backlog(pool->listen_backlog));
    }
    if (running != nullptr) seen.listen_queue = os::listen_queue_length(running->pool.listener());
    places.emplace(name, all.size());
    all.push_back(std::move(seen));
  }
  for (const auto& [id, running] : running_) {
    const auto place = places.find(running->name());
    if (place == places.end() || services_[running->name()].serving == id) continue;
    scoreboard::merge(all[place->second], running->pool.board().snapshot(full));
  }
  return all;
}

std::vector<const scoreboard::DoorBoard*> Master::Loop::door_boards(const std::string& pool) const {
  return doors_ ? doors_->boards(pool) : std::vector<const scoreboard::DoorBoard*>();
}

Reply Master::Loop::connections(std::string_view pool, scoreboard::DoorSnapshot& seen) {
  const std::string name(pool);
  const auto found = services_.find(name);
  if (found == services_.end()) return {.done = false, .text = "there is no pool of that name"};
  const auto boards = door_boards(name);
  if (boards.empty()) {
    const bool drained = found->second.drained && !found->second.drained->config.http_listen.text.empty();
    return {.done = false,
            .text = drained ? "the pool is drained, its door is closed"
                            : "the pool has no door, which http.listen would give it"};
  }
  for (const scoreboard::DoorBoard* const board : boards) seen.counts.add(board->counts());
  seen.oldest = scoreboard::oldest_connections(boards, kMostConnections);
  seen.now_ns = scoreboard::monotonic_ns();
  return {.done = true, .text = {}};
}

}  // namespace fpm::master
