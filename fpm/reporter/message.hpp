// What the master tells the reporter: packets over their channel, each with a version, each bounded.
//
// The master sends what has changed since the last Commit, in any order; the reporter shows it from
// the Commit on. Mappings and sockets that nothing refers to at a Commit are forgotten by both.
// Nothing goes the other way but lines for the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "fpm/os/listen_key.hpp"

namespace fpm::reporter {

/// The first argument of the program when it is to be the reporter. The second: "UID:GID" to
/// become, or "-" to stay who it is.
inline constexpr const char* kOption = "--reporter";

/// The longest packet, in bytes: room for the longest line of a configuration file.
inline constexpr std::size_t kMostBytes = 128 * 1024;
/// Scoreboards of one pool: that of the generation that serves, and of those that still drain. Likewise doors.
inline constexpr std::size_t kMostBoards = 256;

/// A memfd, opened for reading alone, comes with it. It is known by `key` from now on.
struct Mapping {
  std::uint64_t key = 0;
  std::int32_t slots = 0;  ///< of a scoreboard; 0: totals, or a door's
  std::uint8_t door = 0;   ///< 1: a door's memory

  bool operator==(const Mapping&) const = default;
};

/// All of one pool.
struct PoolNews {
  std::uint32_t index = 0;  ///< its place in the configuration's order
  std::string name;
  std::string process_manager;
  std::string status_path;  ///< empty: none
  std::string ping_path;
  std::string ping_response;
  std::uint32_t max_children = 0;
  std::uint32_t listen_queue_limit = 0;
  std::uint32_t ready_queue = 0;    ///< connections; 0: off
  std::uint64_t ready_wait_ms = 0;  ///< 0: off
  os::ListenKey listener;
  std::uint64_t totals = 0;           ///< of a Mapping; 0: no worker yet
  std::vector<std::uint64_t> boards;  ///< of Mappings, the newest generation first
  std::vector<std::uint64_t> doors;   ///< of Mappings; none: it has no door
  // What totals would say, for a pool without them. Times are CLOCK_REALTIME.
  std::uint64_t started_ns = 0;
  std::uint32_t state = 0;
  std::uint32_t generation = 0;
  std::uint64_t reloads = 0;
  std::uint64_t reloads_failed = 0;
  std::uint64_t last_reload_ns = 0;

  bool operator==(const PoolNews&) const = default;
};

/// One address to answer at. A listening socket comes with it unless `key` is known.
struct PlaceNews {
  std::uint32_t index = 0;
  std::uint64_t key = 0;
  std::string pool;  ///< whose pm.status_listen it is; empty: status.listen
  std::vector<std::string> allowed_clients;

  bool operator==(const PlaceNews&) const = default;
};

/// All has been told: so many pools and places there are.
struct Commit {
  std::uint32_t pools = 0;
  std::uint32_t places = 0;

  bool operator==(const Commit&) const = default;
};

using Message = std::variant<Mapping, PoolNews, PlaceNews, Commit>;

/// The packet; longer than kMostBytes if strings are absurdly long: not to be sent then.
std::string encode(const Message& message);
/// Nothing if it is of another version, too short, too long or otherwise none of ours.
std::optional<Message> decode(std::span<const char> packet);

}  // namespace fpm::reporter
