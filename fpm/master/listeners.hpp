// The sockets that pools listen on: opened at start, closed and unlinked at the end.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/os/inherited.hpp"
#include "fpm/os/socket.hpp"

namespace fpm::master {

/// A pool's listening socket, which its generations share. Its file is removed with it, if it is still the same file.
class Listener {
 public:
  /// The socket for the pool's listen* directives: the one among `inherited` that is bound to the
  /// same address, as it is, else a new one. Blocks on name service for names.
  static os::Result<Listener> open(const config::Pool& pool,
                                   os::InheritedSockets* inherited = nullptr);

  /// The pool's owner, mode, ACL and backlog for a socket that is open already: a reload. What
  /// listens there before and after is the same socket, so they hold for all who use it.
  os::Result<void> apply(const config::Pool& pool) const;
  /// It is bound to this address, and its file is still in its place.
  bool is_at(const config::Address& address) const;

  Listener() = default;
  Listener(Listener&& other) noexcept
      : fd_(std::move(other.fd_)),
        address_(std::move(other.address_)),
        path_(std::move(other.path_)),
        file_(std::exchange(other.file_, std::nullopt)),
        place_(std::move(other.place_)),
        lent_(other.lent_) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener() { unlink(); }

  int fd() const { return fd_.get(); }
  /// A service manager holds it too and listens on when we are gone: its file and its backlog are
  /// to be left alone.
  bool lent() const { return lent_; }
  /// Removes the socket's file, so that no new client finds it; those in the queue stay.
  void unlink();
  /// No new client gets into the queue, and accept() on it does not wait any more, in any process:
  /// a UNIX socket loses its path, a TCP socket its backlog. Source: listen(2).
  void close_queue();
  /// The socket of a door that goes, and that nobody takes over: no new client gets into its queue, and
  /// who is in it can be accepted, in any process. Not for one that is lent.
  void close_door();
  void close() { fd_.reset(); }
  /// The same, and another program may listen at its address, though workers still have it: it listens
  /// no more in any process. Not for one that is lent. Source: shutdown(2) of a listening TCP socket.
  void release();
  /// The O_PATH descriptor of a UNIX socket's file, by which its door connects; empty for TCP.
  os::Result<os::UniqueFd> open_place() const;
  const config::Address& address() const { return address_; }
  /// As written in the configuration.
  const std::string& text() const { return address_.text; }

 private:
  os::UniqueFd fd_;
  config::Address address_;
  std::string path_;
  std::optional<os::FileId> file_;  // nothing: no file, or none of ours
  os::UniqueFd place_;  // of a hidden socket
  bool lent_ = false;
};

/// Tells of inherited sockets that no pool listens on, and closes them: clients that connect there
/// would wait for ever.
void close_unclaimed(os::InheritedSockets& inherited);

}  // namespace fpm::master
