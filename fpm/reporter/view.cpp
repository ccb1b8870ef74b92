#include "fpm/reporter/view.hpp"

#include <algorithm>

namespace fpm::reporter {

namespace {

/// A number from the master that is far beyond any configuration would be a bug of ours.
constexpr std::uint32_t kMostEntries = 1'000'000;

/// Puts what is new into its places. @return false: something is missing, nothing has changed.
template <class Entry>
bool settle(std::vector<Entry>& shown, std::unordered_map<std::uint32_t, Entry>& fresh,
            std::uint32_t count) {
  if (count > kMostEntries) return false;
  std::vector<Entry> next(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto found = fresh.find(i);
    if (found != fresh.end()) {
      next[i] = std::move(found->second);
    } else if (i < shown.size()) {
      next[i] = shown[i];
    }
    if (next[i] == nullptr) return false;
  }
  shown = std::move(next);
  fresh.clear();
  return true;
}

template <class Value>
void forget_unused(std::unordered_map<std::uint64_t, std::shared_ptr<Value>>& known) {
  std::erase_if(known, [](const auto& entry) { return entry.second.use_count() == 1; });
}

}  // namespace

std::string View::take(const Message& message, os::Packet& packet) {
  return std::visit([&](const auto& item) { return take(item, packet); }, message);
}

std::string View::take(const Mapping& mapping, os::Packet& packet) {
  if (packet.fd_count != 1) return "a mapping without its descriptor";
  const int fd = packet.fds[0].get();
  if (mapping.door != 0) {
    auto door = scoreboard::DoorBoard::attach(fd);
    if (!door) return door.error().text();
    doors_[mapping.key] = std::make_shared<const scoreboard::DoorBoard>(std::move(*door));
    return {};
  }
  if (mapping.slots == 0) {
    auto ledger = scoreboard::Ledger::attach(fd);
    if (!ledger) return ledger.error().text();
    totals_[mapping.key] = std::make_shared<TotalsMemory>(TotalsMemory{std::move(*ledger), {}});
    return {};
  }
  auto board = scoreboard::Board::attach(fd, mapping.slots);
  if (!board) return board.error().text();
  boards_[mapping.key] = std::make_shared<const scoreboard::Board>(std::move(*board));
  return {};
}

std::string View::take(const PoolNews& news, os::Packet&) {
  auto known = std::make_shared<Known>();
  known->news = news;
  if (news.totals != 0) {
    const auto found = totals_.find(news.totals);
    if (found == totals_.end()) return "a pool with unknown totals";
    known->totals = found->second;
  }
  for (const std::uint64_t key : news.boards) {
    const auto found = boards_.find(key);
    if (found == boards_.end()) return "a pool with an unknown scoreboard";
    known->boards.push_back(found->second);
  }
  for (const std::uint64_t key : news.doors) {
    const auto found = doors_.find(key);
    if (found == doors_.end()) return "a pool with an unknown door";
    known->doors.push_back(found->second);
  }
  new_pools_[news.index] = std::move(known);
  return {};
}

std::string View::take(const PlaceNews& news, os::Packet& packet) {
  if (packet.fd_count == 1) {
    sockets_[news.key] = std::make_shared<os::UniqueFd>(std::move(packet.fds[0]));
  }
  const auto found = sockets_.find(news.key);
  if (found == sockets_.end()) return "an address without its socket";
  new_places_[news.index] =
      std::make_shared<const Place>(news.pool, news.allowed_clients, found->second);
  return {};
}

std::string View::take(const Commit& commit, os::Packet&) {
  if (!settle(shown_, new_pools_, commit.pools)) return "a pool is missing";
  by_name_.clear();
  for (std::size_t i = 0; i < shown_.size(); ++i) by_name_.emplace(shown_[i]->news.name, i);
  if (!settle(places_, new_places_, commit.places)) return "an address is missing";
  forget_unused(totals_);
  forget_unused(boards_);
  forget_unused(doors_);
  forget_unused(sockets_);
  ++commits_;
  return {};
}

std::optional<std::size_t> View::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

scoreboard::PoolSnapshot View::snapshot(std::size_t index, bool full) {
  const Known& known = *shown_[index];
  const PoolNews& news = known.news;
  scoreboard::PoolSnapshot seen;
  if (!known.boards.empty()) seen = known.boards.front()->snapshot(full);
  seen.now = std::chrono::system_clock::now();
  for (std::size_t i = 1; i < known.boards.size(); ++i) {
    scoreboard::merge(seen, known.boards[i]->snapshot(full));
  }
  if (known.totals != nullptr) {
    scoreboard::read_totals(known.totals->ledger.totals(), seen);
  } else {
    seen.started = scoreboard::as_time(news.started_ns);
    seen.state = static_cast<scoreboard::PoolState>(news.state);
    seen.generation = news.generation;
    seen.reloads = news.reloads;
    seen.reloads_failed = news.reloads_failed;
    if (news.last_reload_ns != 0) seen.last_reload = scoreboard::as_time(news.last_reload_ns);
  }
  for (const auto& door : known.doors) {
    if (!seen.door) seen.door.emplace();
    seen.door->add(door->counts());
  }
  seen.name = news.name;
  seen.process_manager = news.process_manager;
  seen.max_children = news.max_children;
  seen.listen_queue = queues_.length(news.listener);
  seen.max_listen_queue = std::max(seen.max_listen_queue, seen.listen_queue.value_or(0));
  seen.listen_queue_limit = news.listen_queue_limit;
  return seen;
}

std::vector<scoreboard::PoolSnapshot> View::snapshots(const std::vector<std::size_t>& indexes,
                                                      bool full) {
  constexpr std::size_t kMany = 32;
  if (indexes.size() > kMany) queues_.ask_for_all();
  std::vector<scoreboard::PoolSnapshot> pools;
  pools.reserve(indexes.size());
  for (const std::size_t index : indexes) pools.push_back(snapshot(index, full));
  queues_.forget_all();
  return pools;
}

scoreboard::HistogramSnapshot View::recent_wait(std::size_t index, Time now) const {
  const Known& known = *shown_[index];
  if (known.totals == nullptr) return {};
  return known.totals->waits.recent(now, known.totals->ledger.totals());
}

void View::sample(Time now) {
  for (const auto& known : shown_) {
    if (known->totals != nullptr) {
      known->totals->waits.sample(now, known->totals->ledger.totals());
    }
  }
}

}  // namespace fpm::reporter
