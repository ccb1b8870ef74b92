// The head of a request.
#include "fpm/http/head.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace fpm::http;

namespace {

/// What read_head says of a request line and fields.
int status_of(const std::string& head) {
  Head into;
  return read_head(head, into);
}

const std::string kHost = "Host: a\r\n";

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\n" + fields + "\r\n"; }

}  // namespace

TEST_CASE("a head is found byte by byte as at once") {
  const std::string text = get(kHost + "A: b\r\n");
  const std::string more = text + "rest";
  HeadFinder at_once;
  CHECK(at_once.find(more) == static_cast<std::ptrdiff_t>(text.size()));
  HeadFinder by_bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    REQUIRE(by_bytes.find(std::string_view(text).substr(0, i)) == 0);
  }
  CHECK(by_bytes.find(text) == static_cast<std::ptrdiff_t>(text.size()));
}

TEST_CASE("a bare line feed is refused as soon as it is seen") {
  for (const std::string text : {"GET / HTTP/1.1\n", "\n", "GET / HTTP/1.1\r\nHost: a\n", "A\n\n"}) {
    HeadFinder finder;
    CHECK(finder.find(text) == -1);
  }
}

TEST_CASE("one empty line in front is let pass, in one piece or two") {
  HeadFinder finder;
  std::string bytes = "\r";
  finder.skip_empty_line(bytes);
  CHECK(finder.find(bytes) == 0);
  bytes += "\n";
  finder.skip_empty_line(bytes);
  CHECK(bytes.empty());
  bytes = "\r\n" + get(kHost);
  finder.skip_empty_line(bytes);
  CHECK(finder.find(bytes) == 2);
  CHECK(status_of("\r\n") == 400);
}

TEST_CASE("a host is a name or an address, and a port") {
  for (const char* text : {"a", "a.b-c_d~:80", "192.0.2.1", "[::1]", "[::1]:8080", "a:"}) {
    CHECK(is_host(text));
  }
  for (const char* text : {"a b", "a/b", "u@a", "a,b", "a%20", "a:x", "a:123456", "a:80:80", "[::1",
                           "[]", "[::1]x", "[g/]", "", ":80", "::1", "\xc3\xbc", "a?b", "a*"}) {
    CHECK(!is_host(text));
  }
}

TEST_CASE("an ordinary head is read") {
  Head head;
  const std::string text =
      "POST /a?b=c HTTP/1.1\r\nHost: example.org:80\r\nContent-Length: 12\r\n"
      "X-Empty:\r\nX-Many: \t a b \t\r\nExpect: 100-Continue\r\nConnection: foo, Close\r\n\r\n";
  REQUIRE(read_head(text, head) == 0);
  CHECK(head.method == "POST");
  CHECK(head.target == "/a?b=c");
  CHECK(head.minor == 1);
  CHECK(head.host == "example.org:80");
  CHECK(head.length == 12U);
  CHECK(head.has_body());
  CHECK(head.expects_continue);
  CHECK(!head.keep_alive);
  CHECK(head.field("x-empty").empty());
  CHECK(head.field("X-MANY") == "a b");
}

TEST_CASE("keep-alive is the rule of 1.1 and the exception of 1.0") {
  Head head;
  REQUIRE(read_head("GET / HTTP/1.0\r\n\r\n", head) == 0);
  CHECK(!head.keep_alive);
  CHECK(head.minor == 0);
  REQUIRE(read_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", head) == 0);
  CHECK(head.keep_alive);
  REQUIRE(read_head("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", head) == 0);
  CHECK(!head.keep_alive);
  REQUIRE(read_head(get(kHost), head) == 0);
  CHECK(head.keep_alive);
}

TEST_CASE("what two programs could read in two ways is refused") {
  const auto [what, text] = GENERATE(table<const char*, std::string>({
      {"two lengths", get(kHost + "Content-Length: 1\r\nContent-Length: 2\r\n")},
      {"the same length twice", get(kHost + "Content-Length: 1\r\nContent-Length: 1\r\n")},
      {"a list of lengths", get(kHost + "Content-Length: 1, 1\r\n")},
      {"a length with a sign", get(kHost + "Content-Length: +1\r\n")},
      {"a negative length", get(kHost + "Content-Length: -1\r\n")},
      {"a hexadecimal length", get(kHost + "Content-Length: 0x1\r\n")},
      {"an empty length", get(kHost + "Content-Length:\r\n")},
      {"a length beyond all numbers", get(kHost + "Content-Length: 99999999999999999999\r\n")},
      {"a length beside chunks", get(kHost + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")},
      {"chunks beside a length", get(kHost + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n")},
      {"a tab before a length", get(kHost + "Content-Length:\t1\r\n")},
      {"a tab before chunks", get(kHost + "Transfer-Encoding:\tchunked\r\n")},
      {"a tab behind chunks", get(kHost + "transfer-encoding: chunked\t\r\n")},
      {"chunks twice", get(kHost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
      {"chunks in 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"a folded line", get(kHost + "A: b\r\n c\r\n")},
      {"a first line that is folded", get(" Host: a\r\n")},
      {"a blank before the colon", get("Host : a\r\n")},
      {"a bare CR in a value", get(kHost + "A: b\rc\r\n")},
      {"a bare CR in the target", "GET /\ra HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"NUL in a value", get(kHost + std::string("A: b\0c\r\n", 8))},
      {"a control character", get(kHost + "A: \x01\r\n")},
      {"no colon", get(kHost + "A\r\n")},
      {"no name", get(kHost + ": a\r\n")},
      {"a name that is no token", get(kHost + "A(b): c\r\n")},
      {"no Host", get("")},
      {"two Hosts", get(kHost + kHost)},
      {"a Host that is none", get("Host: a/b\r\n")},
      {"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"no version", "GET /\r\nHost: a\r\n\r\n"},
      {"a version that is none", "GET / HTTP/1\r\nHost: a\r\n\r\n"},
      {"a small version", "GET / http/1.1\r\nHost: a\r\n\r\n"},
      {"a blank at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
      {"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"nothing", "\r\n"},
  }));
  INFO(what);
  CHECK(status_of(text) == 400);
}

TEST_CASE("what is valid and not known has a status of its own") {
  CHECK(status_of(get(kHost + "Transfer-Encoding: gzip\r\n")) == 501);
  CHECK(status_of(get(kHost + "Transfer-Encoding: gzip, chunked\r\n")) == 501);
  CHECK(status_of(get(kHost + "Expect: something\r\n")) == 417);
  CHECK(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
  CHECK(status_of("GET / HTTP/1.2\r\nHost: a\r\n\r\n") == 505);
  CHECK(status_of("POST / HTTP/1.0\r\n\r\n") == 411);
  CHECK(status_of("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n") == 0);
  CHECK(status_of("POST / HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
  CHECK(status_of(get(kHost + "Transfer-Encoding: Chunked\r\n")) == 0);
  CHECK(status_of("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
  CHECK(status_of("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\nA: \xc3\xa4\r\n\r\n") == 0);
}
