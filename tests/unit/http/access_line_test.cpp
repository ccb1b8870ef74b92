// The door's access log.
#include "fpm/http/access_line.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

struct Request {
  Head head;
  Served served;
  Request() {
    head.method = "GET";
    head.target = "/a?b=\"c";
    head.fields = {{"Referer", "http://x/"}, {"User-Agent", "me \"and\" \x01you"},
                   {"Authorization", "Basic dXNlcjpwYXNz"}};
    served.pool = "www";
    served.head = &head;
    served.remote = "192.0.2.1";
    served.uri = "/a";
    served.query = "b=\"c";
    served.status = 200;
    served.body_out = 12;
    served.user = "user";
    served.queue_wait = std::chrono::microseconds(1500);
  }
};

}  // namespace

TEST_CASE("combined is the default, and no client can forge a line") {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const Request request;
  AccessLine line({});
  CHECK(line.render(request.served) ==
        "192.0.2.1 - user [01/Jan/1970:00:00:00 +0000] \"GET /a?b=\\x22c HTTP/1.1\" 200 12 "
        "\"http://x/\" \"me \\x22and\\x22 \\x01you\"\n");
  Served refused;
  refused.remote = "192.0.2.1";
  refused.status = 400;
  CHECK(line.render(refused) ==
        "192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

TEST_CASE("json and php-fpm's tokens are there as well") {
  const Request request;
  AccessLine json("json");
  const std::string text(json.render(request.served));
  CHECK(text.find("\"pool\":\"www\"") != text.npos);
  CHECK(text.find("\"queue_wait\":0.0015") != text.npos);
  CHECK(text.find("\"bytes\":12") != text.npos);
  AccessLine tokens("%R %m %r %s %{HTTP_USER_AGENT}e");
  CHECK(tokens.render(request.served) == "192.0.2.1 GET /a 200 me \\x22and\\x22 \\x01you\n");
}

TEST_CASE("the user is decoded, the password is not") {
  const Request request;
  CHECK(basic_user(request.head) == "user");
  Head none;
  CHECK(basic_user(none).empty());
}

TEST_CASE("a suppressed path hides what went well and nothing else") {
  const std::vector<std::string> paths{"/ping"};
  Request request;
  request.served.uri = "/ping";
  request.served.query = {};
  CHECK(is_suppressed(paths, request.served));
  request.served.status = 500;
  CHECK(!is_suppressed(paths, request.served));
  request.served.status = 200;
  request.served.query = "a";
  CHECK(!is_suppressed(paths, request.served));
}
