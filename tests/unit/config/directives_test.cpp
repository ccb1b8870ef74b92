#include "fpm/config/directives.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "files.hpp"
#include "fpm/config/describe.hpp"
#include "fpm/config/values.hpp"

using namespace fpm::config;
using test::Files;
using test::kPool;
using test::kRest;
using test::Lines;

namespace {

/// A text other than the default that the row takes.
template <class Owner>
std::string some_value(const Directive<Owner>& row) {
  using D = Directive<Owner>;
  if (row.name == "http.scripts") return "all";
  if (row.name == "http.real_ip_header") return "X-Real-IP";
  if (row.name == "http.max_header") return "8K";
  if (row.name == "http.max_connections") return "12";
  if (row.name == "http.workers") return "3";
  if (row.template is<typename D::Flag>()) return row.default_text == "yes" ? "no" : "yes";
  if (row.template is<typename D::Number>()) return "1200";
  if (row.template is<typename D::OptionalNumber>()) return "-12";
  if (row.template is<typename D::Time>()) return "1500ms";
  if (row.template is<typename D::Size>()) return "3M";
  if (row.template is<typename D::ResourceLimit>()) return "4096";
  if (row.template is<typename D::Cpus>()) return "0-3,8";
  if (row.template is<typename D::Mode>()) return "0600";
  if (row.template is<typename D::Listen>()) return "127.0.0.1:9000";
  if (row.template is<typename D::CommaList>()) return "192.0.2.1,2001:db8::/32";
  if (row.template is<typename D::BlankList>()) return ".a .b";
  if (row.template is<typename D::PhpValues>()) return "1";
  if (row.name == "log_level") return "debug";
  if (row.name == "log_format") return "json";
  if (row.name == "template") return "shared";
  if (row.name == "syslog.facility") return "local3";
  if (row.name == "events.mechanism") return "poll";
  if (row.name == "handler") return "cgi";
  if (row.name == "pm") return "ondemand";
  if (row.name == "request_on_abort") return "continue";
  if (row.name == "cgi.background") return "kill";
  if (row.name == "fastcgi.family") return "php-cgi";
  if (row.name == "php.version") return "8.4";
  return "/some/text";
}

template <class Owner>
Assignment some_assignment(const Directive<Owner>& row, std::string_view text) {
  Assignment value{text, {}, true};
  if (row.takes_index()) value.index = row.takes_key() ? "KEY" : "";
  return value;
}

Assignment as_written(const std::string& name, const std::string& text) {
  const std::size_t open = name.find('[');
  if (open == std::string::npos) return {text, {}, true};
  return {text, name.substr(open + 1, name.size() - open - 2), true};
}

bool is_php_flag(std::string_view name) { return name == "php_flag" || name == "php_admin_flag"; }

/// Default and another value go into the field and come out as the same text again and again.
template <class Owner>
void check_row(const Directive<Owner>& row) {
  CAPTURE(row.name);
  using D = Directive<Owner>;
  for (const std::string& text : {std::string(row.default_text), some_value(row)}) {
    CAPTURE(text);
    if (text.empty() || is_php_flag(row.name)) continue;
    Owner owner;
    if (row.template is<typename D::BlankList>()) owner = Owner();
    REQUIRE(assign(row, owner, some_assignment(row, text)).empty());
    const auto printed = print(row, owner);
    REQUIRE(printed.size() == 1);
    CHECK_FALSE(printed[0].second.empty());
    Owner again;
    REQUIRE(assign(row, again, as_written(printed[0].first, printed[0].second)).empty());
    CHECK(print(row, again) == printed);
  }
  CHECK(row.doc.size() > 20);
  CHECK(row.doc.back() == '.');
  const auto says = [&](const char* text) { return row.doc.find(text) != std::string::npos; };
  if (row.template is<typename D::Time>()) {
    CHECK(says("(time in seconds; suffix ms, s, m, h, d"));
  }
  if (row.template is<typename D::Size>()) CHECK(says("(bytes; suffix K, M, G"));
  if (row.template is<typename D::Number>() || row.template is<typename D::ResourceLimit>()) {
    const bool unit = says("(connections") || says("(workers") || says("(bytes") ||
                      says("(requests") || says("(frames") || says("(files") || says("(processes");
    CHECK(unit);
  }
}

/// Two rows that write one field would be a slip: no row may change what another one prints. But
/// php_flag and php_value mean the same list.
template <class Owner>
void check_no_shared_field(std::span<const Directive<Owner>> rows) {
  for (const auto& row : rows) {
    if (is_php_flag(row.name)) continue;
    Owner owner;
    const std::string text = some_value(row);
    REQUIRE(assign(row, owner, some_assignment(row, text)).empty());
    for (const auto& other : rows) {
      CAPTURE(row.name, other.name);
      if (&row != &other) CHECK(print(other, owner) == print(other, Owner()));
    }
  }
}

}  // namespace

TEST_CASE("every row has a default that parses, text that is stable, and a unit") {
  for (const auto& row : global_directives()) check_row(row);
  for (const auto& row : pool_directives()) check_row(row);
}

TEST_CASE("no two rows share a field or a name") {
  check_no_shared_field(global_directives());
  check_no_shared_field(pool_directives());
  std::set<std::string_view> global;
  for (const auto& row : global_directives()) CHECK(global.insert(row.name).second);
  std::set<std::string_view> pool;
  for (const auto& row : pool_directives()) CHECK(pool.insert(row.name).second);
}

TEST_CASE("the defaults are those of the manual") {
  const Files files;
  const Loaded loaded = files.load(kPool);
  REQUIRE(loaded.ok());
  const Global& global = loaded.config.global;
  CHECK(global.pid.empty());
  CHECK(global.error_log.find("/log/fpm.log") != std::string::npos);
  CHECK(global.error_log.front() == '/');
  CHECK(global.log_level == fpm::log::Level::notice);
  CHECK(global.daemonize);
  CHECK(global.process_control_timeout == std::chrono::seconds(30));
  REQUIRE(loaded.config.pools.size() == 1);
  const Pool& pool = loaded.config.pools[0];
  CHECK(pool.handler == HandlerKind::cgi);
  CHECK(pool.listen_mode == "0660");
  CHECK(pool.listen_backlog == -1);
  CHECK(pool.ping_response == "pong");
  CHECK(pool.access_format == "%R - %u %t \"%m %r\" %s");
  CHECK(pool.request_terminate_timeout == std::chrono::seconds(0));
  CHECK(pool.request_header_timeout == std::chrono::seconds(5));
  CHECK(pool.request_on_abort == OnAbort::by_handler);
  CHECK(pool.clear_env);
  CHECK_FALSE(pool.catch_workers_output);
  CHECK(pool.cgi_background == Background::leave);
}

TEST_CASE("a Global or Pool without a table has the table's defaults") {
  for (const auto& row : global_directives()) {
    CAPTURE(row.name);
    if (row.name != "error_log") CHECK(print(row, Global()) == print(row, default_global()));
  }
  for (const auto& row : pool_directives()) {
    CAPTURE(row.name);
    CHECK(print(row, Pool()) == print(row, default_pool({})));
  }
}

TEST_CASE("names are taken in any case, and a later value counts") {
  const Files files;
  const Loaded loaded = files.load(
      "[GLOBAL]\nLOG_Level = WARN\n[www]\nListen = a\nPM = Static\npm.max_children = 1\n"
      "env[A] = 1\nenv[B] = 2\n[global]\nlog_level = error\n[WWW]\nlisten = b\nenv[A] = 3\n");
  CHECK(files.messages(loaded).empty());
  REQUIRE(loaded.config.pools.size() == 1);
  const Pool& pool = loaded.config.pools[0];
  CHECK(loaded.config.global.log_level == fpm::log::Level::error);
  CHECK(pool.name == "www");
  CHECK(pool.listen.path == files("b"));
  CHECK(pool.env == Variables{{"A", "3"}, {"B", "2"}});
}

TEST_CASE("the dump has php-fpm's form and shows what is in force") {
  const Files files;
  const Loaded loaded = files.load(
      "[global]\nerror_log = /var/log/x\nrlimit_core = unlimited\n" + kPool +
      "env[A] = a b\nenv[B] = $HOME\ncgi.allow[] = /bin/x\nrequest_header_timeout = 1500ms\n"
      "access.suppress_path[] = /a\naccess.suppress_path[] = /b\nphp_flag[x] = off\n"
      "php_value[error_reporting] = E_ALL\nrlimit_files = 64\nlisten.group =\n");
  REQUIRE(loaded.ok());
  const Lines lines = dump(loaded.config);
  const Lines head = {"[global]",
                      "\tpid = undefined",
                      "\terror_log = /var/log/x",
                      "\tsyslog.ident = php-fpm",
                      "\tsyslog.facility = 24",
                      "\tlog_buffering = yes",
                      "\tlog_level = NOTICE",
                      "\tlog_limit = 1024",
                      "\tlog_format = text",
                      "\ttemplate = pool",
                      "\temergency_restart_interval = 0s",
                      "\temergency_restart_threshold = 0",
                      "\tprocess_control_timeout = 30s",
                      "\tshutdown_delay = 0s",
                      "\tprocess.max = 0",
                      "\tprocess.priority = undefined",
                      "\tdaemonize = yes",
                      "\trlimit_files = 0",
                      "\trlimit_core = -1",
                      "\tevents.mechanism = epoll",
                      "\tcontrol.socket = undefined",
                      "\tstatus.listen = undefined",
                      "\tstatus.user = nobody",
                      "\tstatus.allowed_clients = undefined",
                      "\tsystemd_interval = 10s",
                      " ",
                      "[www]"};
  REQUIRE(lines.size() > head.size());
  CHECK(Lines(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(head.size())) == head);
  for (const char* const line :
       {"\tuser = undefined", "\tlisten.mode = undefined", "\tpm = static", "\tenv[A] = a b",
        "\tenv[B] = $HOME", "\tcgi.allow[] = /bin/x", "\trequest_header_timeout = 1500ms",
        "\tclear_env = yes", "\trequest_terminate_timeout = 0s", "\trequest_on_abort = undefined",
        "\tpm.process_idle_timeout = 10", "\tping.response = undefined", "\tlisten.group = ",
        "\taccess.format = undefined", "\tphp_value[error_reporting] = 32767",
        "\tphp_value[x] = 0", "\trlimit_files = 64", "\tsecurity.limit_extensions = .php .phar"}) {
    CAPTURE(line);
    CHECK(std::count(lines.begin(), lines.end(), line) == 1);
  }
  CHECK(std::find(lines.begin(), lines.end(), "\tlisten = " + files("www.sock")) != lines.end());
  const auto newest = std::find(lines.begin(), lines.end(), "\taccess.suppress_path[] = /b");
  REQUIRE(newest != lines.end());
  CHECK(*(newest + 1) == "\taccess.suppress_path[] = /a");
  CHECK(lines.back() == " ");
}

TEST_CASE("what a default depends on is shown when it is there") {
  const Files files;
  const Lines lines =
      dump(files.load(kPool + "ping.path = /p\naccess.log = a.log\nlisten.mode = 0600\n").config);
  for (const char* const line :
       {"\tping.response = pong", "\taccess.format = %R - %u %t \"%m %r\" %s",
        "\tlisten.mode = 0600"}) {
    CAPTURE(line);
    CHECK(std::count(lines.begin(), lines.end(), line) == 1);
  }
}
