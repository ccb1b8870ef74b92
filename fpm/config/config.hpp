// What the configuration files said, checked and ready to use. Plain data: every other room reads
// it, only config/ writes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fpm/log/level.hpp"

namespace fpm::config {

enum class HandlerKind { cgi, fastcgi, module, php };
enum class ProcessManager { static_pm, dynamic, ondemand };
/// request_on_abort: what becomes of a request whose client has gone away.
enum class OnAbort { by_handler, end, go_on };
/// cgi.background: what becomes of children that outlive the script's own process.
enum class Background { leave, kill };

/// Where a pool listens. UNIX: `path` is set. TCP: `host` is a literal address or a name to be
/// resolved, empty for "every address" ([::], else 0.0.0.0), and `port` is 1..65535.
struct Address {
  std::string text;  ///< as written in the file, for messages and for the log
  std::string path;
  std::string host;
  std::uint16_t port = 0;

  bool is_unix() const { return !path.empty(); }
  bool operator==(const Address&) const = default;
};

/// Where a value was written, for messages that concern it.
struct Place {
  std::string file;
  int line = 0;
};

using Milliseconds = std::chrono::milliseconds;
using Variables = std::vector<std::pair<std::string, std::string>>;

struct Global {
  std::string pid;        ///< path, empty: no pid file
  std::string error_log;  ///< absolute path
  log::Level log_level = log::Level::notice;
  bool daemonize = false;
  Milliseconds process_control_timeout{};
};

struct Pool {
  std::string name;
  Place place;  ///< of its [section]

  HandlerKind handler = HandlerKind::cgi;
  std::string user;   ///< name or number; empty: the user that runs fpm
  std::string group;  ///< name or number; empty: the user's own group

  Address listen;
  std::string listen_owner;  ///< name or number; empty: unchanged
  std::string listen_group;
  std::string listen_mode;  ///< one to four octal digits, at most 0777
  int listen_backlog = -1;  ///< -1: the system's maximum
  /// Addresses and networks, "192.0.2.0/24", "2001:db8::/32", checked; empty: anybody. TCP only.
  std::vector<std::string> listen_allowed_clients;

  ProcessManager pm = ProcessManager::static_pm;
  int max_children = 0;

  std::string status_path;  ///< empty: off
  std::string ping_path;    ///< empty: off
  std::string ping_response;

  std::string access_log;  ///< absolute path, empty: off
  std::string access_format;
  bool catch_workers_output = false;

  Milliseconds request_terminate_timeout{};  ///< 0: no limit
  Milliseconds request_header_timeout{};
  OnAbort request_on_abort = OnAbort::by_handler;

  std::string chroot;  ///< absolute path, empty: none
  std::string chdir;   ///< as the worker will see it (inside chroot), empty: unchanged
  bool clear_env = true;
  Variables env;  ///< in the order of the file, `$NAME` already replaced

  std::string cgi_root;  ///< absolute path, empty: none
  std::vector<std::string> cgi_allow;
  std::string cgi_program;
  Background cgi_background = Background::leave;
};

struct Config {
  std::string file;    ///< absolute path of the main file
  std::string prefix;  ///< absolute folder against which relative paths were resolved
  Global global;
  std::vector<Pool> pools;  ///< in the order of their first section
};

}  // namespace fpm::config
