// Connections to the pool that wait for their next request.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "fpm/http/limits.hpp"

namespace fpm::http {

/// Each holds a worker that could serve others as well, which the pool calls back when it needs it. So
/// they wait for a second at most.
class PoolLinks {
 public:
  using Clock = std::chrono::steady_clock;
  using Link = boost::asio::posix::stream_descriptor;

  /// `descriptors`: of which each takes one while it waits here.
  explicit PoolLinks(Descriptors& descriptors) : descriptors_(descriptors) {}
  ~PoolLinks() { clear(); }
  PoolLinks(const PoolLinks&) = delete;
  PoolLinks& operator=(const PoolLinks&) = delete;

  /// So many may wait.
  void limit(std::size_t most) { most_ = most; }
  /// The one that was used last, and that its worker has neither closed nor sent anything over. Its
  /// worker may close it at the same moment.
  std::optional<Link> take();
  /// A connection whose request is answered, or its end if there is no room.
  void give(Link link);
  /// Closes those that have waited for long.
  void expire(Clock::time_point now);
  void clear();
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    Link link;
    Clock::time_point since;
  };
  void drop_first(std::size_t count);

  Descriptors& descriptors_;
  std::vector<Waiting> waiting_;  // the one used last at the end
  std::size_t most_ = 0;
};

}  // namespace fpm::http
