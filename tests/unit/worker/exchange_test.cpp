// A request on a real socket pair, as a handler meets it.
#include "fpm/worker/exchange.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "fcgi/request.hpp"
#include "fcgi/response_parser.hpp"
#include "fpm/worker/builtin.hpp"

using namespace fpm;
using namespace fpm::worker;
using std::chrono::steady_clock;

namespace {

struct Answer {
  std::string out;
  std::string err;
  bool ended = false;
  std::uint32_t app_status = 0;
};

/// A worker's half of a connection and the front's.
struct Fixture {
  Fixture() {
    auto pair = os::make_socketpair(SOCK_STREAM);
    REQUIRE(pair.has_value());
    front = std::move(pair->first);
    wire.open(std::move(pair->second), sockaddr_storage{});
    pool.name = "www";
    pool.ping_path = "/ping";
    pool.status_path = "/status";
    pool.ping_response = "pong";
  }

  void front_sends(std::string_view bytes) {
    REQUIRE(::send(front.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }

  /// Sends a request's head and reads it up to its last parameter.
  void begin_request(const fcgi::Params& params, std::string_view rest = {}) {
    std::string bytes;
    fcgi::append_begin(bytes, 7, fcgi::Role::responder, false);
    fcgi::append_params(bytes, 7, params);
    bytes += rest;
    front_sends(bytes);
    REQUIRE(wire.receive(true) == Wire::Received::bytes);
    fcgi::Event event;
    do {
      event = wire.next();
      REQUIRE(event.kind != fcgi::Event::Kind::need_more);
    } while (event.kind != fcgi::Event::Kind::params_end);
    exchange.start(7, fcgi::Role::responder, steady_clock::now());
  }

  /// What the front has got so far.
  Answer answer() {
    Answer answer;
    fcgi::ResponseParser parser(7);
    char buffer[65536];
    for (;;) {
      const ssize_t got = ::recv(front.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got <= 0) return answer;
      std::string_view input(buffer, static_cast<std::size_t>(got));
      for (;;) {
        const auto event = parser.next(input);
        using Kind = fcgi::ResponseEvent::Kind;
        if (event.kind == Kind::need_more) break;
        REQUIRE(event.kind != Kind::bad);
        if (event.kind == Kind::out_bytes) answer.out += event.bytes;
        if (event.kind == Kind::err_bytes) answer.err += event.bytes;
        if (event.kind == Kind::end) {
          answer.ended = true;
          answer.app_status = event.app_status;
        }
      }
    }
  }

  os::UniqueFd front;
  config::Pool pool;
  scoreboard::Board board = scoreboard::Board::create(1).value();
  Wire wire;
  Exchange exchange{pool, wire, board.pen(0)};
};

fcgi::Params params(
    std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  fcgi::Params made;
  for (const auto& [name, value] : pairs) made.add(name, value);
  return made;
}

std::string body_record(std::string_view bytes) {
  std::string record;
  fcgi::append_stdin(record, 7, bytes);
  return record;
}

std::string body_end() {
  std::string record;
  fcgi::append_stdin_end(record, 7);
  return record;
}

std::string_view text(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }

}  // namespace

TEST_CASE("the body comes as it arrives and ends with its empty record") {
  Fixture f;
  f.begin_request(params({{"REQUEST_METHOD", "POST"}}), body_record("first"));
  CHECK(text(f.exchange.body()) == "first");
  CHECK_FALSE(f.exchange.body_ended());
  f.exchange.consume_body(5);
  CHECK(f.exchange.body().empty());
  CHECK_FALSE(f.exchange.body_ended());
  CHECK((f.exchange.events() & POLLIN) != 0);
  f.front_sends(body_record("second") + body_end());
  f.exchange.pump();
  CHECK(text(f.exchange.body()) == "second");
  CHECK_FALSE(f.exchange.body_ended());
  f.exchange.consume_body(3);
  CHECK(text(f.exchange.body()) == "ond");
  f.exchange.consume_body(3);
  CHECK(f.exchange.body_ended());
}

TEST_CASE("records of the body that arrive together are one piece") {
  Fixture f;
  std::string expected;
  std::string records;
  for (const char letter : {'a', 'b', 'c'}) {
    const std::string part(letter == 'b' ? 5000 : 3, letter);
    expected += part;
    records += body_record(part);
  }
  f.begin_request(params({}), records + body_end());
  CHECK(text(f.exchange.body()) == expected);
  CHECK_FALSE(f.exchange.body_ended());
  f.exchange.consume_body(1);
  CHECK(text(f.exchange.body()) == expected.substr(1));
  f.exchange.consume_body(expected.size() - 1);
  CHECK(f.exchange.body_ended());
}

TEST_CASE("a record that is cut anywhere gives the same body") {
  const std::string bytes = body_record("one") + body_record("two") + body_end();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    Fixture f;
    f.begin_request(params({}), bytes.substr(0, cut));
    std::string body(text(f.exchange.body()));
    f.exchange.consume_body(body.size());
    if (cut < bytes.size()) {
      f.front_sends(bytes.substr(cut));
      f.exchange.pump();
      body += text(f.exchange.body());
      f.exchange.consume_body(f.exchange.body().size());
    }
    CHECK(body == "onetwo");
    CHECK(f.exchange.body_ended());
  }
}

TEST_CASE("what poll has not said is not looked for") {
  Fixture f;
  f.begin_request(params({}));
  f.front_sends(body_record("body") + body_end());
  f.exchange.pump(POLLOUT);
  CHECK(f.exchange.body().empty());
  f.exchange.pump(POLLIN);
  CHECK(text(f.exchange.body()) == "body");
  // The end of the connection is told by poll alone while the body waits.
  f.front.reset();
  f.exchange.pump(POLLOUT);
  CHECK_FALSE(f.exchange.aborted());
  f.exchange.pump(POLLRDHUP);
  CHECK(f.exchange.aborted());
}

TEST_CASE("body that nobody takes keeps the wire from reading, but not from seeing the end") {
  Fixture f;
  f.begin_request(params({}), body_record("waiting"));
  CHECK((f.exchange.events() & POLLIN) == 0);
  f.exchange.pump();
  CHECK_FALSE(f.exchange.aborted());
  f.front.reset();
  f.exchange.pump();
  CHECK(f.exchange.aborted());
  CHECK(f.exchange.events() == 0);
}

TEST_CASE("ABORT_REQUEST is seen, before and after the end of the body") {
  for (const bool after_end : {false, true}) {
    Fixture f;
    f.begin_request(params({}), after_end ? body_end() : "");
    CHECK_FALSE(f.exchange.aborted());
    std::string abort;
    fcgi::append_abort(abort, 7);
    f.front_sends(abort);
    f.exchange.pump();
    CHECK(f.exchange.aborted());
  }
}

TEST_CASE("a front that closes its side has aborted") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.front.reset();
  f.exchange.pump();
  CHECK(f.exchange.aborted());
}

TEST_CASE("text for the front's error log waits for the header block") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.exchange.write_error("early\n");
  CHECK(f.wire.writer().pending().empty());
  f.exchange.begin(200, "Content-Type: text/plain\r\n\r\n");
  const std::string body = "hello";
  f.exchange.write({body.data(), body.size()});
  f.exchange.end(0);
  REQUIRE(f.exchange.send_all());
  const Answer answer = f.answer();
  CHECK(answer.out == "Content-Type: text/plain\r\n\r\nhello");
  CHECK(answer.err == "early\n");
  CHECK(answer.ended);
  CHECK(f.exchange.body_bytes() == 5);
}

TEST_CASE("an answer that is finished early is complete, and the connection ends") {
  for (const bool unread : {false, true}) {
    Fixture f;
    f.pool.request_terminate_timeout = std::chrono::seconds(5);
    f.begin_request(params({}), unread ? body_record("some of it") : body_end());
    f.exchange.begin(200, "Content-Type: text/plain\r\n\r\n");
    const std::string body = "hello";
    f.exchange.write({body.data(), body.size()});
    REQUIRE(f.exchange.finish_answer(3));
    f.exchange.write({body.data(), body.size()});
    f.exchange.write_error("late\n");
    f.exchange.pump();
    CHECK(f.exchange.events() == 0);
    CHECK(f.exchange.body_ended());
    CHECK_FALSE(f.exchange.aborted());
    CHECK(f.exchange.deadline() == steady_clock::time_point::max());
    CHECK(f.board.moment(0).answered);
    const Answer answer = f.answer();
    CHECK(answer.out == "Content-Type: text/plain\r\n\r\nhello");
    CHECK(answer.err.empty());
    CHECK(answer.ended);
    CHECK(answer.app_status == 3);
    char byte = 0;
    CHECK(::recv(f.front.get(), &byte, 1, MSG_DONTWAIT) == 0);
    f.pool.request_terminate_timeout_track_finished = true;
    CHECK(f.exchange.deadline() < steady_clock::time_point::max());
  }
}

TEST_CASE("a large piece goes out as it lies there, behind what was written before") {
  Fixture f;
  f.begin_request(params({}), body_end());
  std::string large;
  for (int i = 0; i < 3'000'000; ++i) large += static_cast<char>('a' + i % 23);
  std::string got;
  std::thread front([&] {
    // Small pieces: the kernel takes many of the large one.
    fcgi::ResponseParser parser(7);
    char buffer[7001];
    for (;;) {
      const ssize_t size = ::recv(f.front.get(), buffer, sizeof buffer, 0);
      if (size <= 0) return;
      std::string_view input(buffer, static_cast<std::size_t>(size));
      for (;;) {
        const auto event = parser.next(input);
        using Kind = fcgi::ResponseEvent::Kind;
        if (event.kind == Kind::need_more) break;
        if (event.kind == Kind::bad || event.kind == Kind::end) return;
        if (event.kind == Kind::out_bytes) got += event.bytes;
      }
    }
  });
  f.exchange.begin(200, "A: b\r\n\r\n");
  f.exchange.write({"first ", 6});
  CHECK(f.exchange.write_through({large.data(), large.size()}) == large.size());
  f.exchange.write({" last", 5});
  f.exchange.end(0);
  REQUIRE(f.exchange.send_all());
  front.join();
  CHECK(got == "A: b\r\n\r\nfirst " + large + " last");
  CHECK(f.exchange.body_bytes() == large.size() + 11);
}

namespace {

/// Letters that tell a lost, a doubled and a misplaced piece.
std::string pattern(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + (i + i / 4096) % 23);
  return text;
}

/// A pipe of the size that scripts get when they print much.
os::Pipe wide_pipe() {
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  REQUIRE(os::widen_pipe(pipe->write.get(), 256 * 1024) == 256 * 1024);
  return std::move(*pipe);
}

void put(int fd, std::string_view bytes) {
  REQUIRE(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

std::string take_all(int fd) {
  std::string text(1 << 20, '\0');
  const ssize_t got = ::read(fd, text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

}  // namespace

TEST_CASE("an answer out of a pipe comes whole and in order between what is written") {
  Fixture f;
  f.begin_request(params({}), body_end());
  const os::Pipe pipe = wide_pipe();
  const std::string large = pattern(200'000);
  put(pipe.write.get(), large);
  f.exchange.begin(200, "A: b\r\n\r\n");
  f.exchange.write({"first ", 6});
  std::string got;
  std::size_t taken = 0;
  while (taken < large.size()) {
    const std::size_t now = f.exchange.write_from(pipe.read.get(), large.size() - taken);
    taken += now;
    // Nothing is taken behind what waits: the front has to read before it goes on.
    if (now == 0) CHECK((f.exchange.events() & POLLOUT) != 0);
    const Answer part = f.answer();
    REQUIRE((now > 0 || !part.out.empty()));
    got += part.out;
    f.exchange.pump(POLLOUT);
  }
  f.exchange.write({" last", 5});
  f.exchange.end(3);
  REQUIRE(f.exchange.send_all());
  const Answer last = f.answer();
  got += last.out;
  CHECK(got == "A: b\r\n\r\nfirst " + large + " last");
  CHECK(last.ended);
  CHECK(last.app_status == 3);
  CHECK(f.exchange.body_bytes() == large.size() + 11);
  CHECK((::fcntl(f.wire.fd(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("no more is taken out of a pipe than is asked for, and nothing out of an empty one") {
  Fixture f;
  f.begin_request(params({}), body_end());
  const os::Pipe pipe = wide_pipe();
  f.exchange.begin(200, "A: b\r\n\r\n");
  CHECK(f.exchange.write_from(pipe.read.get(), 100) == 0);
  put(pipe.write.get(), pattern(50'000));
  CHECK(f.exchange.write_from(pipe.read.get(), 20'000) == 20'000);
  CHECK(f.answer().out == "A: b\r\n\r\n" + pattern(50'000).substr(0, 20'000));
  CHECK(take_all(pipe.read.get()) == pattern(50'000).substr(20'000));
}

TEST_CASE("a pipe with more pieces than a record holds loses none") {
  Fixture f;
  f.begin_request(params({}), body_end());
  const os::Pipe pipe = wide_pipe();
  std::string large;
  for (int i = 0; i < 60; ++i) {  // each in a page of its own
    const std::string piece(2100, static_cast<char>('A' + i % 26));
    put(pipe.write.get(), piece);
    large += piece;
  }
  f.exchange.begin(200, "A: b\r\n\r\n");
  std::string got;
  for (std::size_t taken = 0; taken < large.size();) {
    const std::size_t now = f.exchange.write_from(pipe.read.get(), large.size() - taken);
    taken += now;
    const Answer part = f.answer();
    REQUIRE((now > 0 || !part.out.empty()));
    got += part.out;
    f.exchange.pump(POLLOUT);
  }
  got += f.answer().out;
  CHECK(got == "A: b\r\n\r\n" + large);
}

TEST_CASE("a client that goes while an answer comes out of a pipe has gone") {
  Fixture f;
  f.begin_request(params({}), body_end());
  const auto ignored = ::signal(SIGPIPE, SIG_IGN);
  const os::Pipe pipe = wide_pipe();
  put(pipe.write.get(), pattern(200'000));
  f.exchange.begin(200, "A: b\r\n\r\n");
  f.exchange.pump(POLLOUT);
  f.front.reset();
  (void)f.exchange.write_from(pipe.read.get(), 200'000);
  f.exchange.pump(POLLOUT);
  CHECK(f.exchange.aborted());
  CHECK(f.exchange.write_from(pipe.read.get(), 200'000) == 0);
  ::signal(SIGPIPE, ignored);
}

TEST_CASE("a large body goes into a pipe, record by record, whatever their sizes and padding") {
  Fixture f;
  f.begin_request(params({{"REQUEST_METHOD", "POST"}}));
  const os::Pipe pipe = wide_pipe();
  CHECK(f.exchange.move_body(pipe.write.get()) == std::nullopt);
  std::string sent, expected;
  for (const unsigned size : {9'000u, 60'000u, 8'192u, 100u, 20'000u, 1u, 30'000u}) {
    const std::string piece = pattern(size);
    fcgi::append_stdin(sent, 7, piece);
    expected += piece;
  }
  sent += body_end();
  std::string got;
  std::thread front([&] { f.front_sends(sent); });
  // The first record's head comes through pump(), which stops inside of its content.
  REQUIRE(f.wire.receive(true, 500) == Wire::Received::bytes);
  f.exchange.consume_body(0);
  std::size_t moves = 0;
  while (!f.exchange.body_ended()) {
    const auto moved = f.exchange.move_body(pipe.write.get());
    if (moved && *moved > 0) ++moves;
    if (!moved) f.exchange.pump();
    got += take_all(pipe.read.get());
    got += text(f.exchange.body());
    f.exchange.consume_body(f.exchange.body().size());
  }
  front.join();
  CHECK(got == expected);
  CHECK(moves >= 1);
  CHECK((::fcntl(f.wire.fd(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a pipe that is full, or that nobody reads, takes no body") {
  Fixture f;
  f.begin_request(params({{"REQUEST_METHOD", "POST"}}));
  os::Pipe pipe = wide_pipe();
  f.front_sends(body_record(pattern(60'000)).substr(0, 40'000));
  REQUIRE(f.wire.receive(true, 500) == Wire::Received::bytes);
  f.exchange.consume_body(0);
  f.exchange.consume_body(f.exchange.body().size());
  SECTION("full") {
    put(pipe.write.get(), pattern(256 * 1024));
    CHECK(f.exchange.move_body(pipe.write.get()) == 0u);
    (void)take_all(pipe.read.get());
    CHECK(f.exchange.move_body(pipe.write.get()) > 0u);
  }
  SECTION("nobody reads it") {
    const auto ignored = ::signal(SIGPIPE, SIG_IGN);
    pipe.read.reset();
    CHECK(f.exchange.move_body(pipe.write.get()) == 0u);
    ::signal(SIGPIPE, ignored);
  }
  SECTION("the front has gone") {
    while (f.exchange.move_body(pipe.write.get()).value_or(0) > 0) {
    }
    f.front.reset();
    CHECK(f.exchange.move_body(pipe.write.get()) == std::nullopt);
    f.exchange.pump();
    CHECK(f.exchange.aborted());
  }
}

TEST_CASE("a large piece for a client that has gone is taken by nobody") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.exchange.begin(200, "A: b\r\n\r\n");
  f.front.reset();
  const std::string large(1 << 20, 'x');
  CHECK(f.exchange.write_through({large.data(), large.size()}) == 0);
  CHECK(f.exchange.aborted());
}

TEST_CASE("the request after one that was finished early is a new one") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.exchange.answer(200, "Done.");
  REQUIRE(f.exchange.finish_answer(0));
  auto pair = os::make_socketpair(SOCK_STREAM);
  REQUIRE(pair.has_value());
  f.front = std::move(pair->first);
  f.wire.open(std::move(pair->second), sockaddr_storage{});
  f.begin_request(params({}), body_end());
  CHECK_FALSE(f.exchange.finished());
  f.exchange.answer(200, "Again.");
  f.exchange.end(0);
  REQUIRE(f.exchange.send_all());
  CHECK(f.answer().out.find("Again.") != std::string::npos);
}

TEST_CASE("an answer of our own is a complete page, without body for HEAD") {
  for (const bool head : {false, true}) {
    Fixture f;
    f.begin_request(params({{"REQUEST_METHOD", head ? "HEAD" : "GET"}}), body_end());
    f.exchange.answer(504, "It took too long.");
    f.exchange.end(0);
    REQUIRE(f.exchange.send_all());
    const Answer answer = f.answer();
    CHECK(answer.out.starts_with("Status: 504 Gateway Timeout\r\n"));
    CHECK((answer.out.find("It took too long.") == std::string::npos) == head);
    const std::size_t at = answer.out.find("\r\n\r\n");
    REQUIRE(at != std::string::npos);
    const std::string length = std::to_string(answer.out.size() - at - 4);
    if (!head) CHECK(answer.out.find("Content-Length: " + length + "\r\n") != std::string::npos);
  }
}

TEST_CASE("a text longer than the buffer is sent while the client reads") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.exchange.begin(200, "\r\n");
  const std::string large(1'000'000, 'x');
  const auto reader = os::make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::size_t total = 0;
    char buffer[65536];
    ::shutdown(f.front.get(), SHUT_WR);
    while (total < large.size()) {
      const ssize_t got = ::recv(f.front.get(), buffer, sizeof buffer, 0);
      if (got <= 0) break;
      total += static_cast<std::size_t>(got);
    }
    (void)!::write(reader->write.get(), &total, sizeof total);
    ::_exit(0);
  }
  f.exchange.write_all(large);
  f.exchange.end(0);
  CHECK(f.exchange.send_all());
  std::size_t total = 0;
  REQUIRE(::read(reader->read.get(), &total, sizeof total) == sizeof total);
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  CHECK(total >= large.size());
  CHECK(f.exchange.body_bytes() == large.size());
}

TEST_CASE("the log shows SCRIPT_NAME with PATH_INFO, once") {
  struct Row {
    const char* name;
    const char* info;
    const char* uri;
  };
  for (const Row& row : {Row{"/git", "/demo.git", "/git/demo.git"},
                         Row{"/git/demo.git", "/demo.git", "/git/demo.git"},
                         Row{"/a", "", "/a"}, Row{"", "", ""}}) {
    Fixture f;
    f.begin_request(params({{"SCRIPT_NAME", row.name}, {"PATH_INFO", row.info}}), body_end());
    CHECK(f.exchange.uri() == row.uri);
  }
}

TEST_CASE("response headers are looked up by their exact name") {
  Fixture f;
  f.begin_request(params({}), body_end());
  f.exchange.begin(200, "X-One: 1\r\nContent-Type:  text/html \r\n\r\n");
  CHECK(f.exchange.response_header("Content-Type") == "text/html");
  CHECK_FALSE(f.exchange.response_header("content-type").has_value());
  CHECK_FALSE(f.exchange.response_header("X").has_value());
}

TEST_CASE("ping and status are known by SCRIPT_NAME") {
  struct Row {
    const char* name;
    Route route;
  };
  for (const Row& row : {Row{"/ping", Route::ping}, Row{"/status", Route::status},
                         Row{"/ping/", Route::application}, Row{"", Route::application}}) {
    Fixture f;
    f.begin_request(params({{"SCRIPT_NAME", row.name}}), body_end());
    CHECK(choose_route(f.pool, f.exchange) == row.route);
  }
  Fixture off;
  off.pool.ping_path.clear();
  off.begin_request(params({}), body_end());
  CHECK(choose_route(off.pool, off.exchange) == Route::application);
}

TEST_CASE("management records are answered between the records of a request") {
  Fixture f;
  fcgi::Params asked;
  asked.add("FCGI_MPXS_CONNS", "");
  std::string record;
  fcgi::append_get_values(record, asked);
  f.begin_request(params({}), record + body_end());
  f.exchange.begin(200, "\r\n");
  f.exchange.end(0);
  REQUIRE(f.exchange.send_all());
  char buffer[4096];
  const ssize_t got = ::recv(f.front.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  REQUIRE(got > 0);
  CHECK(std::string(buffer, static_cast<std::size_t>(got)).find("FCGI_MPXS_CONNS0") !=
        std::string::npos);
}
