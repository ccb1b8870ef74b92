// Idle workers that nobody needs in accept: they sleep on a word of their own in shared memory.
//
// The kernel wakes the process that has waited in accept longest, so in a pool of many every request
// meets another one, whose memory has left the caches. Here only a few wait in accept; the rest is
// parked and woken, the lowest slot first, when those few become fewer. With no more clients at once
// than the few, a request costs no call for this.
#pragma once

#include <atomic>
#include <cstdint>

#include "fpm/scoreboard/layout.hpp"

namespace fpm::scoreboard {

/// Most workers that wait in accept before others are parked, and fewest before one is woken.
inline constexpr int kMostInAccept = 8;
inline constexpr int kFewestInAccept = 4;

/// Nothing here is a lock: what a killed worker leaves behind is mended by the master's correct().
class Parking {
 public:
  Parking() = default;
  Parking(Pulse& pulse, const std::atomic<std::uint8_t>* stages, std::atomic<std::uint32_t>* words,
          int slots)
      : pulse_(&pulse), stages_(stages), words_(words), slots_(slots) {}

  /// Small pools park nobody.
  bool is_used() const { return slots_ > 2 * kMostInAccept; }

  /// There are enough in accept, the caller among them.
  bool has_too_many() const { return is_used() && in_accept() > kMostInAccept; }

  /// A worker, which pulse.spare counts: it is parked from now on, unless it is needed already.
  void enter(int slot);
  /// Sleeps until unpark() or a signal.
  void sleep(int slot);
  /// The worker is parked no more. Async-signal-safe. @return it was.
  bool unpark(int slot);

  /// After a worker has left accept, its place in pulse.spare given back: wakes one that is parked if
  /// there are too few. Without a system call when there are enough.
  void refill() {
    if (is_used() && in_accept() < kFewestInAccept && parked() > 0) wake_one();
  }

  /// Master: sets the count anew from the slots, and wakes as many as are missing in accept; also those
  /// whose waker was killed in the middle of it.
  void correct();

 private:
  std::int32_t parked() const { return pulse_->parked.load(std::memory_order_seq_cst); }
  std::int32_t in_accept() const {
    return pulse_->spare.load(std::memory_order_seq_cst) - parked();
  }
  void wake_one();

  Pulse* pulse_ = nullptr;
  const std::atomic<std::uint8_t>* stages_ = nullptr;
  std::atomic<std::uint32_t>* words_ = nullptr;  // one a slot: 1 while parked
  int slots_ = 0;
};

}  // namespace fpm::scoreboard
