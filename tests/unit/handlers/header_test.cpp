#include "fpm/handlers/cgi/header.hpp"

#include <catch2/catch.hpp>

using fpm::handlers::cgi::HeaderParser;
using State = HeaderParser::State;

namespace {

struct Row {
  const char* written;
  int status;
  const char* block;  // nullptr: malformed
};

const Row kRows[] = {
    {"Content-Type: text/html\n\n", 200, "Content-Type: text/html\r\n\r\n"},
    {"Content-Type: text/html\r\n\r\n", 200, "Content-Type: text/html\r\n\r\n"},
    {"Content-type:text/html\r\nX-A:  b \t\n\r\n", 200, "Content-type: text/html\r\nX-A: b\r\n\r\n"},
    {"X-A: b\nStatus: 404 Not Found\nContent-Type: a/b\n\n", 404,
     "Status: 404 Not Found\r\nX-A: b\r\nContent-Type: a/b\r\n\r\n"},
    {"status: 204\n\n", 204, "Status: 204\r\n\r\n"},
    {"Status: 200\nStatus: 500\n\n", 200, "Status: 200\r\n\r\n"},
    // NPH: the script speaks HTTP itself.
    {"HTTP/1.1 418 I'm a teapot\r\nServer: x\r\n\r\n", 418,
     "Status: 418 I'm a teapot\r\nServer: x\r\n\r\n"},
    {"HTTP/1.0 200\n\n", 200, "Status: 200\r\n\r\n"},
    // Location without Status is the front's to judge.
    {"Location: https://example.org/\n\n", 302, "Location: https://example.org/\r\n\r\n"},
    {"Location: /x\nStatus: 303 See Other\n\n", 303, "Status: 303 See Other\r\nLocation: /x\r\n\r\n"},
    // Interim responses are left out, with their fields.
    {"Status: 103 Early Hints\nLink: </a.css>\n\nContent-Type: a/b\n\n", 200,
     "Content-Type: a/b\r\n\r\n"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX: y\r\n\r\n", 201,
     "Status: 201 Created\r\nX: y\r\n\r\n"},
    // Nothing that RFC 3875 asks for: a type is added.
    {"X-A: b\n\n", 200, "X-A: b\r\nContent-Type: text/plain\r\n\r\n"},
    {"\n", 200, "Content-Type: text/plain\r\n\r\n"},
    {"X-Sendfile: a.png\n\n", 200, "X-Sendfile: a.png\r\n\r\n"},
    {"Set-Cookie: a=1\nSet-Cookie: b=2\nContent-Type: a/b\n\n", 200,
     "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: a/b\r\n\r\n"},
    {"Content-Type: a/b\nX: \xc3\xa4\n\n", 200, "Content-Type: a/b\r\nX: \xc3\xa4\r\n\r\n"},
    {"hello, world\n\n", 0, nullptr},
    {"Content-Type: a/b\n<html>\n\n", 0, nullptr},
    {": no name\n\n", 0, nullptr},
    {"Bad Name: x\n\n", 0, nullptr},
    {"Content-Type : a/b\n\n", 0, nullptr},
    {"Content-Type: a/b\n folded\n\n", 0, nullptr},
    {"X: a\rSet-Cookie: b\nContent-Type: a/b\n\n", 0, nullptr},
    {"X: a\x01\n\n", 0, nullptr},
    {"Status: fine\n\n", 0, nullptr},
    {"Status: 20\n\n", 0, nullptr},
    {"Status: 2000\n\n", 0, nullptr},
    {"Status: 099\n\n", 0, nullptr},
    {"HTTP/1.1 abc\n\n", 0, nullptr},
};

void check(const HeaderParser& parser, const Row& row) {
  if (row.block == nullptr) {
    CHECK(parser.state() == State::malformed);
    CHECK_FALSE(parser.problem().empty());
    return;
  }
  REQUIRE(parser.state() == State::complete);
  CHECK(parser.status() == row.status);
  CHECK(parser.block() == row.block);
}

}  // namespace

TEST_CASE("a header block is read as a whole and leaves the body alone") {
  for (const Row& row : kRows) {
    CAPTURE(row.written);
    HeaderParser parser;
    const std::string text = std::string(row.written) + "body: \n\n";
    const std::size_t used = parser.feed(text);
    check(parser, row);
    if (row.block != nullptr) CHECK(text.substr(used) == "body: \n\n");
  }
}

TEST_CASE("a header block is read byte by byte with the same result") {
  for (const Row& row : kRows) {
    CAPTURE(row.written);
    HeaderParser parser;
    for (const char* byte = row.written; *byte != '\0'; ++byte) {
      if (parser.state() == State::incomplete) CHECK(parser.feed({byte, 1}) == 1);
    }
    check(parser, row);
  }
}

TEST_CASE("a header block without its blank line stays incomplete") {
  HeaderParser parser;
  CHECK_FALSE(parser.begun());
  parser.feed("Content-Type: text/html\nX: y");
  CHECK(parser.begun());
  CHECK(parser.state() == State::incomplete);
}

TEST_CASE("a header block may fill its limit and not pass it") {
  const std::string start = "X: ", end = "\n\n";
  const std::string fits(HeaderParser::kLimit - start.size() - end.size(), 'a');
  HeaderParser parser;
  parser.feed(start + fits + end);
  CHECK(parser.state() == State::complete);

  HeaderParser other;
  other.feed(start + fits);
  CHECK(other.state() == State::incomplete);
  other.feed("a" + end);
  CHECK(other.state() == State::malformed);
  CHECK(other.problem() == "its header is longer than 64 KiB");
}

TEST_CASE("what was wrong with a header is told with the line") {
  HeaderParser parser;
  parser.feed("no colon\n");
  CHECK(parser.problem() == "a header line has no colon: \"no colon\"");
}
