// Listening sockets that whoever started us had opened already.
#pragma once

#include <string>
#include <vector>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// A socket that was handed over. It is closed with its object.
struct InheritedSocket {
  UniqueFd fd;
  int number = -1;  ///< of the descriptor, for messages
  /// Under which it may be asked for: the address it is bound to, and the key of FPM_SOCKETS.
  std::vector<std::string> keys;
  std::string name;     ///< for messages: LISTEN_FDNAMES, the key, or the address
  bool lent = false;    ///< by a service manager (LISTEN_FDS), which keeps it: its file is not ours
  std::string useless;  ///< why no pool can use it, empty: it can be used
};

/// The sockets that the environment tells of, until pools claim them.
class InheritedSockets {
 public:
  InheritedSockets() = default;

  /// Takes LISTEN_FDS (from descriptor 3 on, if LISTEN_PID is this process), LISTEN_FDNAMES, and
  /// FPM_SOCKETS, FPM_SOCKETS_1, ... ("key=fd,key=fd"; key: path or `ip:port`, IPv6 without
  /// brackets), and removes them from the environment. The descriptors become close-on-exec.
  /// Once, before any other descriptor is opened and before Daemon::detach().
  /// Source: sd_listen_fds(3); php-fpm hands its sockets to its next self in FPM_SOCKETS.
  static InheritedSockets from_environment();

  /// The socket for one of `keys`, no longer in here; its fd is empty if there is none. It blocks
  /// and is listening (with `backlog` if it was not before).
  InheritedSocket claim(const std::vector<std::string>& keys, int backlog);

  /// The descriptor is one of them.
  bool has(int fd) const;

  /// Those that no pool has claimed, and those that could not be used.
  const std::vector<InheritedSocket>& unclaimed() const { return sockets_; }
  /// Closes them.
  void close_unclaimed() { sockets_.clear(); }

 private:
  void take_listen_fds();
  void take_fpm_sockets();
  void add(int fd, std::string key, bool lent);

  std::vector<InheritedSocket> sockets_;
};

/// The keys for a UNIX path and for host:port: "/run/www.sock"; "127.0.0.1:9000", "::1:9000". An
/// empty host is any address of either family. Blocks on name service for names.
std::vector<std::string> socket_keys(const std::string& path);
std::vector<std::string> socket_keys(const std::string& host, unsigned short port);

}  // namespace fpm::os
