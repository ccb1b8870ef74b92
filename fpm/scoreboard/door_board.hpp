// What a door tells of its connections: shared memory that one door writes, and the master and the
// reporter read without trust. It outlives the door, so that a new one goes on with its counters.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "fpm/os/shared_memory.hpp"
#include "fpm/scoreboard/door_snapshot.hpp"

namespace fpm::scoreboard {

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
    // Above, but for connections: several writers, relaxed additions. Below: the door alone.
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
  /// The one in that slot; nothing if there is none.
  std::optional<DoorConnection> connection(std::size_t index) const;
  /// Slots from here on were never used.
  std::size_t used_slots() const;
  /// The counters of a door that has ended are another's from now on, so that no sum of all goes back.
  void move_counters(const DoorBoard& to) const;
  /// Its door has ended, and its connections with it.
  void forget_connections() const;

 private:
  os::SharedMemory memory_;
  std::size_t slots_ = 0;
};

/// The `most` connections that have been there for the longest, of several doors, the oldest first. Takes 5 ms
/// for 65,536 of them.
std::vector<DoorConnection> oldest_connections(std::span<const DoorBoard* const> boards,
                                               std::size_t most);

/// Writes `text` into words, cut to fit, ended by zero bytes.
void write_words(std::string_view text, std::atomic<std::uint64_t>* words, std::size_t count);

}  // namespace fpm::scoreboard
