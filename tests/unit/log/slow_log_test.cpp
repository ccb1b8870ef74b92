// The slow log and the lines that go with it, to the byte.
#include "fpm/log/slow_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <regex>
#include <vector>

using namespace fpm;
using namespace fpm::log;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> kFrames{"[0x00007f6a516131a0] usleep() /srv/www/a.php:1",
                                       "[0x00007f6a51613020] [INCLUDE_OR_EVAL]() /srv/www/b.php:2",
                                       "[0x00007f6a51613010] main() /srv/www/c.php:3"};

SlowEntry entry() {
  return {.pool = "www", .pid = 28454, .script = "/srv/www/a.php", .frames = kFrames};
}

std::string read_some(int fd) {
  char buffer[4096];
  const ssize_t got = ::read(fd, buffer, sizeof buffer);
  return std::string(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
}

}  // namespace

TEST_CASE("an entry of the slow log is php-fpm's") {
  const std::string text = render_slow(entry(), 2);
  const std::regex expected(
      R"(\n\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\]  \[pool www\] pid 28454\n)"
      R"(script_filename = /srv/www/a\.php\n)"
      R"(\[0x00007f6a516131a0\] usleep\(\) /srv/www/a\.php:1\n)"
      R"(\[0x00007f6a51613020\] \[INCLUDE_OR_EVAL\]\(\) /srv/www/b\.php:2\n)");
  CAPTURE(text);
  CHECK(std::regex_match(text, expected));
}

TEST_CASE("a script's name cannot begin a line of the slow log") {
  SlowEntry forged = entry();
  forged.script = "/srv/a\n[x]";
  CHECK(render_slow(forged, 20).find("/srv/a\\x0A[x]\n") != std::string::npos);
}

TEST_CASE("slow and overdue requests are told in php-fpm's words") {
  LateRequest request{.pid = 12, .script = "/srv/a.php", .method = "GET", .uri = "/a.php",
                      .query = "x=1", .taken = 1'034'567us};
  CHECK(late_line(request, Lateness::slow) ==
        "child 12, script '/srv/a.php' (request: \"GET /a.php?x=1\") executing too slow "
        "(1.034567 sec), logging");
  request.query = {};
  CHECK(late_line(request, Lateness::overdue) ==
        "child 12, script '/srv/a.php' (request: \"GET /a.php\") execution timed out "
        "(1.034567 sec), terminating");
  request.uri = "/a\"\n";
  CHECK(late_line(request, Lateness::slow).find("GET /a\\x22\\x0A\"") != std::string::npos);
}

TEST_CASE("a slow log writes to its new file from when it has that") {
  auto before = os::make_pipe(), after = os::make_pipe();
  REQUIRE((before.has_value() && after.has_value()));
  SlowLog log(before->write.release(), 20);
  log.write(entry());
  CHECK(read_some(before->read.get()).find("[pool www] pid 28454") != std::string::npos);
  log.use(std::move(after->write));
  log.write(entry());
  CHECK(read_some(after->read.get()).find("[pool www] pid 28454") != std::string::npos);
  CHECK(read_some(before->read.get()).empty());
}

TEST_CASE("without a file nothing is written, and none comes later") {
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  SlowLog log(-1, 20);
  CHECK_FALSE(log);
  log.use(std::move(pipe->write));
  log.write(entry());
  CHECK(read_some(pipe->read.get()).empty());
}
