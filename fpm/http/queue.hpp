// The requests that wait for a worker, and how many the pool has. Pure: whoever calls tells the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

namespace fpm::http {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

/// First come, first served. A ticket is whatever the caller knows a request by.
class Queue {
 public:
  using Ticket = std::uint64_t;

  /// `places`: requests that the pool takes at once; `longest`: that may wait; `oldest`: how long, 0:
  /// any time.
  void limit(std::size_t places, std::size_t longest, Milliseconds oldest);

  enum class Answer { start, wait, full };
  /// A request is ready. start: it has a place, for release() later; wait: it is in the queue.
  Answer enter(Ticket ticket, Clock::time_point now);
  /// Its client has gone. @return it was in the queue.
  bool leave(Ticket ticket);
  /// A request is done with its place.
  void release();
  /// The next one that has a place now, out of the queue; 0: there is none.
  Ticket next();
  /// Those that have waited for too long, out of the queue.
  std::vector<Ticket> expire(Clock::time_point now);

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t taken() const { return taken_; }

 private:
  struct Waiting {
    Ticket ticket;
    Clock::time_point since;
  };

  std::size_t places_ = 1;
  std::size_t longest_ = 1000;
  Milliseconds oldest_{};
  std::size_t taken_ = 0;
  std::list<Waiting> waiting_;
};

}  // namespace fpm::http
