// A pool's counters and histograms. They live as long as the pool, beside the scoreboards of its
// generations, so that a reload takes no counter back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "fpm/os/shared_memory.hpp"
#include "fpm/scoreboard/histogram.hpp"
#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::scoreboard {

/// What lies in the shared memory; each group on cache lines of its own. Many writers: relaxed
/// additions. Read without trust: a worker may have written anything there.
struct Totals {
  /// Requests read since the start: php-fpm's "accepted conn".
  alignas(64) std::atomic<std::uint64_t> accepted;
  alignas(64) std::atomic<std::uint64_t> slow;
  std::atomic<std::uint64_t> timed_out;  ///< requests that request_terminate_timeout ended
  std::atomic<std::uint64_t> aborted;    ///< their client went away
  std::array<std::atomic<std::uint64_t>, kRejections> rejected;
  /// Below: written by the master alone.
  alignas(64) std::atomic<std::uint64_t> started_ns;  ///< of the pool, CLOCK_REALTIME
  std::atomic<std::uint64_t> killed;                  ///< requests that ended with their worker
  std::atomic<std::uint64_t> max_children_reached;
  std::atomic<std::uint64_t> worker_starts;
  std::array<std::atomic<std::uint64_t>, kExitCauses> worker_exits;
  std::array<std::atomic<std::uint64_t>, 2> reloads;  ///< [1]: that went well, [0]: that did not
  std::atomic<std::uint64_t> last_reload_ns;          ///< CLOCK_REALTIME; 0: none yet
  std::atomic<std::uint32_t> generation;              ///< 1 for the first
  std::atomic<std::uint32_t> max_active;
  std::atomic<std::uint32_t> max_listen_queue;
  std::atomic<std::uint32_t> state;  ///< a PoolState
  alignas(64) Histogram duration;    ///< of requests, from the first byte to END_REQUEST
  alignas(64) Histogram queue_wait;  ///< of those whose wait is known
};

/// Owns the mapping.
class Ledger {
 public:
  /// All zero but the start, which is now.
  static os::Result<Ledger> create();
  /// Another process's look at it, through a descriptor opened O_RDONLY, which is not kept: nothing
  /// can be written. Errors: EINVAL if it is no such memory.
  static os::Result<Ledger> attach(int fd);

  /// create()'s of the master, by its descriptor, in a process that did not inherit the mapping.
  static os::Result<Ledger> join(int fd);

  Totals& totals() const { return *totals_; }
  const os::SharedMemory& memory() const { return memory_; }

 private:
  static Ledger over(os::SharedMemory memory);

  os::SharedMemory memory_;
  Totals* totals_ = nullptr;
};

/// The part of a snapshot that comes from the totals; after what comes from the board.
void read_totals(const Totals& totals, PoolSnapshot& pool);

}  // namespace fpm::scoreboard
