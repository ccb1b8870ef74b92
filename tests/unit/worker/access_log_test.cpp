// The access log as a worker writes it, and how it learns of new files.
#include "fpm/worker/access_log.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "fcgi/request.hpp"
#include "fpm/log/log.hpp"
#include "fpm/log/new_logs.hpp"
#include "fpm/worker/log_channel.hpp"

using namespace fpm;
using namespace fpm::worker;

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// One request on a socket pair, whose line is written as often as a test likes.
struct Fixture {
  Fixture() {
    char name[] = "/tmp/fpm-access-test.XXXXXX";
    folder = ::mkdtemp(name);
    REQUIRE(log::open({.path = folder / "log"}).has_value());
    pool.name = "www";
    pool.access_log = folder / "access";
    pool.access_format = "%m %r%Q%q %s";
    auto pair = os::make_socketpair(SOCK_STREAM);
    REQUIRE(pair.has_value());
    front = std::move(pair->first);
    wire.open(std::move(pair->second), sockaddr_storage{});
  }
  ~Fixture() {
    (void)log::open({.path = "/dev/null"});
    std::filesystem::remove_all(folder);
  }

  os::UniqueFd file(const std::string& name) {
    auto opened = log::open_file(folder / name);
    REQUIRE(opened.has_value());
    return std::move(*opened);
  }

  void request(std::string_view uri, std::string_view query, int status) {
    std::string bytes;
    fcgi::Params params;
    params.add("REQUEST_METHOD", "GET");
    params.add("SCRIPT_NAME", uri);
    params.add("QUERY_STRING", query);
    fcgi::append_begin(bytes, 7, fcgi::Role::responder, true);
    fcgi::append_params(bytes, 7, params);
    REQUIRE(::send(front.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    REQUIRE(wire.receive(true) == Wire::Received::bytes);
    fcgi::Event event;
    do {
      event = wire.next();
      REQUIRE(event.kind != fcgi::Event::Kind::need_more);
    } while (event.kind != fcgi::Event::Kind::params_end);
    exchange.start(7, fcgi::Role::responder, std::chrono::steady_clock::now());
    exchange.begin(status, "Status: 200 OK\r\n\r\n");
  }

  void write(AccessLog& access_log) {
    access_log.begin();
    access_log.write(exchange, "-", handlers::End::ok, 1000);
  }
  std::string text() const { return read_file(folder / "access"); }
  std::string log_text() const { return read_file(folder / "log"); }

  std::filesystem::path folder;
  os::UniqueFd front;
  config::Pool pool;
  scoreboard::Board board = *scoreboard::Board::create(1);
  Wire wire;
  Exchange exchange{pool, wire, board.pen(0)};
};

log::AccessRecord plain_get() {
  log::AccessRecord record;
  record.method = "GET";
  record.uri = "/ping";
  record.status = 200;
  return record;
}

}  // namespace

TEST_CASE("a request has its line") {
  Fixture one;
  one.request("/a", "b=c", 200);
  AccessLog access_log(one.pool, one.file("access").release(), 1);
  one.write(access_log);
  CHECK(one.text() == "GET /a?b=c 200\n");
  CHECK(one.log_text().empty());
}

TEST_CASE("access.suppress_path hides plain successful requests of exactly that URI") {
  const std::vector<std::string> paths{"/health", "/ping"};
  auto record = plain_get();
  CHECK(is_suppressed(paths, record));
  record.method = "HEAD";
  record.status = 204;
  CHECK(is_suppressed(paths, record));

  record = plain_get();
  SECTION("not what begins like it") { record.uri = "/ping/"; }
  SECTION("not with a query") { record.query = "x"; }
  SECTION("not with a body") { record.content_length = 1; }
  SECTION("not another method") { record.method = "POST"; }
  SECTION("not what failed") { record.status = 404; }
  SECTION("not what has no answer") { record.status = 0; }
  SECTION("not what was redirected") { record.status = 300; }
  CHECK_FALSE(is_suppressed(paths, record));
}

TEST_CASE("a suppressed request has no line") {
  Fixture one;
  one.pool.access_suppress_path = {"/a"};
  AccessLog access_log(one.pool, one.file("access").release(), 1);
  one.request("/a", "", 200);
  one.write(access_log);
  CHECK(one.text().empty());
}

TEST_CASE("a line that was cut is told") {
  Fixture one;
  one.pool.access_format = "%r " + std::string(9000, 'x');
  one.request("/a", "", 200);
  AccessLog access_log(one.pool, one.file("access").release(), 1);
  one.write(access_log);
  CHECK(one.text().size() == 8192);
  CHECK(one.log_text().find("NOTICE: [pool www] the log buffer is full (8192). The access log "
                            "request has been truncated.\n") != std::string::npos);
}

TEST_CASE("an access log that nobody reads stops no worker, and what it lost is told") {
  Fixture one;
  one.pool.access_log = "/dev/stderr";
  one.request("/a", std::string(500, 'q'), 200);
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  const bool own = GENERATE(true, false);  // the flag of a pipe that others share stays as it is
  if (!own) REQUIRE(os::set_nonblocking(pipe->write.get(), false).has_value());
  AccessLog access_log(one.pool, pipe->write.release(), 1);
  for (int i = 0; i < 2000; ++i) one.write(access_log);  // would block here for ever
  CHECK(one.log_text().find("ERROR: [pool www] access log /dev/stderr: it is not read\n") !=
        std::string::npos);
  const std::size_t once = one.log_text().size();
  char buffer[65536];
  std::size_t lines = 0;
  do {
    for (ssize_t got; (got = ::read(pipe->read.get(), buffer, sizeof buffer)) > 0;) {
      lines += static_cast<std::size_t>(std::count(buffer, buffer + got, '\n'));
    }
  } while (!access_log.flush());
  for (ssize_t got; (got = ::read(pipe->read.get(), buffer, sizeof buffer)) > 0;) {
    lines += static_cast<std::size_t>(std::count(buffer, buffer + got, '\n'));
  }
  one.write(access_log);
  CHECK(one.log_text().substr(once).find("WARNING: [pool www] " + std::to_string(2000 - lines) +
                                         " lines of the access log /dev/stderr were lost\n") !=
        std::string::npos);
}

TEST_CASE("a full disk is told once") {
  Fixture one;
  one.request("/a", "", 200);
  AccessLog access_log(one.pool, ::open("/dev/full", O_WRONLY | O_CLOEXEC), 1);
  for (int i = 0; i < 100; ++i) one.write(access_log);
  const std::string text = one.log_text();
  CHECK(text.find("No space left on device") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("CPU time is measured only for a log that shows it") {
  Fixture one;
  CHECK_FALSE(AccessLog(one.pool, one.file("access").release(), 1).needs_cpu());
  one.pool.access_format = "%C";
  CHECK(AccessLog(one.pool, one.file("access").release(), 1).needs_cpu());
  CHECK_FALSE(AccessLog(one.pool, -1, 1).needs_cpu());
}

TEST_CASE("the user is REMOTE_USER, else who authorized by Basic") {
  struct Row {
    const char* remote_user;
    const char* authorization;
    const char* user;
  };
  const auto row = GENERATE(values<Row>({
      {"", "Basic am9lOnNlY3JldA==", "joe"},
      {"", "bASIC am9lOnNlY3JldA==", "joe"},
      {"", "Basic dGhlbzo=", "theo"},
      {"", "Basic am9lOmE6Yg==", "joe"},
      {"ann", "Basic am9lOnNlY3JldA==", "ann"},
      {"", "Basic am9l", ""},        // no colon
      {"", "Basic OnNlY3JldA==", ""},  // no name
      {"", "Basic am9l*A==", ""},
      {"", "Basic ", ""},
      {"", "Bearer am9lOnNlY3JldA==", ""},
      {"", "", ""},
  }));
  fcgi::Params params;
  params.add("REMOTE_USER", row.remote_user);
  params.add("HTTP_AUTHORIZATION", row.authorization);
  char buffer[8];
  CHECK(user_of(params, buffer) == row.user);
  fcgi::Params long_name;
  long_name.add("HTTP_AUTHORIZATION", "Basic MDEyMzQ1Njc4OTo=");
  CHECK(user_of(long_name, buffer) == "01234567");
}

TEST_CASE("new logs arrive with their generation") {
  Fixture one;
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  REQUIRE(channel.has_value());
  const int master = channel->first.get();
  const int worker = channel->second.get();

  const auto none = log::receive_new_logs(worker);
  REQUIRE(none.has_error());
  CHECK(none.error().code == EAGAIN);

  const os::UniqueFd file = one.file("x");
  const auto sent = log::send_new_logs(master, 3, -1, file.get());
  REQUIRE(sent.has_value());
  CHECK(*sent);
  // Not a second one before the first is read.
  const auto again = log::send_new_logs(master, 4, file.get(), file.get());
  REQUIRE(again.has_value());
  CHECK_FALSE(*again);

  auto logs = log::receive_new_logs(worker);
  REQUIRE(logs.has_value());
  CHECK(logs->generation == 3);
  CHECK_FALSE(logs->log);
  CHECK(logs->access_log);
  REQUIRE(log::send_new_logs(master, 4, file.get(), -1, file.get()).has_value());
  logs = log::receive_new_logs(worker);
  REQUIRE(logs.has_value());
  CHECK(logs->log);
  CHECK_FALSE(logs->access_log);
  CHECK(logs->output_log);

  REQUIRE(::send(master, "?", 1, 0) == 1);
  const auto strange = log::receive_new_logs(worker);
  REQUIRE(strange.has_error());
  CHECK(strange.error().code == EPROTO);
  channel->first.reset();
  const auto end = log::receive_new_logs(worker);
  REQUIRE(end.has_error());
  CHECK(end.error().code == EPROTO);
}

TEST_CASE("a running worker follows its logs when they are reopened") {
  Fixture one;
  one.request("/a", "", 200);
  AccessLog access_log(one.pool, one.file("access").release(), 1);
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  REQUIRE(channel.has_value());
  std::atomic<std::uint32_t> generation{7};
  LogChannel follower(channel->second.get(), generation, 7);
  const auto line = [&] {
    follower.follow(access_log);
    one.write(access_log);
  };
  line();
  std::filesystem::rename(one.folder / "access", one.folder / "access.1");
  std::filesystem::rename(one.folder / "log", one.folder / "log.1");
  generation = 8;
  line();  // the descriptors have not come yet: the old file still is one
  CHECK(read_file(one.folder / "access.1") == "GET /a 200\nGET /a 200\n");

  const os::UniqueFd new_log = one.file("log");
  const os::UniqueFd new_access = one.file("access");
  const auto sent = log::send_new_logs(channel->first.get(), 8, new_log.get(), new_access.get());
  REQUIRE(sent.has_value());
  REQUIRE(*sent);
  line();
  CHECK(one.text() == "GET /a 200\n");
  log::notice("of the worker");
  CHECK(one.log_text().find("NOTICE: of the worker\n") != std::string::npos);
  line();
  CHECK(one.text() == "GET /a 200\nGET /a 200\n");
}

TEST_CASE("a worker whose master is gone keeps its logs") {
  Fixture one;
  one.request("/a", "", 200);
  AccessLog access_log(one.pool, one.file("access").release(), 1);
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  REQUIRE(channel.has_value());
  channel->first.reset();
  std::atomic<std::uint32_t> generation{8};
  LogChannel follower(channel->second.get(), generation, 7);
  follower.follow(access_log);
  one.write(access_log);
  CHECK(one.text() == "GET /a 200\n");
}
