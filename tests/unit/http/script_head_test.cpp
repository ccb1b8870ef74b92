// The header block of a script's answer.
#include "fpm/http/script_head.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

TEST_CASE("the end of a block is found with either end of line") {
  CHECK(script_head_size("A: b\r\n\r\nbody", 0) == 8);
  CHECK(script_head_size("A: b\n\nbody", 0) == 6);
  CHECK(script_head_size("A: b\r\n\nbody", 0) == 7);
  CHECK(script_head_size("A: b\n\r\nbody", 0) == 7);
  CHECK(script_head_size("\r\nbody", 0) == 2);
  CHECK(script_head_size("\nbody", 0) == 1);
  CHECK(script_head_size("A: b\r\n", 0) == 0);
  const std::string text = "A: b\r\nC: d\r\n\r\nbody";
  std::size_t found = 0;
  for (std::size_t i = 1; i <= text.size() && found == 0; ++i) {
    found = script_head_size(std::string_view(text).substr(0, i), i - 1);
  }
  CHECK(found == text.size() - 4);
}

TEST_CASE("a block is read, and what concerns one connection is left out") {
  ScriptHead head;
  REQUIRE(read_script_head("Status: 404 Not here\r\nContent-Type: text/html\nConnection: close\r\n"
                           "Transfer-Encoding: chunked\r\nKeep-Alive: 5\nX-A:  b \r\nSet-Cookie: c\n"
                           "content-length: 12\r\nSet-Cookie: d\r\n\r\n",
                           head));
  CHECK(head.status == 404);
  CHECK(head.reason == "Not here");
  CHECK(head.length == 12U);
  CHECK(head.has_content_type);
  CHECK(!head.has_date);
  CHECK(head.fields ==
        "Content-Type: text/html\r\nX-A: b\r\nSet-Cookie: c\r\nSet-Cookie: d\r\n");
}

TEST_CASE("a local redirect is one without a status, to a path") {
  const auto is_local = [](const std::string& text) {
    ScriptHead head;
    REQUIRE(read_script_head(text, head));
    return head.is_local_redirect();
  };
  CHECK(is_local("Location: /a\n\n"));
  CHECK(!is_local("Location: http://a/\n\n"));
  CHECK(!is_local("Location: //a/\n\n"));
  CHECK(!is_local("Status: 302\nLocation: /a\n\n"));
  CHECK(!is_local("X: /a\n\n"));
}

TEST_CASE("X-Sendfile is no header for the client") {
  ScriptHead head;
  REQUIRE(read_script_head("X-Sendfile: /srv/a\nContent-Type: a/b\n\n", head));
  CHECK(head.send_file == "/srv/a");
  CHECK(head.fields == "Content-Type: a/b\r\n");
}

TEST_CASE("malformed blocks are refused") {
  for (const char* text :
       {"no colon\n\n", "A b: c\n\n", ": c\n\n", "A: b\x01\n\n", "Status: x\n\n", "Status: 99\n\n",
        "Status: 1000\n\n", "Status: 200OK\n\n", "Content-Length: x\n\n",
        "Content-Length: 1\nContent-Length: 2\n\n", "A: b\n c\n\n", "A: b\rc: d\n\n"}) {
    ScriptHead head;
    INFO(text);
    CHECK(!read_script_head(text, head));
  }
}
