#include "fpm/reporter/talk.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "fcgi/request.hpp"
#include "fcgi/response_parser.hpp"

using namespace fpm::reporter;

namespace {

/// Answers every request with what it asked for.
Page echo(const Ask& ask) {
  const std::string said = std::string(ask.method) + " [" + std::string(ask.path) + "] [" +
                           std::string(ask.query) + "]";
  if (ask.path == "/large") return {.body = std::string(300'000, 'x')};
  if (ask.path == "/none") return {.status = 404, .body = said};
  return {.body = said};
}

/// Feeds `input` in pieces and takes `output` bytes at a time; @return all that came back.
std::string converse(Talk& talk, std::string_view input, std::size_t piece = 1 << 20,
                     std::size_t output = 1 << 20) {
  std::string out;
  const auto flush = [&] {
    while (!talk.pending().empty()) {
      const std::string_view now = talk.pending().substr(0, output);
      out += now;
      talk.sent(now.size());
    }
  };
  while (!input.empty() && !talk.over()) {
    talk.take(input.substr(0, piece));
    input.remove_prefix(std::min(piece, input.size()));
    flush();
  }
  return out;
}

std::string http(std::string_view input, std::size_t piece = 1 << 20) {
  return converse(*talk_http(echo), input, piece);
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

bool contains(std::string_view text, std::string_view part) { return count(text, part) > 0; }

std::string fcgi_request(std::uint16_t id, bool keep, std::string_view path,
                         std::string_view method = "GET", std::string_view body = {}) {
  fcgi::Params params;
  params.add("REQUEST_METHOD", method);
  params.add("SCRIPT_NAME", path);
  params.add("QUERY_STRING", "full");
  std::string out;
  fcgi::append_begin(out, id, fcgi::Role::responder, keep);
  fcgi::append_params(out, id, params);
  fcgi::append_stdin(out, id, body);
  fcgi::append_stdin_end(out, id);
  return out;
}

/// STDOUT of the first answer in `bytes`, which are used up to its end.
std::string fcgi_stdout(std::string_view& bytes, std::uint16_t id) {
  using Kind = fcgi::ResponseEvent::Kind;
  fcgi::ResponseParser parser(id);
  std::string out;
  while (true) {
    const auto event = parser.next(bytes);
    if (event.kind == Kind::out_bytes) out += event.bytes;
    if (event.kind == Kind::end) return out;
    if (event.kind == Kind::need_more || event.kind == Kind::bad) FAIL("no whole answer");
  }
}

}  // namespace

TEST_CASE("HTTP: a request is answered, in whatever pieces it comes") {
  const std::string request = "GET /a/b?x=1&y HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n";
  for (const std::size_t piece : std::initializer_list<std::size_t>{1000, 7, 1}) {
    const std::string answer = http(request, piece);
    CHECK(answer.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
    CHECK(contains(answer, "\r\nCache-Control: no-cache, no-store, must-revalidate, max-age=0\r\n"));
    CHECK(contains(answer, "\r\nConnection: keep-alive\r\n"));
    CHECK(contains(answer, "\r\nContent-Length: 18\r\n"));
    CHECK(answer.substr(answer.find("\r\n\r\n") + 4) == "GET [/a/b] [x=1&y]");
  }
}

TEST_CASE("HTTP: connections are kept as the client asks") {
  const auto over = [](const char* input) {
    const auto talk = talk_http(echo);
    converse(*talk, input);
    return talk->over();
  };
  CHECK_FALSE(over("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  CHECK(over("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  CHECK(over("GET / HTTP/1.0\r\n\r\n"));
  CHECK_FALSE(over("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST_CASE("HTTP: several requests in one piece are answered one after the other") {
  const std::string one = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string answers = http(one + one + "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(count(answers, "HTTP/1.1 200 OK") == 2);
  CHECK(count(answers, "HTTP/1.1 404 Not Found") == 1);
}

TEST_CASE("HTTP: HEAD has the header of GET and no body") {
  const std::string answer = http("HEAD /large HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(contains(answer, "Content-Length: 300000\r\n"));
  CHECK(answer.size() - answer.find("\r\n\r\n") == 4);
}

TEST_CASE("HTTP: proxies may name the host in the request line") {
  CHECK(contains(http("GET http://h:1/x?q HTTP/1.1\r\nHost: h\r\n\r\n"), "GET [/x] [q]"));
  CHECK(contains(http("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"), "GET [/] []"));
}

TEST_CASE("HTTP: what is none is answered with 400 and the end") {
  for (const char* input : {"hello\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "\x16\x03\x01\r\n\r\n",
                            "GET / HTTP/1.1\r\nno colon\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    CAPTURE(input);
    const auto talk = talk_http(echo);
    CHECK(converse(*talk, input).rfind("HTTP/1.1 400 Bad Request\r\n", 0) == 0);
    CHECK(talk->over());
  }
}

TEST_CASE("HTTP: a header without an end is cut off at 8 KiB, in whatever form") {
  const std::string line = "GET / HTTP/1.1\r\n";
  std::string many = line;
  while (many.size() < 20'000) many += "X-Header: of some length\r\n";
  for (const std::string& input : {line + "X: " + std::string(20'000, 'x'), many,
                                   "GET /" + std::string(20'000, 'x')}) {
    for (const std::size_t piece : std::initializer_list<std::size_t>{100'000, 1000, 100}) {
      const auto talk = talk_http(echo);
      CHECK(converse(*talk, input, piece).rfind("HTTP/1.1 431 ", 0) == 0);
      CHECK(talk->over());
    }
  }
}

TEST_CASE("HTTP: a body is refused, an empty one is none") {
  for (const char* input :
       {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    const auto talk = talk_http(echo);
    CHECK(converse(*talk, input).rfind("HTTP/1.1 413 ", 0) == 0);
    CHECK(talk->over());
  }
  CHECK(contains(http("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), "200 OK"));
}

TEST_CASE("HTTP: idle is a connection of whose next request nothing has come") {
  const auto talk = talk_http(echo);
  CHECK(talk->idle());
  talk->take("GET / HT");
  CHECK_FALSE(talk->idle());
  talk->take("TP/1.1\r\nHost: h\r\n\r\n");
  CHECK_FALSE(talk->idle());
  CHECK(talk->held() > 0);
  while (!talk->pending().empty()) talk->sent(1);
  CHECK(talk->idle());
  CHECK(talk->held() == 0);
}

TEST_CASE("FastCGI: a request is answered, in whatever pieces it comes") {
  const std::string request = fcgi_request(3, true, "/a");
  for (const std::size_t piece : std::initializer_list<std::size_t>{100'000, 9, 1}) {
    const auto talk = talk_fastcgi(echo);
    const std::string answer = converse(*talk, request, piece);
    std::string_view left = answer;
    CHECK(fcgi_stdout(left, 3) ==
          "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\nCache-Control: no-cache, no-store, "
          "must-revalidate, max-age=0\r\nContent-type: text/plain;charset=UTF-8\r\n\r\n"
          "GET [/a] [full]");
    CHECK(left.empty());
    CHECK_FALSE(talk->over());
    CHECK(talk->idle());
  }
}

TEST_CASE("FastCGI: several requests on a kept connection, the last one ends it") {
  const auto talk = talk_fastcgi(echo);
  const std::string answers =
      converse(*talk, fcgi_request(1, true, "/large") + fcgi_request(1, true, "/none") +
                          fcgi_request(2, false, "/x", "HEAD"));
  std::string_view left = answers;
  CHECK(fcgi_stdout(left, 1).size() > 300'000);
  CHECK(fcgi_stdout(left, 1).rfind("Status: 404 Not Found\r\n", 0) == 0);
  const std::string head = fcgi_stdout(left, 2);
  CHECK(head.substr(head.size() - 4) == "\r\n\r\n");
  CHECK(left.empty());
  CHECK(talk->over());
}

TEST_CASE("FastCGI: a large answer leaves as slowly as it is taken") {
  const auto talk = talk_fastcgi(echo);
  const std::string answers = converse(*talk, fcgi_request(1, true, "/large"), 1 << 20, 1000);
  std::string_view left = answers;
  CHECK(fcgi_stdout(left, 1).size() > 300'000);
}

TEST_CASE("FastCGI: a body is dropped") {
  const auto talk = talk_fastcgi(echo);
  const std::string answers =
      converse(*talk, fcgi_request(1, true, "/a", "POST", std::string(200'000, 'b')) +
                          fcgi_request(1, true, "/b"), 8192);
  std::string_view left = answers;
  CHECK(contains(fcgi_stdout(left, 1), "POST [/a]"));
  CHECK(contains(fcgi_stdout(left, 1), "GET [/b]"));
}

TEST_CASE("FastCGI: GET_VALUES, unknown types and roles are answered") {
  const auto talk = talk_fastcgi(echo);
  fcgi::Params names;
  names.add("FCGI_MAX_CONNS", "");
  names.add("FCGI_MPXS_CONNS", "");
  std::string ask;
  fcgi::append_get_values(ask, names);
  const std::string answer = converse(*talk, ask);
  std::string_view left = answer;
  fcgi::ResponseParser parser;
  REQUIRE(parser.next(left).kind == fcgi::ResponseEvent::Kind::get_values_result);
  CHECK(parser.values().first("FCGI_MPXS_CONNS") == "0");
  const std::string unknown("\1\x4d\0\0\0\0\0\0", 8);
  CHECK(converse(*talk, unknown).substr(0, 2) == std::string("\1\x0b", 2));
  std::string role;
  fcgi::append_begin(role, 5, static_cast<fcgi::Role>(9), false);
  const std::string refused = converse(*talk, role);
  REQUIRE(refused.size() == 16);
  CHECK(refused[12] == 3);  // FCGI_UNKNOWN_ROLE
  CHECK(talk->over());
}

TEST_CASE("FastCGI: what is none ends the connection") {
  for (const std::string& input :
       {std::string("\1\1\0\1\0\7\0\0", 8), std::string("\2\1\0\1\0\0\0\0", 8),
        fcgi_request(1, true, "/").substr(0, 16) + std::string("\1\5\0\1\0\1\0\0x", 9)}) {
    const auto talk = talk_fastcgi(echo);
    CHECK(converse(*talk, input).empty());
    CHECK(talk->over());
  }
}
