#include "fpm/master/listeners.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <charconv>

#include "fpm/log/log.hpp"
#include "fpm/os/acl.hpp"
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

bool has_acl(const config::Pool& pool) {
  return !pool.listen_acl_users.empty() || !pool.listen_acl_groups.empty();
}

os::Result<os::SocketFile> socket_file(const config::Pool& pool) {
  os::SocketFile file;
  file.mode = parse_mode(pool.listen_mode);
  if (has_acl(pool)) return file;  // which then says who else may connect
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

os::Result<void> grant_access(const config::Pool& pool) {
  if (!has_acl(pool)) return {};
  std::vector<uid_t> users;
  for (const std::string& name : pool.listen_acl_users) {
    const auto uid = os::resolve_user(name);
    if (!uid) return uid.error();
    users.push_back(*uid);
  }
  std::vector<gid_t> groups;
  for (const std::string& name : pool.listen_acl_groups) {
    const auto gid = os::resolve_group(name);
    if (!gid) return gid.error();
    groups.push_back(*gid);
  }
  return os::set_acl(pool.listen.path, parse_mode(pool.listen_mode), std::move(users),
                     std::move(groups));
}

/// For the pool's own user alone: the door runs as that.
os::Result<os::HiddenSocket> open_hidden(const config::Pool& pool, int backlog) {
  os::SocketFile file;
  file.mode = 0600;
  if (::geteuid() == 0) {
    const auto identity = os::resolve_identity(pool.user, pool.group);
    if (!identity) return identity.error();
    file.uid = identity->uid;
    file.gid = identity->gid;
  }
  return os::listen_hidden(backlog, file);
}

os::InheritedSocket claim(const config::Pool& pool, os::InheritedSockets* inherited, int backlog) {
  // Asking for the addresses of a name may take long: only where there is something to claim.
  if (inherited == nullptr || inherited->unclaimed().empty() || pool.listen.hidden) return {};
  return inherited->claim(pool.listen.is_unix()
                              ? os::socket_keys(pool.listen.path)
                              : os::socket_keys(pool.listen.host, pool.listen.port),
                          backlog);
}

}  // namespace

os::Result<Listener> Listener::open(const config::Pool& pool, os::InheritedSockets* inherited) {
  const int backlog = os::asked_backlog(pool.listen_backlog);
  Listener listener;
  listener.address_ = pool.listen;
  if (os::InheritedSocket given = claim(pool, inherited, backlog); given.fd) {
    log::notice("using inherited socket fd={}, \"{}\"", given.number, pool.listen.text);
    listener.fd_ = std::move(given.fd);
    listener.lent_ = given.lent;
    if (pool.listen.is_unix() && !given.lent) {
      listener.path_ = pool.listen.path;
      listener.file_ = os::file_id(pool.listen.path);
    }
    return listener;
  }
  if (pool.listen.hidden) {
    auto hidden = open_hidden(pool, backlog);
    if (!hidden) return hidden.error();
    listener.fd_ = std::move(hidden->listener);
    listener.place_ = std::move(hidden->place);
    return listener;
  }
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
  if (auto done = grant_access(pool); !done) return done.error();
  return listener;
}

os::Result<void> Listener::apply(const config::Pool& pool) const {
  if (lent_) return {};
  if (auto done = os::set_backlog(fd(), os::asked_backlog(pool.listen_backlog)); !done) {
    return done;
  }
  if (!file_) return {};
  auto file = socket_file(pool);
  if (!file) return file.error();
  // What is not set any more goes back to what a new socket would have.
  if (file->uid == static_cast<uid_t>(-1)) file->uid = ::geteuid();
  if (file->gid == static_cast<gid_t>(-1)) file->gid = ::getegid();
  if (auto done = os::set_socket_file(path_, *file); !done) return done;
  if (has_acl(pool)) return grant_access(pool);
  (void)os::set_acl(path_, file->mode, {}, {});  // takes an old list away, where there can be one
  return {};
}

bool Listener::is_at(const config::Address& address) const {
  if (!fd_) return false;
  if (file_ && os::file_id(path_) != file_) return false;
  if (path_.empty() && address_.is_unix() && !lent_ && !place_) return false;
  return address_.hidden == address.hidden && address_.path == address.path && address_.host == address.host &&
         address_.port == address.port;
}

os::Result<os::UniqueFd> Listener::open_place() const {
  if (place_) return os::duplicate(place_.get());
  if (!address_.is_unix()) return os::UniqueFd();
  return os::open_place(address_.path);
}

void Listener::close_queue() {
  if (path_.empty()) {
    ::listen(fd_.get(), 0);
  } else {
    unlink();
  }
  (void)os::set_nonblocking(fd_.get(), true);
}

void Listener::close_door() {
  if (!path_.empty()) return unlink();
  // With listen(2) alone one more would get in after the last has been accepted, and be reset.
  if (!os::drop_new_connections(fd_.get())) ::listen(fd_.get(), 0);
}

void Listener::release() {
  if (path_.empty() && !lent_) ::shutdown(fd_.get(), SHUT_RDWR);
  close();
}

void Listener::unlink() {
  if (file_) os::unlink_if_same(path_, *file_);
  file_.reset();
}

void close_unclaimed(os::InheritedSockets& inherited) {
  for (const os::InheritedSocket& socket : inherited.unclaimed()) {
    log::warning("inherited socket fd={}, \"{}\" is closed: {}", socket.number,
                 log::printable(socket.name),
                 socket.useless.empty() ? "no pool listens there" : socket.useless);
  }
  inherited.close_unclaimed();
}

}  // namespace fpm::master
