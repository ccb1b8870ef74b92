// The target of a request.
#include "fpm/http/target.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

std::string path_of(std::string_view text) {
  Target target;
  if (const int status = read_target("GET", text, target)) return std::to_string(status);
  return target.path;
}

}  // namespace

TEST_CASE("a path is decoded once and put right") {
  const auto [text, path] = GENERATE(table<std::string, std::string>({
      {"/", "/"},
      {"/a/b.html", "/a/b.html"},
      {"/a%20b", "/a b"},
      {"/%41", "/A"},
      {"/%2541", "/%41"},  // once, not twice
      {"/a%2fb", "/a/b"},
      {"//a///b/", "/a/b/"},
      {"/./a/./b/.", "/a/b/"},
      {"/a/..b/c..", "/a/..b/c.."},
      {"/...", "/..."},
      {"http://example.org", "/"},
      {"http://example.org/a?b", "/a"},
      {"/\xc3\xa4", "/\xc3\xa4"},
  }));
  INFO(text);
  CHECK(path_of(text) == path);
}

TEST_CASE("what leaves the root, or is no target, is refused") {
  for (const char* text :
       {"/..", "/../etc/passwd", "/a/../b", "/%2e%2e/etc/passwd", "/.%2e/a", "/a/%2e%2e", "/..%2fa",
        "/a%00b", "/%", "/%4", "/%4g", "/a#b", "a", "", "*", "ftp://a/", "http:///a",
        "http://user@host/", "http://a%20/", "http://a:x/"}) {
    INFO(text);
    CHECK(path_of(text) == "400");
  }
  Target target;
  CHECK(read_target("CONNECT", "a:443", target) == 501);
  CHECK(read_target("OPTIONS", "*", target) == 0);
  CHECK(target.whole_server);
}

TEST_CASE("the query stays as it was written, and an authority is taken out") {
  Target target;
  REQUIRE(read_target("GET", "/a?b=%20?c", target) == 0);
  CHECK(target.has_query);
  CHECK(target.query == "b=%20?c");
  REQUIRE(read_target("GET", "/a", target) == 0);
  CHECK(!target.has_query);
  REQUIRE(read_target("GET", "HTTP://example.org:81?q", target) == 0);
  CHECK(target.authority == "example.org:81");
  CHECK(target.query == "q");
}

TEST_CASE("dot files are hidden, but for the well-known ones") {
  CHECK(is_hidden("/.git/config"));
  CHECK(is_hidden("/a/.htaccess"));
  CHECK(is_hidden("/.well-known/.a"));
  CHECK(is_hidden("/.well-knownx"));
  CHECK(is_hidden("/a/.well-known"));
  CHECK(!is_hidden("/.well-known/acme"));
  CHECK(!is_hidden("/.well-known"));
  CHECK(!is_hidden("/a.b/c.d"));
}

TEST_CASE("a path becomes a URI again") {
  CHECK(encode_path("/a b/\xc3\xa4?#%\r\n\"") == "/a%20b/%C3%A4%3F%23%25%0D%0A%22");
  CHECK(path_of(encode_path("/a b%20/?")) == "/a b%20/?");
}
