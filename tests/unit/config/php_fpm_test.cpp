// What is other under the name php-fpm.
#include <algorithm>
#include <catch2/catch.hpp>

#include "files.hpp"
#include "fpm/build_config.hpp"
#include "fpm/config/describe.hpp"
#include "fpm/config/load.hpp"

using namespace fpm::config;
using test::Files;
using test::kPool;
using test::kRest;
using test::Lines;

namespace {


bool has(const Lines& lines, const std::string& line) {
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

}  // namespace

TEST_CASE("as php-fpm: pools run PHP unless they say otherwise, with what the command line said") {
  const Files files;
  const PhpStart start{
      .ini = "/etc/php", .no_ini = false, .extended_info = true, .defines = {{"a", "1"}}, .rc = {}, .scan_dir = {}};
  LoadOptions options = files.options;
  options.php_start = start;
  const std::string text = kPool + "[cgi]\nlisten = cgi.sock\nhandler = cgi\n" + kRest;
  const std::string file = files.write("php-fpm.conf", text);
  for (const bool php_fpm : {false, true}) {
    options.as_php_fpm = php_fpm;
    const Loaded loaded = load(file, options);
    REQUIRE(loaded.config.pools.size() == 2);
    CHECK(loaded.config.pools[0].handler == (php_fpm ? HandlerKind::php : HandlerKind::cgi));
    CHECK(loaded.config.pools[1].handler == HandlerKind::cgi);
    CHECK(loaded.config.pools[0].php_start == start);
  }
}

TEST_CASE("as php-fpm: relative paths lie where php-fpm has them") {
  const Files files;
  LoadOptions options = files.options;
  options.as_php_fpm = true;
  const std::string file = files.write("x.conf", "[global]\npid = run/x.pid\n" + kPool);
  const Loaded loaded = load(file, options);
  CHECK(loaded.config.prefix == FPM_PHP_PREFIX);
  CHECK(loaded.config.global.pid == FPM_PHP_LOCALSTATEDIR "/run/x.pid");
  CHECK(loaded.config.global.error_log == FPM_PHP_LOCALSTATEDIR "/log/php-fpm.log");
  CHECK(loaded.config.pools.at(0).listen.path == FPM_PHP_PREFIX "/www.sock");
  options.prefix = files.path();
  const Loaded below = load(file, options);
  CHECK(below.config.global.pid == files("run/x.pid"));
  CHECK(below.config.global.error_log == files("log/php-fpm.log"));
  CHECK(below.config.pools.at(0).listen.path == files("www.sock"));
}

TEST_CASE("as php-fpm: a socket path that is too long is cut, which a warning tells") {
  const std::string fits = "/" + std::string(106, 'x');
  const std::string text = "[www]\nlisten = " + fits + "yz\n" + kRest;
  const std::string warning = "[pool www] cannot bind to UNIX socket '" + fits +
                              "yz' as path is too long (found length: 109, maximal length: 107)";
  Files files;
  files.options.as_php_fpm = true;
  const Loaded loaded = files.load(text);
  CHECK(loaded.ok());
  CHECK(loaded.config.pools.at(0).listen.path == fits);
  CHECK(files.messages(loaded) == Lines{warning + ", trying cut socket path instead '" + fits + "'"});
  files.options.only_test = true;
  CHECK(files.problems(text) == Lines{warning});
}

TEST_CASE("as php-fpm: the dump has what php-fpm knows, and of ours what was written") {
  Files files;
  files.options.as_php_fpm = true;
  files.options.prefix = files.path();
  const Config config = files.load(kPool + "keepalive_timeout = 5s\n").config;
  const Lines lines = dump(config, true);
  CHECK(has(lines, "\tprocess_control_timeout = 30s"));
  CHECK(has(lines, "\tkeepalive_timeout = 5s"));
  CHECK(has(lines, "\tsecurity.limit_extensions = .php .phar"));
  CHECK_FALSE(has(lines, "\thandler = php"));
  CHECK_FALSE(has(lines, "\trequest_body_timeout = 60s"));
  CHECK(lines.size() == 62);
  CHECK(has(dump(config), "\trequest_body_timeout = 60s"));
}
