// The length of a listening socket's queue, asked by a process that does not hold the socket: to
// hold it would keep an address open that its owner has closed.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// What the kernel knows a listening socket by. Plain bytes, made to be sent to another process.
struct ListenKey {
  std::uint32_t inode = 0;    ///< as /proc/net shows it; 0: no socket
  std::uint16_t family = 0;   ///< AF_UNIX, AF_INET, AF_INET6
  std::uint16_t port = 0;     ///< TCP, in the byte order of the machine
  std::array<std::uint8_t, 16> address{};  ///< TCP: what it is bound to, 4 bytes or 16

  bool operator==(const ListenKey&) const = default;
};

/// The key of a socket; inode 0 if `listener` is none.
ListenKey listen_key(int listener);

/// Asks the kernel, over one netlink socket that it keeps.
class ListenQueues {
 public:
  /// Connections that wait in the queue of that socket. Nothing if it cannot be known: the socket
  /// is gone, another one has its address, or it is of another network namespace. Does not block;
  /// 2 us. Needs no right. Source: sock_diag(7) UNIX_DIAG_RQLEN, inet_diag_msg.idiag_rqueue.
  std::optional<unsigned> length(const ListenKey& key);

  /// Asks for all UNIX sockets that listen, at once: until forget_all() length() takes its answers
  /// from there. For many questions in a row, since the kernel looks for one socket among all (5,000
  /// of 8,000 sockets cost 600 ms one by one, 10 ms together). Does nothing if the kernel refuses.
  void ask_for_all();
  void forget_all() { all_unix_.reset(); }

 private:
  bool open();

  UniqueFd netlink_;
  std::optional<std::unordered_map<std::uint32_t, unsigned>> all_unix_;  // by inode
};

}  // namespace fpm::os
