// What a door tells of its connections: shared memory that one door writes, and the master and the
// reporter read without trust. It outlives the door, so that a new one goes on with its counters.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/os/shared_memory.hpp"

namespace fpm::scoreboard {

/// What a connection is doing.
enum class DoorState : std::uint8_t {
  reading,    ///< the head of a request arrives
  body,       ///< its body does
  queued,     ///< it waits for its turn: a worker, or a descriptor
  waiting,    ///< a worker has it, and nothing of the answer has come
  writing,    ///< the answer goes out
  keepalive,  ///< nothing: the next request may come
  closing,    ///< answered; what the client still sends is read and dropped
};
inline constexpr std::size_t kDoorStates = 7;
constexpr std::string_view door_state_name(DoorState state) {
  constexpr std::array<std::string_view, kDoorStates> names{
      "reading", "body", "queued", "waiting", "writing", "keepalive", "closing"};
  const auto index = static_cast<std::size_t>(state);
  return index < kDoorStates ? names[index] : "unknown";
}

/// Numbers of one door or of several, copied out.
struct DoorCounts {
  std::array<std::uint64_t, kDoorStates> connections{};  ///< now, by DoorState
  std::uint64_t accepted = 0;       ///< connections since the start, likewise what follows
  std::uint64_t requests = 0;       ///< answered
  std::uint64_t passed = 0;         ///< of them, to the pool
  std::uint64_t bytes_out = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t aborted = 0;        ///< the client left before its answer was complete
  std::uint64_t queue_full = 0;     ///< 503
  std::uint64_t queue_timeout = 0;  ///< 503
  std::uint64_t retried = 0;        ///< requests that a second worker was asked
  std::uint64_t refused = 0;        ///< heads that were not HTTP
  std::array<std::uint64_t, 5> statuses{};  ///< answers 1xx to 5xx

  void add(const DoorCounts& other);
};

/// One connection, copied out. Strings may be torn, never unbounded.
struct DoorConnection {
  DoorState state = DoorState::reading;
  std::uint64_t opened_ns = 0;   ///< CLOCK_MONOTONIC
  std::uint64_t changed_ns = 0;  ///< when it entered its state
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t requests = 0;
  std::string remote;   ///< its address
  std::string request;  ///< method and URI without the query, cut; empty: none yet
};

/// Owns a mapping.
class DoorBoard {
 public:
  static constexpr std::size_t kMostSlots = 65536;
  static constexpr std::size_t kRemoteWords = 6;
  static constexpr std::size_t kRequestWords = 16;

  struct Slot {
    std::atomic<std::uint64_t> state;  ///< DoorState + 1; 0: no connection
    std::atomic<std::uint64_t> opened_ns, changed_ns, bytes_in, bytes_out, requests;
    std::array<std::atomic<std::uint64_t>, kRemoteWords> remote;
    std::array<std::atomic<std::uint64_t>, kRequestWords> request;
  };
  struct Head {
    std::array<std::atomic<std::uint64_t>, kDoorStates> connections;
    std::atomic<std::uint64_t> accepted, requests, passed, bytes_out, bytes_in, aborted, queue_full,
        queue_timeout, retried, refused;
    std::array<std::atomic<std::uint64_t>, 5> statuses;
    std::atomic<std::uint64_t> used_slots;  ///< slots from here on were never used
  };

  /// For `slots` connections, at most kMostSlots; those beyond are counted and not listed.
  static os::Result<DoorBoard> create(std::size_t slots);
  /// Another process's mapping of it: to be written by the door, which got create()'s descriptor, or
  /// for reading alone. Errors: EINVAL if it is no such memory.
  static os::Result<DoorBoard> attach_writable(int fd);
  static os::Result<DoorBoard> attach(int fd);

  DoorBoard() = default;
  explicit operator bool() const { return memory_.data() != nullptr; }
  const os::SharedMemory& memory() const { return memory_; }
  Head& head() const { return *static_cast<Head*>(memory_.data()); }
  std::size_t slots() const { return slots_; }
  Slot& slot(std::size_t index) const;

  DoorCounts counts() const;
  /// Those that are there, in the order of their slots.
  std::vector<DoorConnection> connections() const;
  /// Its door has ended, and its connections with it.
  void forget_connections() const;

 private:
  os::SharedMemory memory_;
  std::size_t slots_ = 0;
};

/// Writes `text` into words, cut to fit, ended by zero bytes.
void write_words(std::string_view text, std::atomic<std::uint64_t>* words, std::size_t count);

}  // namespace fpm::scoreboard
