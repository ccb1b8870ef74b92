// Where the reporter listens, and who it is.
#include <catch2/catch.hpp>

#include "files.hpp"

using namespace fpm::config;
using test::Files;
using test::kPool;
using test::Lines;

namespace {

const std::string kRooted = kPool + "user = nobody\n";

}  // namespace

TEST_CASE("the reporter has an address, a user and clients") {
  const Files files;
  const Loaded loaded = files.load("status.listen = 127.0.0.1:9900\nstatus.allowed_clients = "
                                   "127.0.0.1, 10.0.0.0/8\n" +
                                   kPool + "status.ready_queue = 5\nstatus.ready_wait = 250ms\n");
  CHECK(loaded.problems.empty());
  const Global& global = loaded.config.global;
  CHECK(global.status_listen.port == 9900);
  CHECK(global.status_listen_place.line == 1);
  CHECK(global.status_user == "nobody");
  CHECK(global.status_allowed_clients == std::vector<std::string>{"127.0.0.1", "10.0.0.0/8"});
  CHECK(loaded.config.pools[0].status_ready_queue == 5);
  CHECK(loaded.config.pools[0].status_ready_wait == Milliseconds(250));
}

TEST_CASE("the reporter may not listen where a pool does") {
  const Files files;
  CHECK(files.problems("status.listen = ./www.sock\n" + kPool) ==
        Lines{"@/fpm.conf:3: [pool www] listen = \"www.sock\": unable to set listen address as "
                             "it's already used by status.listen (as \"./www.sock\")"});
  CHECK(files.problems("status.listen = 127.0.0.1:9900\n" + kPool + "pm.status_listen = 9900\n") ==
        Lines{"@/fpm.conf:6: [pool www] pm.status_listen = \"9900\": unable to set listen "
                             "address as it's already used by status.listen (as "
                             "\"127.0.0.1:9900\")"});
}

TEST_CASE("a reporter that strangers can reach is a warning, unless its clients are named") {
  const Files files;
  const std::string open = "status.listen = 0.0.0.0:9900\n";
  CHECK(files.problems(open + kPool) ==
        Lines{"@/fpm.conf:1: status.listen = \"0.0.0.0:9900\": anybody who can connect sees the "
                             "addresses (URIs) of requests under way: set status.allowed_clients"});
  CHECK(files.load(open + kPool).ok());
  CHECK(files.load(open + "status.allowed_clients = 0.0.0.0/0\n" + kPool).problems.empty());
  CHECK(files.problems("status.listen = s.sock\nstatus.allowed_clients = ::1\n" + kPool) ==
        Lines{"@/fpm.conf:2: status.allowed_clients = \"::1\": has no effect on a UNIX socket"});
}

TEST_CASE("a reporter's path that is too long is named with both lengths") {
  const Files files;
  const Lines problems = files.problems("status.listen = /" + std::string(120, 'x') + "\n" + kPool);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("(found length: 121, maximal length: 107)") != std::string::npos);
}

TEST_CASE("the reporter's user must exist and not be root, if there is a reporter") {
  Files files;
  files.options.running_as_root = true;
  const std::string listen = "status.listen = 127.0.0.1:9900\n";
  CHECK(files.load(listen + kRooted).problems.empty());
  CHECK(files.problems(listen + "status.user = no-such-user\n" + kRooted) ==
        Lines{"@/fpm.conf:2: status.user = \"no-such-user\": cannot get uid for user "
                             "'no-such-user'"});
  CHECK(files.load("status.user = no-such-user\n" + kRooted).ok());
  CHECK_FALSE(files.load("status.user = no-such-user\n" + kRooted + "pm.status_listen = s.sock\n")
                  .ok());
  CHECK(files.problems(listen + "status.user = root\n" + kRooted) ==
        Lines{"@/fpm.conf:2: status.user = \"root\": please specify a user other than root"});
  files.options.allow_root = true;
  CHECK(files.load(listen + "status.user = root\n" + kRooted).ok());
}

TEST_CASE("without root the reporter is who fpm is") {
  const Files files;
  CHECK(files.problems("status.user = nobody\n" + kPool) ==
        Lines{"'status.user' directive is ignored when FPM is not running as root"});
}
