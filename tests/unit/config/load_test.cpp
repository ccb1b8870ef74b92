#include "fpm/config/load.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "files.hpp"

using namespace fpm::config;
using fpm::log::Level;
using test::Files;
using test::kPool;
using test::kRest;
using test::Lines;
using test::Variable;

TEST_CASE("a small configuration is ready to use") {
  const Files files;
  files.write("scripts/a.cgi", "");
  const Variable name("FPM_TEST_NAME", "from here");
  const Loaded loaded = files.load(
      "[global]\npid = run/fpm.pid\nerror_log = /dev/stderr\n"
      "[www]\nlisten = /run/$pool.sock\npm = static\npm.max_children = 3\n"
      "cgi.root = scripts\naccess.log = $pool-$pool.log\nchdir = scripts\n"
      "env[NAME] = $FPM_TEST_NAME\nenv[NONE] = $FPM_TEST_NONE\nenv[POOL] = $pool\nenv[E] =\n"
      "listen.allowed_clients = 127.0.0.1, 10.0.0.0/8\n"
      "cgi.allow[] = /bin/a\ncgi.allow[] = /bin/b\n");
  CHECK(loaded.ok());
  CHECK(loaded.config.file == files("fpm.conf"));
  CHECK(loaded.config.prefix == files.path());
  CHECK(loaded.config.global.pid == files("run/fpm.pid"));
  CHECK(loaded.config.global.error_log == "/dev/stderr");
  REQUIRE(loaded.config.pools.size() == 1);
  const Pool& pool = loaded.config.pools[0];
  CHECK(pool.name == "www");
  CHECK(pool.place.line == 4);
  CHECK(pool.listen.path == "/run/www.sock");
  CHECK(pool.listen.text == "/run/www.sock");
  CHECK(pool.max_children == 3);
  CHECK(pool.cgi_root == files("scripts"));
  CHECK(pool.chdir == files("scripts"));
  CHECK(pool.access_log == files("www-www.log"));
  CHECK(pool.env == Variables{{"NAME", "from here"}, {"NONE", ""}, {"POOL", "www"}, {"E", ""}});
  CHECK(pool.listen_allowed_clients == Lines{"127.0.0.1", "10.0.0.0/8"});
  CHECK(pool.cgi_allow == Lines{"/bin/a", "/bin/b"});
  CHECK(files.messages(loaded) ==
        Lines{"@/fpm.conf:15: [pool www] listen.allowed_clients = \"127.0.0.1, 10.0.0.0/8\": has "
              "no effect on a UNIX socket: listen.owner, .group and .mode say who may connect"});
}

TEST_CASE("all errors come in one go, each once") {
  const Files files;
  files.write("pools.d/a.conf", "[a]\nlisten = 9000x\n\npm.max_children = many\ncgi.root = gone\n");
  CHECK(
      files.problems("[global]\nlog_level = loud\ninclude = pools.d/*.conf\n"
                     "include = pools.d/a.conf\n[b]\nuser = ${FPM_TEST_NONE}\n"
                     "pm = ${FPM_TEST_NONE}\nlisten = b.sock\npm.max_children = 0\n[c]\n") ==
      Lines{
          "@/fpm.conf:2: log_level = \"loud\": expected one of debug, notice, warning, warn, "
          "error, alert",
          "@/pools.d/a.conf:4: [pool a] pm.max_children = \"many\": expected a whole number, 1 or "
          "more",
          "@/fpm.conf:6: [pool b] user = ${FPM_TEST_NONE}: the environment variable "
          "FPM_TEST_NONE is not set; set it, or write ${FPM_TEST_NONE:-DEFAULT}",
          "@/fpm.conf:7: [pool b] pm = ${FPM_TEST_NONE}: the environment variable FPM_TEST_NONE "
          "is not set; set it, or write ${FPM_TEST_NONE:-DEFAULT}",
          "@/fpm.conf:9: [pool b] pm.max_children = \"0\": pm.max_children must be a positive "
          "value, expected a whole number, 1 or more",
          "@/pools.d/a.conf:1: [pool a] the process manager is missing (static, dynamic or "
          "ondemand): pm must be set in each pool",
          "@/pools.d/a.conf:5: [pool a] cgi.root = \"gone\": the cgi.root path '@/gone' does not "
          "exist or is not a directory",
          "@/fpm.conf:10: [pool c] no listen address have been defined! listen must be set in each "
          "pool",
          "@/fpm.conf:10: [pool c] the process manager is missing (static, dynamic or ondemand): "
          "pm must be set in each pool",
          "@/fpm.conf:10: [pool c] pm.max_children must be a positive value: pm.max_children must be "
          "set in each pool",
      });
}

TEST_CASE("a configuration without a pool is refused") {
  const Files files;
  CHECK(files.problems("[global]\n") ==
        Lines{"@/fpm.conf: No pool defined. at least one pool section must be specified in config "
              "file, as in [www]"});
  CHECK_FALSE(files.load("").ok());
}

TEST_CASE("a file that is not there is one problem") {
  const Files files;
  const Loaded loaded = load(files("none.conf"), files.options);
  CHECK_FALSE(loaded.ok());
  CHECK(files.messages(loaded) ==
        Lines{"failed to open configuration file '@/none.conf': No such file or directory (2)"});
}

TEST_CASE("warnings do not refuse") {
  const Files files;
  const Loaded loaded = files.load(kPool + "[global]\ninclude = none/*\n");
  CHECK(loaded.ok());
  CHECK(files.messages(loaded) ==
        Lines{"Nothing matches the include pattern 'none/*' from @/fpm.conf at line 6."});
}

TEST_CASE("a message has what is known of place and pool") {
  CHECK(Problem{Level::error, "f", 3, "p", "text"}.message() == "f:3: [pool p] text");
  CHECK(Problem{Level::error, "f", 0, "", "text"}.message() == "f: text");
  CHECK(Problem{Level::error, "", 0, "p", "text"}.message() == "[pool p] text");
  CHECK(Problem{Level::error, "", 0, "", "text"}.message() == "text");
}

TEST_CASE("two pools on one address are refused in any spelling") {
  const Files files;
  const std::string second = "[b]\n" + kRest + "cgi.program = /bin/true\nlisten = ";
  const auto text = [&](const std::string& a, const std::string& b) {
    return "[a]\n" + kRest + "cgi.program = /bin/true\nlisten = " + a + "\n" + second + b + "\n";
  };
  CHECK(files.problems(text("a.sock", "a.sock")) ==
        Lines{"@/fpm.conf:10: [pool b] listen = \"a.sock\": unable to set listen address as it's "
              "already used in another pool 'a'"});
  CHECK(files.problems(text("a.sock", files("x/../a.sock"))).size() == 1);
  CHECK(files.problems(text("127.0.0.1:9000", "9000")) ==
        Lines{"@/fpm.conf:10: [pool b] listen = \"9000\": unable to set listen address as it's "
              "already used in another pool 'a' (as \"127.0.0.1:9000\")"});
  CHECK(files.problems(text("127.0.0.1:9000", "127.0.0.1:9001")).empty());
  CHECK(files.problems(text("a.sock", "b.sock")).empty());
  CHECK(files.problems(text("127.0.0.1:0", "127.0.0.1:0")).size() == 2);  // the ports, not the pair
}

TEST_CASE("a pool that would run anything for anybody is refused") {
  const Files files;
  const std::string open = "[www]\n" + kRest + "listen = 9000\n";
  CHECK(files.problems(open) ==
        Lines{"@/fpm.conf:4: [pool www] listen = \"9000\": would run any program for anybody who "
              "can connect: set cgi.root, cgi.allow[] or cgi.program, or listen.allowed_clients, "
              "or listen on a UNIX socket or 127.0.0.1"});
  for (const char* remedy :
       {"cgi.root = /", "cgi.allow[] = /bin/x", "cgi.program = /bin/x",
        "listen.allowed_clients = 10.0.0.1", "listen = 127.0.0.1:9000", "listen = [::1]:9000",
        "listen = localhost:9000", "listen = www.sock"}) {
    CAPTURE(remedy);
    CHECK(files.problems(open + remedy + "\n").empty());
  }
  for (const char* none : {"listen = 0.0.0.0:1", "listen = [::]:1", "listen = a.example:1"}) {
    CAPTURE(none);
    CHECK(files.problems(open + none + "\n").size() == 1);
  }
  // A remedy that is misspelt is one error, not two.
  CHECK(files.problems(open + "cgi.root = ${FPM_TEST_NONE}\n").size() == 1);
}

TEST_CASE("a socket path that is too long is named with both lengths") {
  const Files files;
  const std::string fits = "/" + std::string(106, 'x');
  CHECK(files.problems("[www]\n" + kRest + "listen = " + fits + "\n").empty());
  CHECK(files.problems("[www]\n" + kRest + "listen = " + fits + "y\n") ==
        Lines{"@/fpm.conf:4: [pool www] listen = \"" + fits + "y\": cannot bind to UNIX socket '" +
              fits + "y' as path is too long (found length: 108, maximal length: 107)"});
}

TEST_CASE("a backlog that the kernel would cut is a warning with both numbers") {
  Files files;
  files.options.somaxconn = 512;
  const Loaded loaded = files.load(kPool + "listen.backlog = 513\n");
  CHECK(loaded.ok());
  CHECK(files.messages(loaded) ==
        Lines{"@/fpm.conf:5: [pool www] listen.backlog = \"513\": the kernel cuts 513 to 512 "
              "(net.core.somaxconn)"});
  CHECK(loaded.problems.at(0).level == Level::warning);
  CHECK(files.problems(kPool + "listen.backlog = 512\n").empty());
  CHECK(files.problems(kPool + "listen.backlog = -1\n").empty());
}

TEST_CASE("without root, what needs it is dropped with a notice") {
  const Files files;
  const Loaded loaded =
      files.load(kPool + "user = no-such-user\ngroup = nogroup\nchroot = /gone\n");
  CHECK(loaded.ok());
  CHECK(files.messages(loaded) ==
        Lines{"[pool www] 'user' directive is ignored when FPM is not running as root",
              "[pool www] 'group' directive is ignored when FPM is not running as root",
              "[pool www] 'chroot' directive is ignored when FPM is not running as root"});
  CHECK(loaded.problems.at(0).level == Level::notice);
  REQUIRE(loaded.config.pools.size() == 1);
  CHECK(loaded.config.pools[0].user.empty());
  CHECK(loaded.config.pools[0].group.empty());
  CHECK(loaded.config.pools[0].chroot.empty());
}

TEST_CASE("as root, each pool needs a user that exists and is not root") {
  Files files;
  files.options.running_as_root = true;
  const std::string at = "@/fpm.conf:5: [pool www] ";
  CHECK(files.problems(kPool) ==
        Lines{"@/fpm.conf:1: [pool www] user has not been defined: expected a user other than "
              "root, because fpm runs as root"});
  CHECK(files.problems(kPool + "user = aaaaaa\n") ==
        Lines{at + "user = \"aaaaaa\": cannot get uid for user 'aaaaaa'"});
  CHECK(files.problems(kPool + "group = aaaaaa\nuser = nobody\n") ==
        Lines{at + "group = \"aaaaaa\": cannot get gid for group 'aaaaaa'"});
  CHECK(files.problems(kPool + "user = root\n") ==
        Lines{at + "user = \"root\": please specify user and group other than root"});
  CHECK(files.problems(kPool + "user = 0\ngroup = 5\n") ==
        Lines{at + "user = \"0\": please specify user and group other than root"});
  CHECK(files.problems(kPool + "group = root\nuser = nobody\n") ==
        Lines{at + "group = \"root\": please specify user and group other than root"});
  CHECK(files.problems(kPool + "user = 54321\n").empty());
  CHECK(files.problems(kPool + "user = 54321\ngroup = 54321\n").empty());
  const Loaded loaded = files.load(kPool + "user = nobody\n");
  CHECK(files.messages(loaded).empty());
  REQUIRE(loaded.config.pools.size() == 1);
  CHECK(loaded.config.pools[0].user == "nobody");
  files.options.allow_root = true;
  CHECK(files.problems(kPool + "user = root\n").empty());
}

TEST_CASE("owner and group of the socket must exist, numbers may have no name") {
  const Files files;
  CHECK(
      files.problems(kPool + "listen.owner = aaaaaa\nlisten.group = bbbbbb\n") ==
      Lines{"@/fpm.conf:5: [pool www] listen.owner = \"aaaaaa\": cannot get uid for user 'aaaaaa'",
            "@/fpm.conf:6: [pool www] listen.group = \"bbbbbb\": cannot get gid for group "
            "'bbbbbb'"});
  CHECK(files.problems(kPool + "listen.owner = 54321\nlisten.group = 54321\n").empty());
}

TEST_CASE("folders must exist, inside chroot where there is one") {
  Files files;
  files.options.running_as_root = true;
  files.write("jail/srv/file", "");
  const std::string pool = kPool + "user = nobody\n";
  const std::string chroot = "chroot = " + files("jail") + "\n";
  CHECK(files.problems(pool + chroot + "chdir = /srv\ncgi.root = /srv\n").empty());
  CHECK(files.problems(pool + chroot + "chdir = /tmp\n") ==
        Lines{"@/fpm.conf:7: [pool www] chdir = \"/tmp\": the chdir path '/tmp' within the chroot "
              "path '@/jail' ('@/jail/tmp') does not exist or is not a directory"});
  CHECK(files.problems(pool + "chroot = /none\nchdir = /none\n") ==
        Lines{"@/fpm.conf:6: [pool www] chroot = \"/none\": the chroot path '/none' does not exist "
              "or is not a directory"});
  CHECK(files.problems(pool + "cgi.root = fpm.conf\n") ==
        Lines{"@/fpm.conf:6: [pool www] cgi.root = \"fpm.conf\": the cgi.root path '@/fpm.conf' "
              "does not exist or is not a directory"});
}

TEST_CASE("the tokens of access.format are checked by who renders them") {
  Files files;
  files.options.check_access_format = [](std::string_view format) {
    return format.find("%Z") != std::string_view::npos ? "Invalid token" : std::string();
  };
  CHECK(files.problems(kPool).empty());
  CHECK(files.problems(kPool + "access.format = \"%R %Z\"\n") ==
        Lines{"@/fpm.conf:5: [pool www] access.format = \"%R %Z\": Invalid token"});
}

TEST_CASE("the name of a pool is text") {
  const Files files;
  CHECK(files.problems("[a\tb]\nlisten = a.sock\n" + kRest) ==
        Lines{"@/fpm.conf:1: the name of a pool: expected at most 255 bytes without control "
              "characters"});
  CHECK(files.problems("[" + std::string(256, 'x') + "]\nlisten = a.sock\n" + kRest).size() == 1);
}

TEST_CASE("a file that includes itself repeats no problem") {
  const Files files;
  CHECK(files.problems("log_level = loud\ninclude = fpm.conf\n" + kPool) ==
        Lines{"@/fpm.conf:1: log_level = \"loud\": expected one of debug, notice, warning, warn, "
              "error, alert",
              "@/fpm.conf:2: include = \"fpm.conf\": failed to include more than 5 files "
              "recursively"});
}
