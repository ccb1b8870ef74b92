// What the configuration files said, checked and ready to use. Plain data: every other room reads
// it, only config/ writes it.
#pragma once

#include <boost/container/flat_set.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fpm/log/level.hpp"

namespace fpm::config {

enum class HandlerKind { cgi, fastcgi, module, php };
enum class ProcessManager { static_pm, dynamic, ondemand };
/// fastcgi.family: habits of existing FastCGI programs.
enum class Family { libfcgi, perl, php_cgi, python, go, generic };
/// request_on_abort: what becomes of a request whose client has gone away.
enum class OnAbort { by_handler, end, go_on };
/// cgi.background: what becomes of children that outlive the script's own process.
enum class Background { leave, kill };
enum class LogFormat { text, json };
/// template: who loads PHP, a process for each pool or one for all.
enum class TemplateMode { pool, shared };
/// http.scripts: which requests the door passes to the pool.
enum class Scripts { none, extension, executable, all };
/// syslog.facility, with the numbers of syslog(3), so that a cast gives what openlog() takes.
enum class SyslogFacility {
  kern = 0 << 3, user = 1 << 3, mail = 2 << 3, daemon = 3 << 3, auth = 4 << 3, syslog = 5 << 3,
  lpr = 6 << 3, news = 7 << 3, uucp = 8 << 3, cron = 9 << 3, authpriv = 10 << 3, ftp = 11 << 3,
  local0 = 16 << 3, local1 = 17 << 3, local2 = 18 << 3, local3 = 19 << 3, local4 = 20 << 3,
  local5 = 21 << 3, local6 = 22 << 3, local7 = 23 << 3,
};

/// Where a pool listens. UNIX: `path` is set. TCP: `host` is a literal address or a name to be
/// resolved, empty for "every address" ([::], else 0.0.0.0), and `port` is 1..65535, for http.listen
/// also 0, any.
struct Address {
  std::string text;  ///< as written in the file, for messages and for the log
  std::string path;
  std::string host;
  std::uint16_t port = 0;
  /// A UNIX socket without a name, which the pool's own door alone can reach: `listen` is not set.
  /// `host` then says whose it is.
  bool hidden = false;

  bool is_unix() const { return !path.empty() || hidden; }
  bool operator==(const Address&) const = default;
};

/// Where a value was written, for messages that concern it.
struct Place {
  std::string file;
  int line = 0;
};

using Milliseconds = std::chrono::milliseconds;
using Variables = std::vector<std::pair<std::string, std::string>>;
/// Names of directives: those of the table, whose text lives as long as the program.
using Names = boost::container::flat_set<std::string_view>;

/// A limit of setrlimit(2), soft and hard; unset: as the system has it.
using Limit = std::optional<std::uint64_t>;
/// The value of a Limit that was written as "unlimited"; its bits are RLIM_INFINITY's.
inline constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

/// How PHP is to begin: what the command line said to it, the same in every pool.
struct PhpStart {
  std::string ini;             ///< -c: php.ini or the folder of it; empty: where PHP looks itself
  bool no_ini = false;         ///< -n: no php.ini and none of the files beside it
  bool extended_info = false;  ///< -e: code for debuggers and profilers
  Variables defines;           ///< -d NAME=VALUE in the order given, "1" without a value
  // Of the environment that fpm was started with, which its workers may not have.
  std::string rc;        ///< PHPRC: as ini, when that is empty
  std::string scan_dir;  ///< PHP_INI_SCAN_DIR; an empty element stands for the folder of the build

  bool operator==(const PhpStart&) const = default;
};

/// The directives of [global].
struct Global {
  std::string pid;        ///< absolute path, empty: no pid file
  std::string error_log;  ///< absolute path, or the word "syslog"
  std::string syslog_ident = "php-fpm";
  SyslogFacility syslog_facility = SyslogFacility::daemon;
  bool log_buffering = true;
  log::Level log_level = log::Level::notice;
  int log_limit = 1024;  ///< bytes of a line with its line feed, 512 or more
  LogFormat log_format = LogFormat::text;
  TemplateMode template_mode = TemplateMode::pool;

  int emergency_restart_threshold = 0;        ///< deaths by SIGSEGV or SIGBUS, 0: off
  Milliseconds emergency_restart_interval{};  ///< 0: off
  Milliseconds process_control_timeout{30'000};
  Milliseconds shutdown_delay{};        ///< from QUIT to its first step
  int process_max = 0;                  ///< over all pools; 0: no limit
  std::optional<int> process_priority;  ///< of the master, -19 to 20; root only
  bool daemonize = true;
  Limit rlimit_files;
  Limit rlimit_core;                       ///< bytes
  std::string events_mechanism = "epoll";  ///< always that, once the rules have looked at it
  Milliseconds systemd_interval{10'000};   ///< 0: off

  std::string control_socket;  ///< as written; see control_socket_path()
  Address status_listen;       ///< of the reporter; its text is empty: off
  Place status_listen_place;   ///< where that was written
  std::string status_user = "nobody";  ///< of the reporter, when started by root
  std::vector<std::string> status_allowed_clients;  ///< as Pool::listen_allowed_clients

  Names written;  ///< what a file set; everything else is a default
};

/// The directives of one pool.
struct Pool {
  std::string name;
  Place place;  ///< of its [section]

  HandlerKind handler = HandlerKind::cgi;
  std::string prefix;  ///< absolute path, empty: none; the pool's paths are resolved already
  std::string user;    ///< name or number; empty: the user that runs fpm
  std::string group;   ///< name or number; empty: the user's own group

  Address listen;
  int listen_backlog = -1;                     ///< -1: the system's maximum
  std::vector<std::string> listen_acl_users;   ///< names or numbers; empty: no ACL
  std::vector<std::string> listen_acl_groups;  ///< with an ACL listen_owner and _group are unused
  std::string listen_owner;                    ///< name or number; empty: unchanged
  std::string listen_group;
  std::string listen_mode = "0660";  ///< one to four octal digits, at most 0777
  /// Addresses and networks, "192.0.2.0/24", "2001:db8::/32", checked; empty: anybody. TCP only.
  std::vector<std::string> listen_allowed_clients;

  std::optional<int> process_priority;  ///< -19 to 20; root only
  bool process_dumpable = false;
  std::vector<int> cpu_affinity;  ///< numbers of CPUs, ascending; empty: any

  ProcessManager pm = ProcessManager::static_pm;
  int max_children = 0;
  int start_servers = 0;      ///< dynamic: between min_spare_servers and max_spare_servers, else 0
  int min_spare_servers = 0;  ///< dynamic: 1 to max_spare_servers
  int max_spare_servers = 0;  ///< dynamic: at most max_children
  int max_spawn_rate = 32;    ///< workers a step, 1 or more
  Milliseconds process_idle_timeout{10'000};  ///< ondemand: more than 0
  int max_requests = 0;                       ///< 0: no limit
  int max_requests_jitter = 0;                ///< each worker adds 0 to this to max_requests
  Milliseconds max_worker_lifetime{};         ///< 0: no limit
  std::uint64_t max_memory = 0;               ///< bytes, 0: no limit

  std::string status_path;  ///< empty: off
  Address status_listen;    ///< its text is empty: off
  int status_ready_queue = 0;         ///< connections; 0: off
  Milliseconds status_ready_wait{};   ///< 0: off
  std::string ping_path;    ///< empty: off
  std::string ping_response = "pong";

  std::string access_log;                         ///< absolute path, empty: off
  std::string access_format = "%R - %u %t \"%m %r\" %s";  ///< "json": one object a line
  std::vector<std::string> access_suppress_path;  ///< URIs, in the order of the file

  std::string slowlog;                         ///< absolute path, empty: off
  Milliseconds request_slowlog_timeout{};      ///< 0: off; set: so is slowlog
  int request_slowlog_trace_depth = 20;        ///< frames, 1 or more
  Milliseconds request_terminate_timeout{};    ///< 0: no limit
  bool request_terminate_timeout_track_finished = false;
  Milliseconds request_terminate_grace{1000};  ///< from TERM to KILL
  Milliseconds request_header_timeout{5000};   ///< 0: no limit
  Milliseconds request_body_timeout{60'000};   ///< 0: no limit
  Milliseconds request_queue_timeout{};        ///< 0: off
  bool request_drop_abandoned = true;
  OnAbort request_on_abort = OnAbort::by_handler;
  Milliseconds keepalive_timeout{75'000};

  Limit rlimit_files;
  Limit rlimit_core;  ///< bytes
  Limit rlimit_as;    ///< bytes
  Limit rlimit_nproc;
  bool no_new_privs = false;
  std::string apparmor_hat;  ///< empty: none

  std::string chroot;  ///< absolute path, empty: none
  std::string chdir;   ///< as the worker will see it (inside chroot), empty: unchanged
  bool catch_workers_output = false;
  bool decorate_workers_output = true;
  std::string output_log;  ///< absolute path, empty: the master's log
  bool clear_env = true;
  /// Suffixes with their dot, for handler php; empty: any.
  std::vector<std::string> limit_extensions = {".php", ".phar"};
  Variables env;  ///< in the order of the file, `$NAME` already replaced
  /// The same with `$NAME` as it was written: for showing, because the values may be secrets.
  Variables env_written;
  /// php_value[] and php_flag[] in the order of the file, repeated names kept: PHP_INI_USER.
  Variables php_values;
  Variables php_admin_values;  ///< php_admin_value[] and php_admin_flag[]: PHP_INI_SYSTEM
  PhpStart php_start;          ///< no directive: of the command line

  std::string cgi_root;  ///< absolute path, empty: none
  std::vector<std::string> cgi_allow;
  std::string cgi_program;
  Background cgi_background = Background::leave;

  std::string fastcgi_command;  ///< program and arguments; set with handler = fastcgi
  Family fastcgi_family = Family::generic;
  Milliseconds fastcgi_ready_timeout{30'000};  ///< more than 0
  Variables fastcgi_warmup;                    ///< parameters; empty: no such request
  Variables fastcgi_warmup_written;            ///< the same with `$NAME` as it was written
  bool request_retry = true;

  std::string php_version;  ///< "8.2"; empty: the one this build is for
  std::string php_root;     ///< absolute path, empty: none
  bool php_ini_parameters = true;
  std::string php_library;  ///< phpX.Y.so, absolute; with handler = php, no directive
  bool shared_template = false;  ///< with handler = php: Global::template_mode says so
  int log_limit = 1024;     ///< Global::log_limit, which PHP's messages keep to
  Address http_listen;    ///< of the door; its text is empty: there is none
  std::string http_root;  ///< absolute path, empty: none
  std::vector<std::string> http_index = {"index.html", "index.php"};
  std::string http_fallback;  ///< URI of the front controller, empty: none
  Scripts http_scripts = Scripts::none;
  std::vector<std::string> http_script_extensions = {".php", ".cgi", ".pl", ".py"};
  bool http_follow_links = false;
  bool http_hidden = false;
  std::uint64_t http_max_header = 16 * 1024;   ///< bytes
  std::uint64_t http_max_body = 0;             ///< bytes, 0: no limit
  std::uint64_t http_body_memory = 64 * 1024;  ///< bytes
  Milliseconds http_header_timeout{10'000};    ///< these four: 0: no limit
  Milliseconds http_read_timeout{60'000};
  Milliseconds http_write_timeout{360'000};
  Milliseconds http_keepalive_timeout{5'000};
  std::uint64_t http_rate = 0;                 ///< bytes a second, 0: no limit
  std::uint64_t http_rate_per_connection = 0;  ///< the same
  std::optional<int> http_max_connections;     ///< unset: half of the limit of open files
  int http_queue_max = 1000;                   ///< requests
  Milliseconds http_queue_timeout{30'000};     ///< 0: no limit
  std::vector<std::string> http_trusted_proxies;  ///< as listen_allowed_clients
  std::string http_real_ip_header;                ///< empty: none
  int http_workers = 1;                           ///< doors, 1 or more

  std::string module_path;           ///< absolute path; set with handler = module
  Variables module_options;          ///< in the order of the file
  Variables module_options_written;  ///< the same with `$NAME` as it was written
  Milliseconds template_idle_timeout{600'000};  ///< ondemand; 0: never

  Names written;  ///< what a file set; everything else is a default
};

/// The application runs in the worker's own process, which loads it once for all of a pool's workers.
inline bool runs_inside(const Pool& pool) {
  return pool.handler == HandlerKind::module || pool.handler == HandlerKind::php;
}

struct Config {
  std::string file;    ///< absolute path of the main file
  std::string prefix;  ///< absolute folder against which relative paths were resolved
  Global global;
  std::vector<Pool> pools;  ///< in the order of their first section
};

}  // namespace fpm::config
