#include "fpm/master/door.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <list>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/master/door_process.hpp"
#include "fpm/master/guarded.hpp"

namespace fpm::master {

namespace asio = boost::asio;
using std::chrono::milliseconds;

class Doors::Impl {
 public:
  Impl(asio::io_context& io, std::function<void()> changed)
      : io_(io), changed_(std::move(changed)) {}

  void use(DoorParts parts, std::shared_ptr<Listener> pool);
  void finish(const std::string& pool, milliseconds patience, std::function<void()> then);
  void finish_all(milliseconds patience, std::function<void()> then);
  void kill_all();
  bool reap(const os::Exit& exit);
  bool is(pid_t pid) const;
  bool any() const;
  bool reopen_logs();
  std::shared_ptr<Listener> listener(const config::Address& address) const;
  std::vector<const scoreboard::DoorBoard*> boards(const std::string& pool) const;

 private:
  /// The doors of one pool that serve.
  struct Serving {
    std::shared_ptr<DoorParts> parts;
    std::string who;
    std::vector<std::unique_ptr<Door>> doors;
  };
  struct Waiting {
    std::string pool;  ///< empty: all
    std::function<void()> then;
  };

  void retire(Serving& serving, std::size_t keep, milliseconds patience);
  void retire_all(Serving& serving, milliseconds patience);
  void retire_last(Serving& serving, bool serve_queue, milliseconds patience);
  void bury(std::unique_ptr<Door> door);
  void tell_ended();
  bool has_any(const std::string& pool) const;

  asio::io_context& io_;
  const std::function<void()> changed_;
  std::map<std::string, Serving> serving_;
  std::list<std::unique_ptr<Door>> finishing_;
  std::list<Waiting> waiting_;
};

void Doors::Impl::use(DoorParts parts, std::shared_ptr<Listener> pool) {
  const std::string name = parts.config.name;
  const auto wanted = static_cast<std::size_t>(parts.config.http_workers);
  const auto patience = milliseconds(parts.config.http_write_timeout.count() + 30'000);
  Serving& serving = serving_[name];
  const std::string identity = fmt::format(
      "{} {}", door_identity(parts, *pool),
      parts.config.rlimit_files ? fmt::format("{}", *parts.config.rlimit_files) : "-");
  const bool moved = serving.parts && serving.parts->listener != parts.listener;
  // With the same socket the new doors take who waits there.
  if (moved || serving.who != identity) retire_all(serving, patience);
  serving.parts = std::make_shared<DoorParts>(std::move(parts));
  serving.who = identity;
  retire(serving, wanted, patience);
  for (const auto& door : serving.doors) door->use(serving.parts, pool);
  log::in_pool(log::Level::notice, name, "the door listens at {}",
               door_address(*serving.parts->listener));
  while (serving.doors.size() < wanted) {
    serving.doors.push_back(std::make_unique<Door>(io_, serving.parts, pool, changed_));
    serving.doors.back()->start();
  }
}

/// All but the first `keep` finish; those take who waits at the socket.
void Doors::Impl::retire(Serving& serving, std::size_t keep, milliseconds patience) {
  while (serving.doors.size() > keep) retire_last(serving, false, patience);
}

/// All finish, and their address is given free at once, unless another pool has taken the socket over.
void Doors::Impl::retire_all(Serving& serving, milliseconds patience) {
  const bool last = serving.parts && serving.parts->listener.use_count() == 1 && !serving.parts->listener->lent();
  if (last) serving.parts->listener->close_door();
  while (!serving.doors.empty()) retire_last(serving, last, patience);
  serving.parts.reset();
}

void Doors::Impl::retire_last(Serving& serving, bool serve_queue, milliseconds patience) {
  std::unique_ptr<Door> door = std::move(serving.doors.back());
  serving.doors.pop_back();
  door->finish(serve_queue, patience);
  finishing_.push_back(std::move(door));
}

void Doors::Impl::finish(const std::string& pool, milliseconds patience,
                         std::function<void()> then) {
  if (const auto found = serving_.find(pool); found != serving_.end()) {
    retire_all(found->second, patience);
    serving_.erase(found);
  }
  if (then) waiting_.push_back({pool, std::move(then)});
  tell_ended();
}

void Doors::Impl::finish_all(milliseconds patience, std::function<void()> then) {
  for (auto& [name, serving] : serving_) retire_all(serving, patience);
  serving_.clear();
  if (then) waiting_.push_back({{}, std::move(then)});
  tell_ended();
}

void Doors::Impl::kill_all() {
  for (auto& [name, serving] : serving_) retire_all(serving, milliseconds(0));
  serving_.clear();
  for (const auto& door : finishing_) door->kill();
}

bool Doors::Impl::is(pid_t pid) const {
  const auto matches = [pid](const auto& door) { return door->is(pid); };
  return std::any_of(finishing_.begin(), finishing_.end(), matches) ||
         std::any_of(serving_.begin(), serving_.end(), [&](const auto& serving) {
           const auto& doors = serving.second.doors;
           return std::any_of(doors.begin(), doors.end(), matches);
         });
}

bool Doors::Impl::reap(const os::Exit& exit) {
  for (auto& [name, serving] : serving_) {
    for (const auto& door : serving.doors) {
      if (door->reap(exit)) return true;
    }
  }
  for (auto door = finishing_.begin(); door != finishing_.end(); ++door) {
    if (!(*door)->reap(exit)) continue;
    bury(std::move(*door));
    finishing_.erase(door);
    tell_ended();
    return true;
  }
  return false;
}

bool Doors::Impl::has_any(const std::string& pool) const {
  if (pool.empty()) return any();
  return serving_.contains(pool) ||
         std::any_of(finishing_.begin(), finishing_.end(),
                     [&](const auto& door) { return door->pool() == pool && door->alive(); });
}

/// What its timers have put into the loop already comes first. Its counters stay with the pool.
void Doors::Impl::bury(std::unique_ptr<Door> door) {
  const auto found = serving_.find(door->pool());
  if (found != serving_.end() && !found->second.doors.empty()) {
    door->board().move_counters(found->second.doors.front()->board());
  }
  changed_();
  asio::post(io_, [ended = std::move(door)] {});
}

/// Not from within the call that has made the last one end.
void Doors::Impl::tell_ended() {
  for (auto door = finishing_.begin(); door != finishing_.end();) {
    if ((*door)->alive()) {
      ++door;
      continue;
    }
    bury(std::move(*door));
    door = finishing_.erase(door);
  }
  for (auto one = waiting_.begin(); one != waiting_.end();) {
    if (has_any(one->pool)) {
      ++one;
      continue;
    }
    asio::post(io_, [then = std::move(one->then)] { guarded(then); });
    one = waiting_.erase(one);
  }
}

bool Doors::Impl::any() const { return !serving_.empty() || !finishing_.empty(); }

bool Doors::Impl::reopen_logs() {
  bool all = true;
  for (auto& [name, serving] : serving_) {
    const std::string& path = serving.parts->config.access_log;
    if (path.empty()) continue;
    if (auto opened = log::open_file(path)) {
      serving.parts->access_log = std::move(*opened);
      for (const auto& door : serving.doors) door->new_log();
    } else {
      log::in_pool(log::Level::error, name, "failed to reopen access log ({}): {}", path,
                   opened.error().text());
      all = false;
    }
  }
  return all;
}

std::shared_ptr<Listener> Doors::Impl::listener(const config::Address& address) const {
  for (const auto& [name, serving] : serving_) {
    if (serving.parts->listener->is_at(address)) return serving.parts->listener;
  }
  return nullptr;
}

std::vector<const scoreboard::DoorBoard*> Doors::Impl::boards(const std::string& pool) const {
  std::vector<const scoreboard::DoorBoard*> boards;
  if (const auto found = serving_.find(pool); found != serving_.end()) {
    for (const auto& door : found->second.doors) {
      if (door->board()) boards.push_back(&door->board());
    }
  }
  for (const auto& door : finishing_) {
    if (door->pool() == pool && door->board()) boards.push_back(&door->board());
  }
  return boards;
}

Doors::Doors(asio::io_context& io, std::function<void()> changed)
    : impl_(std::make_unique<Impl>(io, std::move(changed))) {}
Doors::~Doors() = default;
void Doors::use(DoorParts parts, std::shared_ptr<Listener> pool) {
  impl_->use(std::move(parts), std::move(pool));
}
void Doors::finish(const std::string& pool, milliseconds patience, std::function<void()> then) {
  impl_->finish(pool, patience, std::move(then));
}
void Doors::finish_all(milliseconds patience, std::function<void()> then) {
  impl_->finish_all(patience, std::move(then));
}
void Doors::kill_all() { impl_->kill_all(); }
bool Doors::reap(const os::Exit& exit) { return impl_->reap(exit); }
bool Doors::is(pid_t pid) const { return impl_->is(pid); }
bool Doors::any() const { return impl_->any(); }
bool Doors::reopen_logs() { return impl_->reopen_logs(); }
std::shared_ptr<Listener> Doors::listener(const config::Address& address) const {
  return impl_->listener(address);
}
std::vector<const scoreboard::DoorBoard*> Doors::boards(const std::string& pool) const {
  return impl_->boards(pool);
}

}  // namespace fpm::master
