// Rules over several directives, in php-fpm's words where it has any.
#include <catch2/catch.hpp>

#include "files.hpp"
#include "fpm/config/php_value.hpp"

using namespace fpm::config;
using fpm::log::Level;
using test::Files;
using test::kPool;
using test::kRest;
using test::Lines;
using test::Variable;

namespace {

const std::string kDynamic = "[www]\nlisten = www.sock\npm = dynamic\npm.max_children = 9\n";

Lines at_www(Lines lines) {
  for (std::string& line : lines) line = "@/fpm.conf:" + line;
  return lines;
}

const Pool& only_pool(const Loaded& loaded) {
  REQUIRE(loaded.ok());
  REQUIRE(loaded.config.pools.size() == 1);
  return loaded.config.pools[0];
}

}  // namespace

TEST_CASE("a dynamic pool starts with half of its spare servers unless told otherwise") {
  const Files files;
  const Loaded loaded =
      files.load(kDynamic + "pm.min_spare_servers = 1\npm.max_spare_servers = 4\n");
  CHECK(only_pool(loaded).start_servers == 2);
  CHECK(files.messages(loaded) ==
        Lines{"[pool www] pm.start_servers is not set. It's been set to 2."});
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].level == Level::notice);
  const Loaded told = files.load(
      kDynamic + "pm.min_spare_servers = 1\npm.max_spare_servers = 4\npm.start_servers = 4\n");
  CHECK(only_pool(told).start_servers == 4);
  CHECK(told.problems.empty());
}

TEST_CASE("spare servers must fit each other") {
  const Files files;
  CHECK(files.problems(kDynamic) ==
        at_www({"1: [pool www] pm.min_spare_servers(0) must be a positive value",
                "1: [pool www] pm.max_spare_servers(0) must be a positive value"}));
  const auto spare = [&](int min, int max, int start) {
    return files.problems(kDynamic + "pm.min_spare_servers = " + std::to_string(min) +
                          "\npm.max_spare_servers = " + std::to_string(max) +
                          "\npm.start_servers = " + std::to_string(start) + "\n");
  };
  CHECK(spare(1, 9, 1).empty());
  CHECK(spare(9, 9, 9).empty());
  CHECK(spare(1, 10, 1) ==
        at_www({"6: [pool www] pm.max_spare_servers = \"10\": pm.min_spare_servers(1) and "
                "pm.max_spare_servers(10) cannot be greater than pm.max_children(9)"}));
  CHECK(spare(10, 1, 1) ==
        at_www({"5: [pool www] pm.min_spare_servers = \"10\": pm.min_spare_servers(10) and "
                "pm.max_spare_servers(1) cannot be greater than pm.max_children(9)"}));
  CHECK(spare(4, 3, 3) ==
        at_www({"6: [pool www] pm.max_spare_servers = \"3\": pm.max_spare_servers(3) must not be "
                "less than pm.min_spare_servers(4)"}));
  for (const int start : {1, 5}) {
    CHECK(spare(2, 4, start) ==
          at_www({"7: [pool www] pm.start_servers = \"" + std::to_string(start) +
                  "\": pm.start_servers(" + std::to_string(start) +
                  ") must not be less than pm.min_spare_servers(2) and not greater than "
                  "pm.max_spare_servers(4)"}));
  }
  // A static pool has none, whatever stands there.
  CHECK(files.problems(kPool + "pm.min_spare_servers = 7\npm.max_spare_servers = 5\n").empty());
}

TEST_CASE("an ondemand pool needs a time to be idle and room for those who wait") {
  const Files files;
  const std::string pool = "[www]\nlisten = www.sock\npm = ondemand\npm.max_children = 2\n";
  CHECK(files.problems(pool + "pm.process_idle_timeout = 0\n") ==
        at_www({"5: [pool www] pm.process_idle_timeout = \"0\": pm.process_idle_timeout(0s) must "
                "be greater than 0s"}));
  const Loaded low = files.load(pool + "listen.backlog = 5\npm.start_servers = 3\n");
  CHECK(only_pool(low).listen_backlog == 511);
  CHECK(only_pool(low).start_servers == 0);
  CHECK(files.messages(low) ==
        at_www({"5: [pool www] listen.backlog = \"5\": listen.backlog(5) was too low for the "
                "ondemand process manager. I updated it for you to 511."}));
  REQUIRE(low.problems.size() == 1);
  CHECK(low.problems[0].level == Level::warning);
  CHECK(files.problems(pool + "listen.backlog = 511\n").empty());
  CHECK(files.problems(pool).empty());
  CHECK(files.problems(kPool + "listen.backlog = 5\npm.process_idle_timeout = 0\n").empty());
}

TEST_CASE("process.max must hold the workers that start") {
  const Files files;
  const std::string pools =
      "[a]\nlisten = a.sock\npm = static\npm.max_children = 2\n"
      "[b]\nlisten = b.sock\npm = dynamic\npm.max_children = 9\npm.min_spare_servers = 1\n"
      "pm.max_spare_servers = 9\npm.start_servers = 2\n"
      "[c]\nlisten = c.sock\npm = ondemand\npm.max_children = 9\n";
  CHECK(files.problems("process.max = 3\n" + pools) ==
        at_www({"1: process.max = \"3\": process.max (3) must not be less than the total number of "
                "children that start initially across all pools (4)"}));
  CHECK(files.problems("process.max = 4\n" + pools).empty());
  CHECK(files.problems("process.max = 0\n" + pools).empty());
}

TEST_CASE("the slow log needs a file and comes before the end of a request") {
  const Files files;
  const std::string slow = kPool + "slowlog = slow.log\nrequest_slowlog_timeout = ";
  CHECK(files.problems(slow + "5\nrequest_terminate_timeout = 3\n") ==
        at_www({"6: [pool www] request_slowlog_timeout = \"5\": 'request_slowlog_timeout' (5) can't "
                "be greater than 'request_terminate_timeout' (3)"}));
  CHECK(files.problems(slow + "1500ms\nrequest_terminate_timeout = 1\n") ==
        at_www({"6: [pool www] request_slowlog_timeout = \"1500ms\": 'request_slowlog_timeout' "
                "(1500ms) can't be greater than 'request_terminate_timeout' (1)"}));
  for (const char* good : {"3\nrequest_terminate_timeout = 3\n", "3\n", "0\n"}) {
    CHECK(files.problems(slow + good).empty());
  }
}

TEST_CASE("directives that do nothing alone are told") {
  const Files files;
  CHECK(files.problems("emergency_restart_threshold = 3\n" + kPool) ==
        at_www({"1: emergency_restart_threshold = \"3\": has no effect without "
                "emergency_restart_interval"}));
  CHECK(files.problems("emergency_restart_interval = 3\n" + kPool) ==
        at_www({"1: emergency_restart_interval = \"3\": has no effect without "
                "emergency_restart_threshold"}));
  CHECK(files.problems("emergency_restart_interval = 3\nemergency_restart_threshold = 3\n" + kPool)
            .empty());
  CHECK(files.problems(kPool + "pm.max_requests_jitter = 3\n") ==
        at_www({"5: [pool www] pm.max_requests_jitter = \"3\": has no effect without "
                "pm.max_requests"}));
  CHECK(files.problems(kPool + "pm.max_requests_jitter = 3\npm.max_requests = 9\n").empty());
}

TEST_CASE("with an ACL owner and group of the socket do nothing") {
  const Files files;
  const Loaded loaded = files.load(
      kPool + "listen.acl_users = root, 0\nlisten.owner = root\nlisten.group = root\n");
  CHECK(only_pool(loaded).listen_acl_users == Lines{"root", "0"});
  CHECK(files.messages(loaded) ==
        at_www({"6: [pool www] listen.owner = \"root\": ACL set, listen.owner = 'root' is ignored",
                "7: [pool www] listen.group = \"root\": ACL set, listen.group = 'root' is "
                "ignored"}));
}

TEST_CASE("epoll is what waits for events") {
  const Files files;
  for (const char* word : {"auto", "EPOLL", "epoll"}) {
    const Loaded loaded = files.load("events.mechanism = " + std::string(word) + "\n" + kPool);
    CHECK(loaded.problems.empty());
    CHECK(loaded.config.global.events_mechanism == "epoll");
  }
  const Loaded other = files.load("events.mechanism = select\n" + kPool);
  CHECK(other.ok());
  CHECK(other.config.global.events_mechanism == "epoll");
  CHECK(files.messages(other) == at_www({"1: events.mechanism = \"select\": epoll is used"}));
}

TEST_CASE("a status page may not listen where a pool does") {
  const Files files;
  CHECK(files.problems(kPool + "pm.status_listen = ./www.sock\n") ==
        at_www({"5: [pool www] pm.status_listen = \"./www.sock\": unable to set listen address as "
                "it's already used in another pool 'www' (as \"www.sock\")"}));
  const Loaded loaded = files.load(kPool + "pm.status_listen = 127.0.0.1:9001\n");
  CHECK(only_pool(loaded).status_listen.port == 9001);
  CHECK(files.problems(kPool + "pm.status_listen = a.sock\n[b]\n" + kRest + "listen = a.sock\n") ==
        at_www({"9: [pool b] listen = \"a.sock\": unable to set listen address as it's already "
                "used in another pool 'www_status'"}));
}

TEST_CASE("what needs root is dropped with a notice") {
  Files files;
  const std::string text = "process.priority = 5\n" + kPool +
                           "process.priority = -5\nuser = nobody\ngroup = nogroup\nchroot = /\n";
  const Loaded loaded = files.load(text);
  CHECK(files.messages(loaded) ==
        Lines{"'process.priority' directive is ignored when FPM is not running as root",
              "[pool www] 'user' directive is ignored when FPM is not running as root",
              "[pool www] 'group' directive is ignored when FPM is not running as root",
              "[pool www] 'chroot' directive is ignored when FPM is not running as root",
              "[pool www] 'process.priority' directive is ignored when FPM is not running as root"});
  CHECK_FALSE(only_pool(loaded).process_priority.has_value());
  CHECK_FALSE(loaded.config.global.process_priority.has_value());
  files.options.running_as_root = true;
  const Loaded root = files.load(text);
  CHECK(root.problems.empty());
  CHECK(only_pool(root).process_priority == -5);
  CHECK(root.config.global.process_priority == 5);
}

TEST_CASE("the prefix of a pool holds its relative paths, wherever it stands") {
  Files files;
  files.options.running_as_root = true;
  files.write("srv/jail/tmp/file", "");
  files.write("srv/log/file", "");
  const Loaded loaded = files.load(
      kPool + "user = nobody\nchroot = $prefix/jail\naccess.log = log/a.log\nslowlog = log/s.log\n"
              "php_admin_value[error_log] = log/php.log\nphp_value[error_log] = log/x\n"
              "php_admin_value[extension_dir] = /abs\nphp_admin_value[other] = y\nprefix = srv\nchdir = /tmp\n");
  const Pool& pool = only_pool(loaded);
  CHECK(pool.prefix == files("srv"));
  CHECK(pool.listen.path == files("srv/www.sock"));
  CHECK(pool.chroot == files("srv/jail"));
  CHECK(pool.chdir == "/tmp");
  CHECK(pool.access_log == files("srv/log/a.log"));
  CHECK(pool.slowlog == files("srv/log/s.log"));
  CHECK(pool.php_admin_values == Variables{{"error_log", files("srv/log/php.log")},
                                           {"extension_dir", "/abs"},
                                           {"other", "y"}});
  CHECK(pool.php_values == Variables{{"error_log", "log/x"}});
}

TEST_CASE("options give the prefix and the pid file") {
  Files files;
  files.write("here/pools/a.conf", "[a]\nlisten = a.sock\n" + kRest);
  files.options.prefix = files("here");
  files.options.pid_file = "run.pid";
  const Loaded loaded = files.load("pid = other.pid\ninclude = pools/*.conf\nerror_log = syslog\n");
  CHECK(only_pool(loaded).listen.path == files("here/a.sock"));
  CHECK(loaded.config.prefix == files("here"));
  CHECK(loaded.config.global.pid == files("here/run.pid"));
  CHECK(loaded.config.global.error_log == "syslog");
  files.options.prefix = "/none";
  CHECK(files.problems("[w]\nlisten = /w.sock\n" + kRest) ==
        Lines{"the global prefix '/none' does not exist or is not a directory"});
}

TEST_CASE("one pool alone may be wanted") {
  Files files;
  const std::string two = kPool + "[other]\nlisten = other.sock\n" + kRest;
  files.options.single = "Other";
  const Loaded loaded = files.load(two);
  CHECK(only_pool(loaded).name == "other");
  CHECK(loaded.problems.empty());
  files.options.single = "third";
  CHECK(files.problems(two) ==
        Lines{"@/fpm.conf: there is no pool 'third', which is to be the single one"});
  CHECK(files.load(two).config.pools.size() == 2);
}

TEST_CASE("PHP's settings are read as php.ini reads them") {
  const std::pair<const char*, const char*> rows[] = {
      {"E_ALL", "32767"},         {"E_ALL & ~E_NOTICE", "32759"}, {"E_ALL&~E_DEPRECATED", "24575"},
      {"E_ERROR | E_PARSE", "5"}, {"(E_ALL ^ 1)", "32766"},       {"~0", "-1"},
      {"!E_ALL", "0"},            {"on", "1"},                    {"No", ""},
      {"none", ""},               {"null", ""},                   {"128M", "128M"},
      {"7", "7"},                 {"0", "0"},                     {"a|b", "a|b"},
      {"E_ALL &", "E_ALL &"},     {"(E_ALL", "(E_ALL"},           {"/a/b", "/a/b"},
      {"E_ALL E_ALL", "E_ALL E_ALL"}, {"", ""}, {"99999999999|1", "99999999999|1"},
  };
  for (const auto& [text, value] : rows) {
    CAPTURE(text);
    CHECK(php_value(text) == value);
  }
  CHECK(php_value(std::string(10000, '~') + "1") == std::string(10000, '~') + "1");
}

TEST_CASE("PHP's settings keep the order of the file, flags among them") {
  const Files files;
  const Loaded loaded = files.load(
      kPool + "php_value[a] = 1m\nphp_flag[b] = on\nphp_value[a] = off\nphp_flag[c] = no\n"
              "php_value[q] = \"off\"\nphp_admin_flag[d] = yes\nphp_admin_value[e] = E_ALL\n"
              "php_admin_value[f] =\n");
  const Pool& pool = only_pool(loaded);
  CHECK(pool.php_values ==
        Variables{{"a", "1m"}, {"b", "1"}, {"a", ""}, {"c", "0"}, {"q", "off"}});
  CHECK(pool.php_admin_values == Variables{{"d", "1"}, {"e", "32767"}, {"f", ""}});
}

TEST_CASE("bare words are php.ini's, quoted ones are text") {
  const Files files;
  const Loaded loaded = files.load(
      kPool + "env[A] = yes\nenv[B] = off\nenv[C] = \"yes\"\nenv[D] = 0\npm.status_path = off\n"
              "security.limit_extensions = FALSE\n");
  const Pool& pool = only_pool(loaded);
  CHECK(pool.env == Variables{{"A", "1"}, {"B", ""}, {"C", "yes"}, {"D", "0"}});
  CHECK(pool.status_path.empty());
  CHECK(pool.limit_extensions.empty());
  const Loaded list = files.load(kPool + "security.limit_extensions = \".a  .b\"\n");
  CHECK(only_pool(list).limit_extensions == Lines{".a", ".b"});
}

TEST_CASE("limits and CPUs are numbers ready to use") {
  const Files files;
  const Loaded loaded = files.load(
      kPool + "rlimit_files = 64\nrlimit_core = unlimited\nrlimit_as = 2G\nrlimit_nproc = 0\n"
              "process.cpu_affinity = 4,0-2,1\npm.max_memory = 64M\n");
  const Pool& pool = only_pool(loaded);
  CHECK(pool.rlimit_files == 64U);
  CHECK(pool.rlimit_core == kUnlimited);
  CHECK(pool.rlimit_as == 2147483648U);
  CHECK_FALSE(pool.rlimit_nproc.has_value());
  CHECK(pool.cpu_affinity == std::vector<int>{0, 1, 2, 4});
  CHECK(pool.max_memory == 67108864U);
}
