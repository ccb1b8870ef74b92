#include "fpm/master/reporter_news.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "fpm/os/shared_memory.hpp"
#include "fpm/os/socket.hpp"

namespace fpm::master {

namespace {

/// A file of the kernel's own file systems has one number as long as anybody holds it.
os::Result<std::uint64_t> key_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return os::last_error("fstat");
  return static_cast<std::uint64_t>(status.st_ino);
}

std::uint64_t nanoseconds(std::chrono::system_clock::time_point at) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch());
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, since.count()));
}

const char* name_of(config::ProcessManager pm) {
  switch (pm) {
    case config::ProcessManager::static_pm: return "static";
    case config::ProcessManager::dynamic: return "dynamic";
    case config::ProcessManager::ondemand: return "ondemand";
  }
  return "static";
}

void describe_account(const Account& account, reporter::PoolNews& news) {
  scoreboard::PoolSnapshot seen;
  account.describe(seen);
  news.started_ns = account.started_ns();
  news.state = static_cast<std::uint32_t>(seen.state);
  news.generation = seen.generation;
  news.reloads = seen.reloads;
  news.reloads_failed = seen.reloads_failed;
  if (seen.last_reload) news.last_reload_ns = nanoseconds(*seen.last_reload);
}

reporter::PoolNews describe(std::uint32_t index, const ReportedPool& pool, int most_backlog) {
  const config::Pool& config = *pool.config;
  reporter::PoolNews news;
  news.index = index;
  news.name = config.name;
  news.process_manager = name_of(config.pm);
  news.status_path = config.status_path;
  news.ping_path = config.ping_path;
  news.ping_response = config.ping_response;
  news.max_children = static_cast<std::uint32_t>(config.max_children);
  const int backlog = config.listen_backlog;
  news.listen_queue_limit = static_cast<std::uint32_t>(
      backlog < 0 ? most_backlog : std::min(backlog, most_backlog));
  news.ready_queue = static_cast<std::uint32_t>(config.status_ready_queue);
  news.ready_wait_ms = static_cast<std::uint64_t>(config.status_ready_wait.count());
  news.listener = os::listen_key(pool.listener);
  return news;
}

/// Sends a packet unless it is the one that was sent last.
os::Result<void> send_if_new(std::vector<std::uint64_t>& last, std::uint32_t index,
                             const ReporterPacket& packet, const ReporterNews::Send& send) {
  const std::uint64_t hash = std::hash<std::string>()(reporter::encode(packet.message));
  if (last.size() <= index) last.resize(index + 1, ~hash);
  if (last[index] == hash) return {};
  if (auto sent = send(packet); !sent) return sent;
  last[index] = hash;
  return {};
}

}  // namespace

void ReporterNews::forget() {
  mappings_.clear();
  sockets_.clear();
  pools_.clear();
  places_.clear();
  restart();
}

void ReporterNews::restart() {
  next_pool_ = next_place_ = 0;
  used_mappings_.clear();
  used_sockets_.clear();
}

os::Result<void> ReporterNews::go_on(const std::vector<ReportedPool>& pools,
                                     const ReporterParts& parts, const Send& send) {
  most_backlog_ = os::effective_backlog(-1);  // read here once, not for each of 5,000 pools
  for (; next_pool_ < pools.size(); ++next_pool_) {
    if (auto done = tell_pool(next_pool_, pools[next_pool_], send); !done) return done;
  }
  for (; next_place_ < parts.places.size(); ++next_place_) {
    if (auto done = tell_place(next_place_, parts.places[next_place_], send); !done) return done;
  }
  const reporter::Commit commit{static_cast<std::uint32_t>(pools.size()),
                                static_cast<std::uint32_t>(parts.places.size())};
  if (auto done = send({.message = commit, .owned = {}}); !done) return done;
  // As the process does now: what nothing refers to is forgotten.
  mappings_ = std::exchange(used_mappings_, {});
  sockets_ = std::exchange(used_sockets_, {});
  pools_.resize(pools.size());
  places_.resize(parts.places.size());
  restart();
  return {};
}

os::Result<void> ReporterNews::tell_pool(std::uint32_t index, const ReportedPool& pool,
                                         const Send& send) {
  reporter::PoolNews news = describe(index, pool, most_backlog_);
  if (const scoreboard::Ledger* const ledger = pool.account->ledger()) {
    const auto key = tell_mapping(ledger->memory().fd(), {}, send);
    if (!key) return key.error();
    news.totals = *key;
  } else {
    describe_account(*pool.account, news);
  }
  const std::size_t boards = std::min(pool.boards.size(), reporter::kMostBoards);
  for (std::size_t i = 0; i < boards; ++i) {
    const auto key = tell_mapping(pool.boards[i].fd, {.slots = pool.boards[i].slots}, send);
    if (!key) return key.error();
    news.boards.push_back(*key);
  }
  const std::size_t doors = std::min(pool.doors.size(), reporter::kMostBoards);
  for (std::size_t i = 0; i < doors; ++i) {
    const auto key = tell_mapping(pool.doors[i], {.door = 1}, send);
    if (!key) return key.error();
    news.doors.push_back(*key);
  }
  return send_if_new(pools_, index, {.message = std::move(news), .owned = {}}, send);
}

os::Result<void> ReporterNews::tell_place(std::uint32_t index, const ReporterParts::Place& place,
                                          const Send& send) {
  const int fd = place.listener->fd();
  const auto key = key_of(fd);
  if (!key) return key.error();
  const bool known = sockets_.contains(*key);
  ReporterPacket packet{.message = reporter::PlaceNews{index, *key, place.pool,
                                                       place.allowed_clients},
                        .owned = {},
                        .borrowed = known ? -1 : fd};
  if (auto sent = send_if_new(places_, index, packet, send); !sent) return sent;
  sockets_.insert(*key);
  used_sockets_.insert(*key);
  return {};
}

os::Result<std::uint64_t> ReporterNews::tell_mapping(int fd, reporter::Mapping mapping,
                                                    const Send& send) {
  const auto key = key_of(fd);
  if (!key) return key;
  if (!mappings_.contains(*key)) {
    auto readable = os::open_read_only(fd);
    if (!readable) return readable.error();
    mapping.key = *key;
    const ReporterPacket packet{.message = mapping, .owned = std::move(*readable)};
    if (auto sent = send(packet); !sent) return sent.error();
    mappings_.insert(*key);
  }
  used_mappings_.insert(*key);
  return *key;
}

}  // namespace fpm::master
