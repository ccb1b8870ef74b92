#include "fpm/master/listeners.hpp"

#include <charconv>

#include "fpm/os/identity.hpp"

namespace fpm::master {

namespace {

mode_t parse_mode(const std::string& octal) {
  unsigned mode = 0660;
  if (!octal.empty()) {
    std::from_chars(octal.data(), octal.data() + octal.size(), mode, 8);
  }
  return static_cast<mode_t>(mode);
}

os::Result<os::SocketFile> socket_file(const config::Pool& pool) {
  os::SocketFile file;
  file.mode = parse_mode(pool.listen_mode);
  if (!pool.listen_owner.empty()) {
    const auto uid = os::resolve_user(pool.listen_owner);
    if (!uid) return uid.error();
    file.uid = *uid;
  }
  if (!pool.listen_group.empty()) {
    const auto gid = os::resolve_group(pool.listen_group);
    if (!gid) return gid.error();
    file.gid = *gid;
  }
  return file;
}

}  // namespace

os::Result<Listener> Listener::open(const config::Pool& pool) {
  const int backlog = os::effective_backlog(pool.listen_backlog);
  Listener listener;
  if (!pool.listen.is_unix()) {
    auto fd = os::listen_tcp(pool.listen.host, pool.listen.port, backlog);
    if (!fd) return fd.error();
    listener.fd_ = std::move(*fd);
    return listener;
  }
  const auto file = socket_file(pool);
  if (!file) return file.error();
  auto fd = os::listen_unix(pool.listen.path, backlog, *file);
  if (!fd) return fd.error();
  listener.fd_ = std::move(*fd);
  listener.path_ = pool.listen.path;
  listener.file_ = os::file_id(pool.listen.path);
  return listener;
}

void Listener::unlink() {
  if (file_) os::unlink_if_same(path_, *file_);
  file_.reset();
}

}  // namespace fpm::master
