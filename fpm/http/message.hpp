// What the master tells a door: packets over their channel, each with a version, each bounded.
//
// Settings come first, with the descriptors that a door cannot open itself; they come again after a
// reload, and hold for requests that begin then. The other way go lines for the log, each beginning
// with a digit: its log::Level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace fpm::http {

/// The first argument of the program when it is to be a door. The second: whom to become, as
/// "UID:GID[,GROUP...]", or "-" to stay who it is; the third: most open files, or "-".
inline constexpr const char* kOption = "--door";

/// The longest packet, in bytes.
inline constexpr std::size_t kMostBytes = 128 * 1024;

/// http.scripts, as config::Scripts has it.
enum class ScriptRule : std::uint8_t { none, extension, executable, all };

/// Everything that a door needs to know of its pool. Times are milliseconds, 0: no limit.
struct Settings {
  // Descriptors that come with the packet, in this order.
  std::uint8_t has_listener = 0;  ///< the first time: where browsers connect
  std::uint8_t has_board = 0;     ///< the first time: its memory (scoreboard/door_board.hpp)
  std::uint8_t has_place = 0;     ///< the pool's UNIX socket, O_PATH
  std::uint8_t has_log = 0;       ///< the access log

  std::string pool;
  std::string pool_address;  ///< a sockaddr as it lies in memory, for TCP; empty: the place
  std::uint32_t max_children = 1;  ///< requests that the pool takes at once
  std::uint8_t one_program = 0;  ///< no SCRIPT_FILENAME is looked at: the path is PATH_INFO alone
  std::uint8_t logs_errors = 0;    ///< what scripts print to stderr is for the log
  std::string status_path;         ///< pages of the pool's own, for clients of this machine
  std::string ping_path;

  std::string root;    ///< empty: none
  std::string chroot;  ///< of the pool; what is below it is named from there
  std::vector<std::string> index;
  std::string fallback;
  ScriptRule scripts = ScriptRule::none;
  std::vector<std::string> extensions;
  std::uint8_t follow_links = 0;
  std::uint8_t hidden = 0;

  std::uint64_t max_header = 0;  ///< bytes, likewise the next ones
  std::uint64_t max_body = 0;    ///< 0: no limit
  std::uint64_t body_memory = 0;
  std::int64_t header_timeout = 0;
  std::int64_t read_timeout = 0;
  std::int64_t write_timeout = 0;
  std::int64_t keepalive_timeout = 0;
  std::uint64_t rate = 0;  ///< bytes a second, of this door; 0: no limit
  std::uint64_t rate_per_connection = 0;
  std::uint32_t max_connections = 0;  ///< 0: half of the limit of open files
  std::uint32_t queue_max = 0;
  std::int64_t queue_timeout = 0;
  std::vector<std::string> trusted_proxies;
  std::string real_ip_header;

  std::string access_format;  ///< empty: combined
  std::vector<std::string> access_suppress;

  bool operator==(const Settings&) const = default;
};

/// The access log was opened anew and comes along.
struct NewLog {
  bool operator==(const NewLog&) const = default;
};

/// No new connection; what runs is finished, and then the door ends.
struct Finish {
  std::uint8_t serve_queue = 0;  ///< who waits at the socket is served first: no other door listens there
  bool operator==(const Finish&) const = default;
};

using Message = std::variant<Settings, NewLog, Finish>;

std::string encode(const Message& message);
/// Nothing if it is of another version, too short, too long or otherwise none of ours.
std::optional<Message> decode(std::span<const char> packet);

}  // namespace fpm::http
