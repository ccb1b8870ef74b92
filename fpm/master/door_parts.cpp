// Opening what doors are made of.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fpm/log/log.hpp"
#include "fpm/master/door.hpp"
#include "fpm/os/new_program.hpp"

namespace fpm::master {

namespace {

/// http.listen as a pool's `listen`, with the owner, mode and backlog of that.
config::Pool as_place(const config::Pool& pool) {
  config::Pool place;
  place.name = pool.name;
  place.place = pool.place;
  place.listen = pool.http_listen;
  place.listen_backlog = pool.listen_backlog;
  place.listen_acl_users = pool.listen_acl_users;
  place.listen_acl_groups = pool.listen_acl_groups;
  place.listen_owner = pool.listen_owner;
  place.listen_group = pool.listen_group;
  place.listen_mode = pool.written.contains("listen.mode") ? pool.listen_mode : "0666";
  return place;
}

os::Result<std::shared_ptr<Listener>> open_listener(const config::Pool& pool,
                                                    const KnownListener& known,
                                                    os::InheritedSockets* inherited) {
  const config::Pool place = as_place(pool);
  if (known) {
    if (auto there = known(place.listen)) {
      if (auto done = there->apply(place); !done) return done.error();
      return there;
    }
  }
  auto opened = Listener::open(place, inherited);
  if (!opened) return opened.error();
  return std::make_shared<Listener>(std::move(*opened));
}

os::Error about(const char* directive, const os::Error& error) {
  return {error.code, fmt::format("{}: {}", directive, error.what)};
}

os::Result<DoorParts> open_door(const config::Pool& pool, const KnownListener& known,
                                os::InheritedSockets* inherited) {
  DoorParts parts;
  if (::geteuid() == 0) {
    auto identity = os::resolve_identity(pool.user, pool.group);
    if (!identity) return identity.error();
    parts.identity = std::move(*identity);
  }
  if (!pool.http_root.empty()) {
    if (auto done = os::may_enter(parts.identity, pool.http_root); !done) {
      return about("http.root", done.error());
    }
  }
  auto listener = open_listener(pool, known, inherited);
  if (!listener) return about("http.listen", listener.error());
  parts.listener = std::move(*listener);
  if (!pool.access_log.empty()) {
    auto log = log::open_file(pool.access_log);
    if (!log) return os::Error(log.error().code, fmt::format("open access log {}", pool.access_log));
    parts.access_log = std::move(*log);
  }
  parts.config = pool;
  for (auto* secret : {&parts.config.env, &parts.config.env_written, &parts.config.fastcgi_warmup,
                       &parts.config.fastcgi_warmup_written, &parts.config.php_values,
                       &parts.config.php_admin_values}) {
    secret->clear();
  }
  return parts;
}

}  // namespace

std::optional<AllDoorParts> open_doors(const std::vector<const config::Pool*>& pools,
                                       const KnownListener& known,
                                       os::InheritedSockets* inherited) {
  AllDoorParts all;
  bool good = true;
  for (const config::Pool* const pool : pools) {
    if (pool->http_listen.text.empty()) continue;
    auto parts = open_door(*pool, known, inherited);
    if (parts) {
      all.emplace(pool->name, std::move(*parts));
      continue;
    }
    good = false;
    log::error("{}:{}: [pool {}] {}", pool->place.file, pool->place.line, pool->name,
               parts.error().text());
  }
  if (!good) return std::nullopt;
  return all;
}

std::string door_address(const Listener& listener) {
  const config::Address& address = listener.address();
  if (address.is_unix()) return fmt::format("unix:{}", address.path);
  const bool v6 = address.host.find(':') != std::string::npos;
  const std::string host = address.host.empty() ? "0.0.0.0" : address.host;
  return fmt::format("http://{}{}{}:{}/", v6 ? "[" : "", host, v6 ? "]" : "",
                     os::bound_port(listener.fd()));
}

}  // namespace fpm::master
