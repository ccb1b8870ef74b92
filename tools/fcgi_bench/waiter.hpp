// Which connections have something to tell.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "fpm/os/fd.hpp"

namespace fcgi_bench {

/// One connection for each client, watched with poll(2) or epoll(7), whichever costs less: an epoll
/// set wants a call for each new connection, which poll does not, but looks at none that is quiet.
/// Measured with 8 clients and a connection a request: poll 1.15 times the CPU time of the server
/// at the floor, as much as no waiting at all; epoll 1.3 times.
class Waiter {
 public:
  struct Ready {
    std::size_t client;
    bool in;   ///< also at the end of the connection and after errors
    bool out;
    bool ended;  ///< with `kept`: the other side has closed its half
  };

  /// @param kept connections outlive a request.
  /// @throws std::runtime_error without descriptors.
  Waiter(std::size_t clients, bool kept);

  /// Watches the client's connection for bytes, and with `out` for room to send. Borrowed; a new
  /// connection of the client takes the place of the one before.
  void watch(std::size_t client, int fd, bool out);
  /// To be called before the connection is closed.
  void forget(std::size_t client);

  /// Blocks until something happens, at most so long. Valid until the next call.
  std::span<const Ready> wait(std::chrono::nanoseconds longest);

 private:
  void take_events(const timespec& longest);
  void take_polled(const timespec& longest);

  fpm::os::UniqueFd epoll_;          // none: poll
  std::vector<std::uint32_t> wanted_;  // epoll: what each is registered for; 0: not at all
  std::vector<epoll_event> events_;
  std::vector<pollfd> polled_;
  std::vector<Ready> ready_;
};

}  // namespace fcgi_bench
