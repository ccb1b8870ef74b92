#include "fpm/master/opening.hpp"

#include <unistd.h>

#include "fpm/log/log.hpp"

namespace fpm::master {

namespace {

/// Whom the pool runs as. Nothing when we are not root: workers stay who we are.
os::Result<std::optional<os::Identity>> identity_of(const config::Pool& pool,
                                                    os::Identities& identities) {
  if (::geteuid() != 0) return std::optional<os::Identity>();
  auto identity = identities.resolve(pool.user, pool.group);
  if (!identity) return identity.error();
  return std::optional<os::Identity>(std::move(*identity));
}

os::Result<std::shared_ptr<Listener>> listener_for(const config::Pool& pool,
                                                   const Existing& existing) {
  if (existing.listener) {
    if (auto known = existing.listener(pool.listen)) return known;
  }
  auto opened = Listener::open(pool, existing.inherited);
  if (!opened) return opened.error();
  return std::make_shared<Listener>(std::move(*opened));
}

os::Result<Pool::Parts> open_pool(config::Pool pool, os::Identities& identities,
                                  const Existing& existing) {
  auto identity = identity_of(pool, identities);
  if (!identity) return identity.error();
  auto listener = listener_for(pool, existing);
  if (!listener) return listener.error();
  auto parts = Pool::open_parts(std::move(pool), std::move(*identity));
  if (!parts) return parts;
  parts->listener = std::move(*listener);
  if (existing.account) parts->account = existing.account(parts->config->name);
  if (!parts->account) parts->account = std::make_shared<Account>();
  return parts;
}

}  // namespace

std::optional<std::vector<Pool::Parts>> open_pools(std::vector<config::Pool> pools,
                                                   const Existing& existing) {
  std::vector<Pool::Parts> opened;
  opened.reserve(pools.size());
  bool all = true;
  os::Identities identities;
  for (config::Pool& pool : pools) {
    const std::string name = pool.name;
    const config::Place place = pool.place;
    auto parts = open_pool(std::move(pool), identities, existing);
    if (parts) {
      opened.push_back(std::move(*parts));
      continue;
    }
    all = false;
    log::error("{}:{}: [pool {}] {}", place.file, place.line, name, parts.error().text());
  }
  if (!all) return std::nullopt;
  return opened;
}

}  // namespace fpm::master
