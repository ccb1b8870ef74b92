// A door at one moment, copied out of the memory it writes. Plain values; numbers and strings may be wrong
// when a door damaged its memory, never unbounded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  std::uint64_t all_connections() const;
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

/// The doors of a pool.
struct DoorSnapshot {
  DoorCounts counts;
  std::uint64_t now_ns = 0;  ///< CLOCK_MONOTONIC
  std::vector<DoorConnection> oldest;  ///< of the connections, the oldest first; not all if there are many
};

}  // namespace fpm::scoreboard
