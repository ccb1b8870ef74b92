// The parameters of a request to the pool.
#include "fpm/http/parameters.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

std::string value(const fcgi::Params& params, std::string_view name) {
  const auto found = params.first(name);
  return found ? std::string(*found) : "(none)";
}

}  // namespace

TEST_CASE("a request becomes CGI/1.1's parameters") {
  Head head;
  head.minor = 1;
  head.fields = {{"Host", "example.org:8080"},
                 {"Content-Type", "text/a"},
                 {"Content-Length", "3"},
                 {"User-Agent", "me"},
                 {"Cookie", "a=1"},
                 {"X-Twice", "1"},
                 {"cookie", "b=2"},
                 {"x-twice", "2"},
                 {"Proxy", "evil"},
                 {"X_Real_IP", "evil"},
                 {"Transfer-Encoding", "chunked"},
                 {"Authorization", "Basic abc"}};
  Passed passed;
  passed.head = &head;
  passed.method = "POST";
  passed.request_uri = "/a.cgi/b?c=d";
  passed.query = "c=d";
  passed.root = "/srv";
  passed.script_filename = "/srv/a.cgi";
  passed.script_name = "/a.cgi";
  passed.path_info = "/b";
  passed.length = 3;
  passed.local = {"192.0.2.1", 80};
  passed.remote = {"192.0.2.2", 1234};
  passed.authority = "example.org:8080";
  passed.queued_at_us = 1700000000000000;
  fcgi::Params params;
  params.add("OLD", "gone");
  set_parameters(passed, params);
  CHECK(value(params, "OLD") == "(none)");
  CHECK(value(params, "GATEWAY_INTERFACE") == "CGI/1.1");
  CHECK(value(params, "SERVER_PROTOCOL") == "HTTP/1.1");
  CHECK(value(params, "REQUEST_METHOD") == "POST");
  CHECK(value(params, "REQUEST_URI") == "/a.cgi/b?c=d");
  CHECK(value(params, "QUERY_STRING") == "c=d");
  CHECK(value(params, "SCRIPT_NAME") == "/a.cgi");
  CHECK(value(params, "SCRIPT_FILENAME") == "/srv/a.cgi");
  CHECK(value(params, "PATH_INFO") == "/b");
  CHECK(value(params, "PATH_TRANSLATED") == "/srv/b");
  CHECK(value(params, "DOCUMENT_ROOT") == "/srv");
  CHECK(value(params, "CONTENT_LENGTH") == "3");
  CHECK(value(params, "CONTENT_TYPE") == "text/a");
  CHECK(value(params, "SERVER_NAME") == "example.org");
  CHECK(value(params, "SERVER_PORT") == "80");
  CHECK(value(params, "REMOTE_ADDR") == "192.0.2.2");
  CHECK(value(params, "REMOTE_PORT") == "1234");
  CHECK(value(params, "HTTPS") == "(none)");
  CHECK(value(params, "FPM_QUEUED_AT") == "1700000000000000");
  CHECK(value(params, "HTTP_HOST") == "example.org:8080");
  CHECK(value(params, "HTTP_USER_AGENT") == "me");
  CHECK(value(params, "HTTP_COOKIE") == "a=1; b=2");
  CHECK(value(params, "HTTP_X_TWICE") == "1, 2");
  CHECK(value(params, "HTTP_AUTHORIZATION") == "Basic abc");
  for (const char* name : {"HTTP_PROXY", "HTTP_X_REAL_IP", "HTTP_TRANSFER_ENCODING",
                           "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"}) {
    CHECK(value(params, name) == "(none)");
  }
}

TEST_CASE("a target in absolute form is a path and a host") {
  Head head;
  head.fields = {{"Host", "other"}};
  Passed passed;
  passed.head = &head;
  passed.authority = "a:81";
  fcgi::Params params;
  const auto uri = [&](std::string_view target) {
    passed.request_uri = target;
    set_parameters(passed, params);
    return value(params, "REQUEST_URI");
  };
  CHECK(uri("http://a:81/b?c=/d") == "/b?c=/d");
  CHECK(uri("http://a:81?c") == "/?c");
  CHECK(uri("http://a:81") == "/");
  CHECK(uri("/b://c/d") == "/b://c/d");
  CHECK(uri("*") == "*");
  CHECK(value(params, "HTTP_HOST") == "a:81");
}

TEST_CASE("without a body there is no length, and names of hosts lose port and nothing else") {
  Head head;
  head.minor = 0;
  Passed passed;
  passed.head = &head;
  passed.method = "GET";
  passed.authority = "[2001:db8::1]:80";
  passed.secure = true;
  fcgi::Params params;
  set_parameters(passed, params);
  CHECK(value(params, "CONTENT_LENGTH") == "(none)");
  CHECK(value(params, "SERVER_NAME") == "[2001:db8::1]");
  CHECK(value(params, "SERVER_PROTOCOL") == "HTTP/1.0");
  CHECK(value(params, "HTTPS") == "on");
  passed.authority = {};
  passed.local = {"127.0.0.1", 80};
  set_parameters(passed, params);
  CHECK(value(params, "SERVER_NAME") == "127.0.0.1");
}
