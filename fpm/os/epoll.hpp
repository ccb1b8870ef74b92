// A set of descriptors that is watched as one.
#pragma once

#include <cstdint>
#include <vector>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// An epoll instance beside the event loop, which watches only its descriptor. For listening
/// sockets: a loop that registers them itself is woken by every new connection, though the workers
/// take it; here a descriptor is looked at only while it is armed. Source: epoll(7).
class Epoll {
 public:
  static Result<Epoll> create();

  /// Readable when a watched descriptor is; borrowed.
  int fd() const { return fd_.get(); }

  /// Watches `fd` from now on until it is closed.
  Result<void> watch(int fd, std::uint64_t tag);
  /// Adds `fd` without looking at it yet.
  Result<void> add_unarmed(int fd, std::uint64_t tag);
  /// Looks at `fd`, added before, until it is readable once (EPOLLONESHOT). If it is readable
  /// already, that counts.
  Result<void> arm(int fd, std::uint64_t tag);
  void remove(int fd);

  /// The tags of what is readable now. Does not block.
  std::vector<std::uint64_t> ready();

 private:
  UniqueFd fd_;
};

}  // namespace fpm::os
