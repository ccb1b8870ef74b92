// Every wrong value of every directive: what is said, of which file and line, and once.
#include <catch2/catch.hpp>
#include <set>

#include "files.hpp"
#include "fpm/config/directives.hpp"

using namespace fpm::config;
using test::Files;
using test::kPool;
using test::Lines;

namespace {

constexpr const char* kTime =
    "expected a whole number with s, m, h, d or ms behind it, at most 3650d";
constexpr const char* kSize = "expected a whole number of bytes, K, M or G may follow";
constexpr const char* kBytes =
    "expected a value that must be greater than zero or 'unlimited': a whole number of bytes, K, M "
    "or G may follow";
constexpr const char* kCount =
    "expected a value that must be greater than zero or 'unlimited': a whole number up to "
    "2147483647";
constexpr const char* kCpus =
    "expected numbers of CPUs and ranges of them from 0 to 1023, as in 0-3,8";
constexpr const char* kMode = "expected octal digits from 0 to 0777, as in 0660";
constexpr const char* kAddress = "expected a path, port, host:port or [v6]:port";
constexpr const char* kClients =
    "expected IPv4 or IPv6 addresses or networks (192.0.2.0/24), separated by commas";
constexpr const char* kProgram = "expected a program as an absolute path";
constexpr const char* kNumber = "expected a whole number, 0 or more";
constexpr const char* kPositive = "expected a whole number, 1 or more";
constexpr const char* kPriority = "expected a whole number from -19 to 20";

/// One line and what is said about its value. A message that begins with `[` is php-fpm's own and
/// stands alone behind the place.
struct Wrong {
  const char* line;
  std::string message;
};

const std::vector<Wrong>& wrong_in_pool() {
  static const std::vector<Wrong> rows = {
      {"handler = perl", "expected one of cgi, fastcgi, module, php"},
      {"handler =", "expected one of cgi, fastcgi, module, php"},
      {"handler = fastcgi", "handler = fastcgi needs fastcgi.command, the program to run"},
      {"handler = module", "handler = module needs module.path, the shared object to load"},
      {"php.version = eight", "expected a version of two numbers, such as 8.2"},
      {"listen =", kAddress},
      {"listen = 127.0.0.1:", "invalid port value '', expected 1 to 65535"},
      {"listen = 127.0.0.1:69002", "invalid port value '69002', expected 1 to 65535"},
      {"listen = 0", "invalid port value '0', expected 1 to 65535"},
      {"listen = 127.0.0.1:http", "invalid port value 'http', expected 1 to 65535"},
      {"listen = ::1:9000", "expected an IPv6 address in brackets, as in [::1]:9000"},
      {"listen = [127.0.0.1]:9000", "expected an IPv6 address between the brackets"},
      {"listen = 300.0.0.1:9000", kAddress},
      {"listen = *:9000", kAddress},
      {"listen = :9000", kAddress},
      {"listen.backlog = -2", "expected a whole number, -1 or more"},
      {"listen.backlog = 99999999999", "expected a whole number from -1 to 2147483647"},
      {"listen.mode = 0999", kMode},
      {"listen.mode = 1777", kMode},
      {"listen.mode = rw-rw----", kMode},
      {"listen.mode =", kMode},
      {"listen.allowed_clients = 127.0.0.1,xxx",
       std::string("Wrong IP address 'xxx' in listen.allowed_clients, ") + kClients},
      {"listen.allowed_clients =",
       std::string("Wrong IP address '' in listen.allowed_clients, ") + kClients},
      {"process.priority = -20",
       std::string("process.priority must be included into [-19,20], ") + kPriority},
      {"process.priority = 21",
       std::string("process.priority must be included into [-19,20], ") + kPriority},
      {"process.priority = high", kPriority},
      {"process.priority =", kPriority},
      {"process.dumpable = 2", "expected yes or no"},
      {"process.cpu_affinity =", kCpus},
      {"process.cpu_affinity = 3-1", kCpus},
      {"process.cpu_affinity = 0-", kCpus},
      {"process.cpu_affinity = -1", kCpus},
      {"process.cpu_affinity = 0,,1", kCpus},
      {"process.cpu_affinity = 1024", kCpus},
      {"process.cpu_affinity = 99999999999", kCpus},
      {"process.cpu_affinity = 0-3,8", "expected CPUs of this machine, 0 to 7"},
      {"pm = many", "expected one of static, dynamic, ondemand"},
      {"pm =", "expected one of static, dynamic, ondemand"},
      {"pm.max_children = many", kPositive},
      {"pm.max_children = 0",
       std::string("pm.max_children must be a positive value, ") + kPositive},
      {"pm.max_children = -1",
       std::string("pm.max_children must be a positive value, ") + kPositive},
      {"pm.max_children =", kPositive},
      {"pm.max_children = 99999999999", "expected a whole number from 1 to 2147483647"},
      {"pm.start_servers = -1", kNumber},
      {"pm.min_spare_servers = -1", kNumber},
      {"pm.max_spare_servers = 1.5", kNumber},
      {"pm.max_spawn_rate = 0",
       std::string("pm.max_spawn_rate must be a positive value, ") + kPositive},
      {"pm.process_idle_timeout = 10x", kTime},
      {"pm.max_requests = -1", kNumber},
      {"pm.max_requests_jitter = x", kNumber},
      {"pm.max_worker_lifetime = 1y", kTime},
      {"pm.max_memory = 1T", kSize},
      {"pm.max_memory = -1", kSize},
      {"pm.max_memory = 99999999999G", kSize},
      {"pm.status_path = status", "the status path must start with a '/'"},
      {"pm.status_path = /", "the status path is not long enough"},
      {"pm.status_path = /a b",
       "the status path must contain only the following characters '[alphanum]/_-.~'"},
      {"pm.status_listen = 127.0.0.1:0", "invalid port value '0', expected 1 to 65535"},
      {"ping.path = ping", "the ping path must start with a '/'"},
      {"ping.path = /", "the ping path is not long enough"},
      {"ping.path = /a?b",
       "the ping path must contain only the following characters '[alphanum]/_-.~'"},
      {"ping.response =", "the ping response page '' is not long enough, expected text"},
      {"access.log = /none/a.log",
       "failed to open access log (/none/a.log): No such file or directory (2)"},
      {"access.log = /", "failed to open access log (/): Is a directory (21)"},
      {"access.log = /dev/null/a.log",
       "failed to open access log (/dev/null/a.log): Not a directory (20)"},
      {"access.format =", "expected text"},
      {"access.suppress_path = /a", "expected access.suppress_path[] = value"},
      {"access.suppress_path[] = a",
       "[] Values provided to field 'access.suppress_path' must begin with '/'"},
      {"access.suppress_path[] =",
       "[] Values provided to field 'access.suppress_path' must begin with '/'"},
      {"access.suppress_path[k] = /a",
       "[] Keys provided to field 'access.suppress_path' are ignored"},
      {"slowlog = /none/slow.log",
       "Unable to create or open slowlog(/none/slow.log): No such file or directory (2)"},
      {"request_slowlog_timeout = 5w", kTime},
      {"request_slowlog_timeout = 5",
       "'slowlog' must be specified for use with 'request_slowlog_timeout'"},
      {"request_slowlog_trace_depth = 0",
       std::string("'request_slowlog_trace_depth' (0) must be a positive value, ") + kPositive},
      {"request_slowlog_trace_depth = deep", kPositive},
      {"request_slowlog_trace_depth = 5",
       "'slowlog' must be specified for use with 'request_slowlog_trace_depth'"},
      {"request_terminate_timeout = 5 s", kTime},
      {"request_terminate_timeout_track_finished = maybe", "expected yes or no"},
      {"request_terminate_grace = 1,5", kTime},
      {"request_header_timeout = -1", kTime},
      {"request_header_timeout = 1.5", kTime},
      {"request_body_timeout =", kTime},
      {"request_queue_timeout = soon", kTime},
      {"request_drop_abandoned = maybe", "expected yes or no"},
      {"request_on_abort = ignore", "expected one of end, continue"},
      {"keepalive_timeout = 3651d", kTime},
      {"rlimit_files = -1", kCount},
      {"rlimit_files = 1K", kCount},
      {"rlimit_files = 2147483648", kCount},
      {"rlimit_core = many", kBytes},
      {"rlimit_as = 1T", kBytes},
      {"rlimit_nproc =", kCount},
      {"no_new_privs = x", "expected yes or no"},
      {"chroot =", "expected a folder"},
      {"chroot = jail$prefix", "'$prefix' must be use at the beginning of the value"},
      {"prefix = /none", "the prefix '/none' does not exist or is not a directory"},
      {"chdir = /none", "the chdir path '/none' does not exist or is not a directory"},
      {"catch_workers_output = maybe", "expected yes or no"},
      {"decorate_workers_output = maybe", "expected yes or no"},
      {"output_log = /none/a.log",
       "failed to open output_log (/none/a.log): No such file or directory (2)"},
      {"clear_env = 2", "expected yes or no"},
      {"listen.owner = aaaaaa", "cannot get uid for user 'aaaaaa'"},
      {"listen.group = aaaaaa", "cannot get gid for group 'aaaaaa'"},
      {"listen.acl_users = root,aaaaaa", "cannot get uid for user 'aaaaaa'"},
      {"listen.acl_groups = aaaaaa,root", "cannot get gid for group 'aaaaaa'"},
      {"env = x", "expected env[NAME] = value"},
      {"env[] = x", "[] You must provide a key for field 'env'"},
      {"php_value = x", "expected php_value[NAME] = value"},
      {"php_value[] = x", "[] You must provide a key for field 'php_value'"},
      {"php_flag[] = on", "[] You must provide a key for field 'php_flag'"},
      {"php_flag[x] = maybe", "expected yes or no"},
      {"php_admin_value[] = x", "[] You must provide a key for field 'php_admin_value'"},
      {"php_admin_flag[] = on", "[] You must provide a key for field 'php_admin_flag'"},
      {"php_admin_flag[x] = 2", "expected yes or no"},
      {"php.root =", "expected a folder"},
      {"php.root = /none", "the php.root path '/none' does not exist or is not a directory"},
      {"php.ini_parameters = x", "expected yes or no"},
      {"cgi.root =", "expected a folder"},
      {"cgi.root = none", "expected a folder"},
      {"cgi.root = /none", "the cgi.root path '/none' does not exist or is not a directory"},
      {"cgi.allow[] = bin/x", kProgram},
      {"cgi.allow[] =", kProgram},
      {"cgi.allow[x] = /bin/x", "expected cgi.allow[] without a key"},
      {"cgi.allow = /bin/x", "expected cgi.allow[] = value"},
      {"cgi.program = bin/x", kProgram},
      {"cgi.program =", kProgram},
      {"cgi.background = stop", "expected one of leave, kill"},
      {"fastcgi.command = app.fcgi",
       "expected the absolute path of a program, and its arguments with double quotes in pairs"},
      {"fastcgi.family = java", "expected one of libfcgi, perl, php-cgi, python, go, generic"},
      {"fastcgi.ready_timeout = soon", kTime},
      {"fastcgi.warmup = x", "expected fastcgi.warmup[NAME] = value"},
      {"module.path =", "expected a shared object"},
      {"module.option = x", "expected module.option[NAME] = value"},
      {"template.idle_timeout = long", kTime},
      {"request_retry = x", "expected yes or no"},
      {"user[] = x", "expected user = value"},
      {"group[x] = x", "expected group = value"},
      {"status.ready_queue = -1", kNumber},
      {"status.ready_wait = x", kTime},
      {"pm.max_childs = 4", "unknown directive, did you mean pm.max_children?"},
      {"listn = 9000", "unknown directive, did you mean listen?"},
      {"something.else = 4", "unknown directive"},
      {"something[x] = 4", "unknown directive"},
      {"listen.setfib = 1", "only FreeBSD has routing tables of sockets"},
      {"error_log = x", "belongs into [global]"},
      {"http.listen = 127.0.0.1:70000", "invalid port value '70000', expected 0 to 65535"},
      {"http.root =", "expected a folder"},
      {"http.index = a/b", "expected names of files without a folder, as in index.html"},
      {"http.fallback = index.php", "expected a path that begins with '/', as in /index.php"},
      {"http.scripts = some", "expected one of none, extension, executable, all"},
      {"http.script_extensions = php", "expected suffixes with their dot, as in .php"},
      {"http.follow_links = maybe", "expected yes or no"},
      {"http.hidden = maybe", "expected yes or no"},
      {"http.max_header = 100", "expected a size from 1K to 1M"},
      {"http.max_header = many", kSize},
      {"http.max_body = -1", kSize},
      {"http.body_memory = x", kSize},
      {"http.header_timeout = x", kTime},
      {"http.read_timeout = x", kTime},
      {"http.write_timeout = x", kTime},
      {"http.keepalive_timeout = x", kTime},
      {"http.rate = x", kSize},
      {"http.rate_per_connection = x", kSize},
      {"http.max_connections = 0", kPositive},
      {"http.queue_max = 0", kPositive},
      {"http.queue_timeout = x", kTime},
      {"http.trusted_proxies = here", kClients},
      {"http.real_ip_header = a b", "expected the name of a header, as in X-Forwarded-For"},
      {"http.workers = 0", "expected a whole number from 1 to 256"},
  };
  return rows;
}

const std::vector<Wrong>& wrong_in_global() {
  static const std::vector<Wrong> rows = {
      {"pid = /run/$pool.pid", "Can't use '$pool' when the pool is not defined"},
      {"pid[] = x", "expected pid = value"},
      {"pid = a$prefix", "'$prefix' must be use at the beginning of the value"},
      {"error_log =", "expected a file"},
      {"error_log = off", "expected a file"},
      {"error_log = /none/x",
       "failed to open error_log (/none/x): No such file or directory (2)"},
      {"syslog.facility = local8",
       "expected one of auth, authpriv, cron, daemon, ftp, kern, lpr, mail, news, syslog, user, "
       "uucp, local0, local1, local2, local3, local4, local5, local6, local7"},
      {"log_buffering = 2", "expected yes or no"},
      {"log_level = loud", "expected one of debug, notice, warning, warn, error, alert"},
      {"log_level =", "expected one of debug, notice, warning, warn, error, alert"},
      {"log_limit = 511",
       "log_limit must be greater than 512, expected a whole number, 512 or more"},
      {"log_limit = 1K", "expected a whole number, 512 or more"},
      {"log_format = xml", "expected one of text, json"},
      {"template = none", "expected one of pool, shared"},
      {"emergency_restart_interval = 1x", kTime},
      {"emergency_restart_threshold = -1", kNumber},
      {"process_control_timeout = soon", kTime},
      {"shutdown_delay = -1s", kTime},
      {"process.max = -1", std::string("process_max can't be negative, ") + kNumber},
      {"process.max = 1",
       "process.max (1) must not be less than the total number of children that start initially "
       "across all pools (2)"},
      {"process.priority = 30",
       std::string("process.priority must be included into [-19,20], ") + kPriority},
      {"daemonize = x", "expected yes or no"},
      {"rlimit_files = all", kCount},
      {"rlimit_core = -2", kBytes},
      {"events.mechanism = kqueue",
       "event mechanism 'kqueue' is not available on this system, expected auto or epoll"},
      {"events.mechanism =",
       "event mechanism '' is not available on this system, expected auto or epoll"},
      {"systemd_interval = x", kTime},
      {"control.socket[] = x", "expected control.socket = value"},
      {"status.listen = 127.0.0.1:0", "invalid port value '0', expected 1 to 65535"},
      {"status.user =", "expected text"},
      {"status.allowed_clients = localhost", kClients},
      {"log_levle = debug", "unknown directive, did you mean log_level?"},
      {"includ = x", "unknown directive, did you mean include?"},
      {"include =", "expected a file or a pattern, as in pools.d/*.conf"},
      {"user = nobody", "belongs into the section of a pool, as in [www]"},
      {"php_value[x] = 1",
       "Array are not allowed in the global section, it belongs into the section of a pool, as in "
       "[www]"},
  };
  return rows;
}

std::string name_of(const std::string& line) { return line.substr(0, line.find(" =")); }

std::string bare_name(const std::string& line) {
  return line.substr(0, line.find_first_of(" ["));
}

std::string value_of(const std::string& line) {
  const std::size_t equals = line.find(" =");
  return equals + 3 <= line.size() ? line.substr(equals + 3) : std::string();
}

/// The whole message about `row` in line 2 of fpm.conf.
std::string message(const Wrong& row, const std::string& pool) {
  if (row.message.front() == '[') return "[@/fpm.conf:2]" + row.message.substr(2);
  return "@/fpm.conf:2: " + pool + name_of(row.line) + " = \"" + value_of(row.line) +
         "\": " + row.message;
}

/// Directives of kinds that have wrong values and are in no row. (Of texts some have, too.)
template <class Owner>
std::set<std::string> without_wrong(std::span<const Directive<Owner>> directives,
                                    const std::vector<Wrong>& rows) {
  std::set<std::string> names;
  for (const auto& directive : directives) {
    using D = Directive<Owner>;
    const bool any_text =
        directive.template is<typename D::Text>() || directive.template is<typename D::BlankList>();
    if (!any_text) names.emplace(directive.name);
  }
  for (const Wrong& row : rows) names.erase(bare_name(row.line));
  return names;
}

}  // namespace

TEST_CASE("each wrong value of a pool is told once, with what would do") {
  Files files;
  for (const Wrong& row : wrong_in_pool()) {
    CAPTURE(row.line);
    const std::string name = name_of(row.line);
    files.options.running_as_root = name == "chroot" || name == "process.priority";
    // The pool is whole without the line under test, so that nothing else is wrong in it.
    std::string text = "[www]\n" + std::string(row.line) + "\nuser = nobody\n";
    if (!*files.options.running_as_root) text = text.substr(0, text.find("user = nobody"));
    if (name != "listen") text += "listen = www.sock\n";
    if (name != "pm") text += "pm = static\n";
    if (name != "pm.max_children") text += "pm.max_children = 1\n";
    CHECK(files.problems(text) == Lines{message(row, "[pool www] ")});
  }
}

TEST_CASE("each wrong global value is told once, with what would do") {
  const Files files;
  for (const Wrong& row : wrong_in_global()) {
    CAPTURE(row.line);
    CHECK(files.problems("[global]\n" + std::string(row.line) + "\n" + kPool) ==
          Lines{message(row, {})});
  }
}

TEST_CASE("no directive that can be wrong is missing in these tables") {
  CHECK(without_wrong(pool_directives(), wrong_in_pool()) == std::set<std::string>{});
  CHECK(without_wrong(global_directives(), wrong_in_global()) == std::set<std::string>{});
}

TEST_CASE("all wrong values of one file are told, in the order of its lines") {
  const Files files;
  std::string text = "[global]\n";
  std::size_t count = 0;
  for (const Wrong& row : wrong_in_global()) {
    // Rules over several directives come last, and an include is told by the reader of the file.
    const std::string line = row.line;
    if (line == "process.max = 1" || line == "error_log = /none/x") continue;
    text += line + "\n";
    ++count;
  }
  const Lines problems = files.problems(text + kPool);
  REQUIRE(problems.size() == count);
  CHECK(std::set<std::string>(problems.begin(), problems.end()).size() == count);
}
