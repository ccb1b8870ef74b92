// Opening what the reporter is made of.
#include <unistd.h>

#include <unordered_map>

#include "fpm/log/log.hpp"
#include "fpm/master/reporter.hpp"

namespace fpm::master {

namespace {

/// status.listen as a pool's `listen`. Its file is for every user of the machine, as 127.0.0.1 is.
config::Pool general_place(const config::Global& global) {
  config::Pool place;
  place.listen = global.status_listen;
  place.place = global.status_listen_place;
  place.listen_mode = "0666";
  place.listen_allowed_clients = global.status_allowed_clients;
  return place;
}

/// pm.status_listen with the owner, mode, list and backlog of the pool's own socket.
config::Pool pool_place(const config::Pool& pool) {
  config::Pool place;
  place.name = pool.name;
  place.place = pool.place;
  place.listen = pool.status_listen;
  place.listen_backlog = pool.listen_backlog;
  place.listen_acl_users = pool.listen_acl_users;
  place.listen_acl_groups = pool.listen_acl_groups;
  place.listen_owner = pool.listen_owner;
  place.listen_group = pool.listen_group;
  place.listen_mode = pool.listen_mode;
  place.listen_allowed_clients = pool.listen_allowed_clients;
  return place;
}

std::vector<config::Pool> wanted_places(const config::Config& config) {
  std::vector<config::Pool> places;
  if (!config.global.status_listen.text.empty()) places.push_back(general_place(config.global));
  for (const config::Pool& pool : config.pools) {
    if (!pool.status_listen.text.empty()) places.push_back(pool_place(pool));
  }
  return places;
}

/// Sockets that are open already, by their address as it was written.
class Before {
 public:
  explicit Before(const ReporterParts* parts) {
    if (parts == nullptr) return;
    for (const ReporterParts::Place& place : parts->places) {
      listeners_.emplace(place.listener->text(), place.listener);
    }
  }

  std::shared_ptr<Listener> at(const config::Address& address) const {
    const auto found = listeners_.find(address.text);
    if (found == listeners_.end() || !found->second->is_at(address)) return nullptr;
    return found->second;
  }

 private:
  std::unordered_map<std::string, std::shared_ptr<Listener>> listeners_;
};

os::Result<std::shared_ptr<Listener>> listener_for(const config::Pool& place, const Before& before,
                                                   os::InheritedSockets* inherited) {
  if (auto known = before.at(place.listen)) {
    if (auto done = known->apply(place); !done) return done.error();
    return known;
  }
  auto opened = Listener::open(place, inherited);
  if (!opened) return opened.error();
  return std::make_shared<Listener>(std::move(*opened));
}

void tell_refusal(const config::Pool& place, const os::Error& error) {
  if (place.name.empty()) {
    log::error("{}:{}: status.listen: {}", place.place.file, place.place.line, error.text());
  } else {
    log::error("{}:{}: [pool {}] pm.status_listen: {}", place.place.file, place.place.line,
               place.name, error.text());
  }
}

}  // namespace

std::optional<ReporterParts> open_reporter(const config::Config& config,
                                           const ReporterParts* before,
                                           os::InheritedSockets* inherited) {
  ReporterParts parts;
  const std::vector<config::Pool> wanted = wanted_places(config);
  if (wanted.empty()) return parts;
  bool all = true;
  if (::geteuid() == 0) {
    auto identity = os::resolve_identity(config.global.status_user, {});
    if (identity) {
      parts.identity = std::move(*identity);
    } else {
      all = false;
      log::error("status.user: {}", identity.error().text());
    }
  }
  const Before known(before);
  for (const config::Pool& place : wanted) {
    auto listener = listener_for(place, known, inherited);
    if (!listener) {
      all = false;
      tell_refusal(place, listener.error());
      continue;
    }
    parts.places.push_back({place.name, place.listen_allowed_clients, std::move(*listener)});
  }
  if (!all) return std::nullopt;
  return parts;
}

}  // namespace fpm::master
