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
  if (std::holds_alternative<typename D::Flag>(row.field)) {
    return row.name == "daemonize" || row.default_text == "yes" ? "no" : "yes";
  }
  if (std::holds_alternative<typename D::Number>(row.field)) return "12";
  if (std::holds_alternative<typename D::Time>(row.field)) return "1500ms";
  if (std::holds_alternative<typename D::Mode>(row.field)) return "0600";
  if (std::holds_alternative<typename D::Listen>(row.field)) return "127.0.0.1:9000";
  if (std::holds_alternative<typename D::CommaList>(row.field)) return "192.0.2.1,2001:db8::/32";
  if (row.name == "log_level") return "debug";
  if (row.name == "handler") return "cgi";
  if (row.name == "pm") return "static";
  if (row.name == "request_on_abort") return "continue";
  if (row.name == "cgi.background") return "kill";
  return "/some/text";
}

Assignment as_written(const std::string& name, const std::string& text) {
  const std::size_t open = name.find('[');
  if (open == std::string::npos) return {text, {}, true};
  return {text, name.substr(open + 1, name.size() - open - 2), true};
}

/// Default and another value go into the field and come out as the same text again and again.
template <class Owner>
void check_row(const Directive<Owner>& row) {
  CAPTURE(row.name);
  using D = Directive<Owner>;
  for (const std::string& text : {std::string(row.default_text), some_value(row)}) {
    CAPTURE(text);
    if (text.empty()) continue;
    Assignment value{text, {}, true};
    if (row.takes_index()) {
      value.index = std::holds_alternative<typename D::PathList>(row.field) ? "" : "KEY";
    }
    Owner owner;
    REQUIRE(assign(row, owner, value, "/prefix").empty());
    const auto printed = print(row, owner);
    REQUIRE(printed.size() == 1);
    CHECK_FALSE(printed[0].second.empty());
    Owner again;
    REQUIRE(assign(row, again, as_written(printed[0].first, printed[0].second), "/p").empty());
    CHECK(print(row, again) == printed);
  }
  CHECK(row.doc.size() > 20);
  CHECK(row.doc.back() == '.');
  if (std::holds_alternative<typename D::Time>(row.field)) {
    CHECK(row.doc.find("(time in seconds; suffix ms, s, m, h, d") != std::string::npos);
  }
  if (std::holds_alternative<typename D::Number>(row.field)) {
    CHECK((row.doc.find("(connections") != std::string::npos ||
           row.doc.find("(workers") != std::string::npos));
  }
}

/// Two rows that write one field would be a slip: no row may change what another one prints.
template <class Owner>
void check_no_shared_field(std::span<const Directive<Owner>> rows) {
  for (const auto& row : rows) {
    Owner owner;
    Assignment value{{}, {}, true};
    const std::string text = some_value(row);
    value.text = text;
    if (row.takes_index()) value.index = row.name == "env" ? "KEY" : "";
    REQUIRE(assign(row, owner, value, "/p").empty());
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
  std::set<std::string_view> names;
  for (const auto& row : global_directives()) CHECK(names.insert(row.name).second);
  for (const auto& row : pool_directives()) CHECK(names.insert(row.name).second);
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
  CHECK_FALSE(global.daemonize);
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

TEST_CASE("each wrong value is told with what would do") {
  struct Row { const char* line; const char* message; };
  const Row rows[] = {
      {"handler = perl", "expected one of cgi, fastcgi, module, php"},
      {"handler = fastcgi", "the handler fastcgi is not there yet, expected cgi"},
      {"handler = module", "the handler module is not there yet, expected cgi"},
      {"handler = php", "the handler php is not there yet, expected cgi"},
      {"listen =", "expected a path, port, host:port or [v6]:port"},
      {"listen = 127.0.0.1:", "invalid port value '', expected 1 to 65535"},
      {"listen = 127.0.0.1:69002", "invalid port value '69002', expected 1 to 65535"},
      {"listen = 0", "invalid port value '0', expected 1 to 65535"},
      {"listen = 127.0.0.1:http", "invalid port value 'http', expected 1 to 65535"},
      {"listen = ::1:9000", "expected an IPv6 address in brackets, as in [::1]:9000"},
      {"listen = [127.0.0.1]:9000", "expected an IPv6 address between the brackets"},
      {"listen = 300.0.0.1:9000", "expected a path, port, host:port or [v6]:port"},
      {"listen = *:9000", "expected a path, port, host:port or [v6]:port"},
      {"listen = :9000", "expected a path, port, host:port or [v6]:port"},
      {"listen.backlog = -2", "expected a whole number, -1 or more"},
      {"listen.backlog = 99999999999", "expected a whole number from -1 to 2147483647"},
      {"listen.mode = 0999", "expected octal digits from 0 to 0777, as in 0660"},
      {"listen.mode = 1777", "expected octal digits from 0 to 0777, as in 0660"},
      {"listen.mode = rw-rw----", "expected octal digits from 0 to 0777, as in 0660"},
      {"listen.allowed_clients = 127.0.0.1,xxx",
       "expected IPv4 or IPv6 addresses or networks (192.0.2.0/24), separated by commas"},
      {"listen.allowed_clients =",
       "expected IPv4 or IPv6 addresses or networks (192.0.2.0/24), separated by commas"},
      {"pm = many", "expected one of static, dynamic, ondemand"},
      {"pm = dynamic", "pm = dynamic is not there yet, expected static"},
      {"pm = ondemand", "pm = ondemand is not there yet, expected static"},
      {"pm.max_children = many", "expected a whole number, 1 or more"},
      {"pm.max_children = 0", "expected a whole number, 1 or more"},
      {"pm.max_children =", "expected a whole number, 1 or more"},
      {"pm.max_children = 99999999999", "expected a whole number from 1 to 2147483647"},
      {"pm.status_path = status", "the status path must start with a '/'"},
      {"pm.status_path = /", "the status path is not long enough"},
      {"pm.status_path = /a b",
       "the status path must contain only the following characters '[alphanum]/_-.~'"},
      {"ping.path = ping", "the ping path must start with a '/'"},
      {"ping.path = /", "the ping path is not long enough"},
      {"ping.path = /a?b",
       "the ping path must contain only the following characters '[alphanum]/_-.~'"},
      {"ping.response =", "expected text"},
      {"access.format =", "expected text"},
      {"catch_workers_output = maybe", "expected yes or no"},
      {"clear_env = 2", "expected yes or no"},
      {"request_terminate_timeout = 5 s",
       "expected a whole number with s, m, h, d or ms behind it, at most 3650d"},
      {"request_terminate_timeout = 5w",
       "expected a whole number with s, m, h, d or ms behind it, at most 3650d"},
      {"request_header_timeout = -1",
       "expected a whole number with s, m, h, d or ms behind it, at most 3650d"},
      {"request_header_timeout = 1.5",
       "expected a whole number with s, m, h, d or ms behind it, at most 3650d"},
      {"request_on_abort = ignore", "expected one of end, continue"},
      {"chroot = jail", "expected a folder as an absolute path"},
      {"chroot =", "expected a folder as an absolute path"},
      {"cgi.root =", "expected a folder"},
      {"cgi.root = none", "expected a folder"},
      {"cgi.allow[] = bin/x", "expected a program as an absolute path"},
      {"cgi.allow[] =", "expected a program as an absolute path"},
      {"cgi.allow[x] = /bin/x", "expected cgi.allow[] without a key"},
      {"cgi.allow = /bin/x", "expected cgi.allow[] = value"},
      {"cgi.program = bin/x", "expected a program as an absolute path"},
      {"cgi.program =", "expected a program as an absolute path"},
      {"cgi.background = stop", "expected one of leave, kill"},
      {"env = x", "expected env[NAME] = value"},
      {"env[] = x", "expected a key, as in env[NAME]"},
      {"user[] = x", "expected user = value"},
      {"group[x] = x", "expected group = value"},
      {"pm.max_childs = 4", "unknown directive, did you mean pm.max_children?"},
      {"listn = 9000", "unknown directive, did you mean listen?"},
      {"something.else = 4", "unknown directive"},
      {"php_value[x] = 4", "unknown directive"},
      {"error_log = x", "belongs into [global]"},
  };
  const Files files;
  for (const Row& row : rows) {
    CAPTURE(row.line);
    const std::string line = row.line;
    const std::size_t equals = line.find(" =");
    const std::string name = line.substr(0, equals);
    const std::string value =
        equals + 3 <= line.size() ? line.substr(equals + 3) : std::string();
    // The pool is whole without the line under test, so that nothing else is wrong in it.
    std::string text = "[www]\n" + line + "\n";
    if (name != "listen") text += "listen = www.sock\n";
    if (name != "pm") text += "pm = static\n";
    if (name != "pm.max_children") text += "pm.max_children = 1\n";
    CHECK(files.problems(text) == Lines{"@/fpm.conf:2: [pool www] " + name + " = \"" + value +
                                        "\": " + row.message});
  }
}

TEST_CASE("each wrong global value is told with what would do") {
  struct Row { const char* name; const char* value; const char* message; };
  const Row rows[] = {
      {"log_level", "loud", "expected one of debug, notice, warning, warn, error, alert"},
      {"daemonize", "yes", "going into the background is not there yet, expected no"},
      {"daemonize", "x", "expected yes or no"},
      {"error_log", "", "expected a file"},
      {"error_log", "syslog", "syslog is not there yet, expected a file"},
      {"process_control_timeout", "soon",
       "expected a whole number with s, m, h, d or ms behind it, at most 3650d"},
      {"pid", "/run/$pool.pid", "Can't use '$pool' when the pool is not defined"},
      {"pid[]", "x", "expected pid = value"},
      {"log_levle", "debug", "unknown directive, did you mean log_level?"},
      {"includ", "x", "unknown directive, did you mean include?"},
      {"include", "", "expected a file or a pattern, as in pools.d/*.conf"},
      {"user", "nobody", "belongs into the section of a pool, as in [www]"},
  };
  const Files files;
  for (const Row& row : rows) {
    CAPTURE(row.name, row.value);
    const std::string name = row.name;
    const std::string value = row.value;
    CHECK(files.problems("[global]\n" + name + " = " + value + "\n" + kPool) ==
          Lines{"@/fpm.conf:2: " + name + " = \"" + value + "\": " + row.message});
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
  const Loaded loaded =
      files.load("[global]\nerror_log = /var/log/x\n" + kPool +
                 "env[A] = a b\ncgi.allow[] = /bin/x\nrequest_header_timeout = 1500ms\n");
  REQUIRE(loaded.ok());
  const Lines lines = dump(loaded.config);
  const Lines head = {"[global]", "\tpid = undefined", "\terror_log = /var/log/x",
                      "\tlog_level = notice", "\tprocess_control_timeout = 30s",
                      "\tdaemonize = no", " ", "[www]"};
  REQUIRE(lines.size() > head.size());
  CHECK(Lines(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(head.size())) == head);
  for (const char* const line :
       {"\tuser = undefined", "\tlisten.mode = 0660", "\tpm = static", "\tenv[A] = a b",
        "\tcgi.allow[] = /bin/x", "\trequest_header_timeout = 1500ms", "\tclear_env = yes",
        "\trequest_terminate_timeout = 0s", "\trequest_on_abort = undefined"}) {
    CAPTURE(line);
    CHECK(std::count(lines.begin(), lines.end(), line) == 1);
  }
  CHECK(std::find(lines.begin(), lines.end(), "\tlisten = " + files("www.sock")) != lines.end());
  CHECK(lines.back() == " ");
}
