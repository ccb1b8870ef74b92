// What a door is told of its pool.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "fpm/master/door.hpp"

namespace fpm::master {

namespace {

http::ScriptRule rule(config::Scripts scripts) {
  switch (scripts) {
    case config::Scripts::none: return http::ScriptRule::none;
    case config::Scripts::extension: return http::ScriptRule::extension;
    case config::Scripts::executable: return http::ScriptRule::executable;
    case config::Scripts::all: return http::ScriptRule::all;
  }
  return http::ScriptRule::none;
}

/// Where a TCP pool is reached from this machine, as bytes of a sockaddr.
std::string reachable(const Listener& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &size) < 0) return {};
  if (address.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (address.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) v6.sin6_addr = in6addr_loopback;
  }
  return {reinterpret_cast<const char*>(&address), size};
}

/// The door's own form is combined; another one has to be asked for.
std::string access_format(const config::Pool& config) {
  return config.written.contains("access.format") ? config.access_format : std::string();
}

}  // namespace

http::Settings door_settings(const config::Pool& config, const Listener& listener) {
  http::Settings settings;
  settings.pool = config.name;
  if (!listener.address().is_unix()) settings.pool_address = reachable(listener);
  settings.max_children = static_cast<std::uint32_t>(std::max(config.max_children, 1));
  settings.one_program = !config.cgi_program.empty() ||
                         config.handler == config::HandlerKind::fastcgi ||
                         config.handler == config::HandlerKind::module;
  settings.logs_errors = !config.catch_workers_output;
  settings.status_path = config.status_path;
  settings.ping_path = config.ping_path;
  settings.root = config.http_root;
  while (settings.root.size() > 1 && settings.root.back() == '/') settings.root.pop_back();
  settings.chroot = config.chroot;
  settings.index = config.http_index;
  settings.fallback = config.http_fallback;
  settings.scripts = rule(config.http_scripts);
  settings.extensions = config.http_script_extensions;
  settings.follow_links = config.http_follow_links;
  settings.hidden = config.http_hidden;
  settings.max_header = config.http_max_header;
  settings.max_body = config.http_max_body;
  settings.body_memory = config.http_body_memory;
  settings.header_timeout = config.http_header_timeout.count();
  settings.read_timeout = config.http_read_timeout.count();
  settings.write_timeout = config.http_write_timeout.count();
  settings.keepalive_timeout = config.http_keepalive_timeout.count();
  const auto doors = static_cast<std::uint64_t>(std::max(config.http_workers, 1));
  settings.rate = config.http_rate == 0 ? 0 : std::max<std::uint64_t>(config.http_rate / doors, 1);
  settings.rate_per_connection = config.http_rate_per_connection;
  settings.max_connections = static_cast<std::uint32_t>(config.http_max_connections.value_or(0));
  settings.queue_max = static_cast<std::uint32_t>(config.http_queue_max);
  settings.queue_timeout = config.http_queue_timeout.count();
  settings.trusted_proxies = config.http_trusted_proxies;
  settings.real_ip_header = config.http_real_ip_header;
  settings.access_format = access_format(config);
  settings.access_suppress = config.access_suppress_path;
  return settings;
}

}  // namespace fpm::master
