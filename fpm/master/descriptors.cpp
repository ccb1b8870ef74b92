#include "fpm/master/descriptors.hpp"

#include <algorithm>

namespace fpm::master {

namespace {

/// stdio, log and its copy, signals, event loop, service manager, pid file, the ends of what is
/// given to a worker that is being started.
constexpr std::uint64_t kFixed = 32;
/// Listening socket and eventfd, each twice, scoreboard, access log, output log, queue watch.
constexpr std::uint64_t kPool = 8;

bool is_captured(const config::Pool& pool) {
  return pool.catch_workers_output || !pool.output_log.empty();
}

/// Its channel, and the pipes of what it prints; where a template names it, what it is signalled by.
std::uint64_t of_worker(const config::Pool& pool) {
  return (is_captured(pool) ? 3U : 1U) + (config::runs_inside(pool) ? 1U : 0U);
}

/// Its channel, the pipes of what it prints, the slow log for its workers.
std::uint64_t of_template(const config::Pool& pool) {
  if (!config::runs_inside(pool)) return 0;
  return (is_captured(pool) ? 3U : 1U) + (pool.slowlog.empty() ? 0U : 1U);
}

/// Its channel, status.listen, every pm.status_listen, and what is on its way to it.
std::uint64_t of_reporter(const config::Config& config) {
  std::uint64_t places = config.global.status_listen.text.empty() ? 0 : 1;
  for (const config::Pool& pool : config.pools) places += pool.status_listen.text.empty() ? 0 : 1;
  return places == 0 ? 0 : places + 3;
}

/// Listening socket, access log, and of each process its channel and its memory.
std::uint64_t of_doors(const config::Pool& pool) {
  if (pool.http_listen.text.empty()) return 0;
  return 2 + 2 * static_cast<std::uint64_t>(std::max(pool.http_workers, 1));
}

}  // namespace

DescriptorNeed descriptors_needed(const config::Config& config) {
  std::uint64_t workers = 0;
  std::uint64_t dearest = 0;
  std::uint64_t count = 0;
  std::uint64_t doors = 0;
  std::uint64_t templates = 0;
  for (const config::Pool& pool : config.pools) {
    const auto children = static_cast<std::uint64_t>(std::max(pool.max_children, 0));
    workers += children * of_worker(pool);
    templates += of_template(pool);
    count += children;
    dearest = std::max(dearest, of_worker(pool));
    doors += of_doors(pool);
  }
  std::uint64_t twice = 2 * workers;
  if (config.global.process_max > 0) {
    const auto most = static_cast<std::uint64_t>(config.global.process_max) * dearest;
    if (count > static_cast<std::uint64_t>(config.global.process_max)) {
      workers = std::min(workers, most);
    }
    twice = std::min(twice, most);
  }
  const std::uint64_t pools =
      config.pools.size() * kPool + templates + of_reporter(config) + doors;
  return {kFixed + pools + workers, kFixed + 2 * pools + twice};
}

}  // namespace fpm::master
