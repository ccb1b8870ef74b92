// The signals that a worker understands. One worker a process, so their state is the process's.
#pragma once

#include <atomic>
#include <cstdint>

#include "fpm/scoreboard/parking.hpp"

namespace fpm::worker {

/// Installs the handlers. `listener` and `draining` stay the caller's.
///   QUIT  finish the request under way, then end: the listening descriptor is replaced by an
///         unbound socket, so that an accept that begins after the signal fails at once; but not
///         while `draining` says that the queue is to be served first (it is non-blocking then)
///   TERM  the same, and the request is to end now, with an answer where none was begun; a worker
///         that waits for a client ends in the handler
///   USR1  nothing but EINTR: look at the channel
///   wake_signal()  stop waiting for what an overdue client does not send
/// None has SA_RESTART: accept, recv and poll return EINTR.
void install_signals(int listener, const std::atomic<std::uint32_t>& draining);

/// INT does what TERM does, in a worker without a master.
void interrupt_terminates();

/// TERM calls this too, in its handler, after it has been noted.
void on_terminate_request(void (*call)());

/// QUIT or TERM arrived.
bool finish_asked();
/// TERM arrived: the request under way is to end now.
bool terminate_asked();

/// The worker waits in recv for a client that may never send. While the object lives, a signal
/// that ends the wait shuts the socket's reading side, so that it works also when it arrives just
/// before the call.
class Waiting {
 public:
  enum class For {
    headers,       ///< wake_signal() ends it after `deadline_ns`
    next_request,  ///< on a kept connection: QUIT and wake_signal() end it
  };
  /// `deadline_ns`: CLOCK_MONOTONIC, 0: none.
  Waiting(For what, int fd, std::uint64_t deadline_ns);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
};

/// The reading side of the connection was shut by a signal that ended a wait: the end of file there says
/// nothing of the client, whose request may have come at the same moment.
bool reading_was_shut();
/// The connection is a new one.
void reading_is_open();

/// The worker sleeps in Parking::sleep. While the object lives, every signal of ours ends the parking, so that it
/// works also when it arrives just before the sleep.
class Parked {
 public:
  Parked(scoreboard::Parking& parking, int slot);
  ~Parked();
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;
};

/// A request is being executed or answered: while such an object lives TERM does not end the process
/// in its handler.
class Busy {
 public:
  Busy();
  ~Busy();
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
};

}  // namespace fpm::worker
