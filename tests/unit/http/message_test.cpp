// What the master tells a door.
#include "fpm/http/message.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

Settings some() {
  Settings settings;
  settings.has_listener = settings.has_log = 1;
  settings.pool = "www";
  settings.root = "/srv";
  settings.index = {"a", "b"};
  settings.extensions = {".php"};
  settings.scripts = ScriptRule::executable;
  settings.follow_links = 1;
  settings.max_header = 1;
  settings.max_body = 2;
  settings.body_memory = 3;
  settings.header_timeout = 4;
  settings.queue_timeout = 5;
  settings.queue_max = 6;
  settings.max_children = 7;
  settings.trusted_proxies = {"::1"};
  settings.access_format = "json";
  return settings;
}

}  // namespace

TEST_CASE("a packet comes out as it went in") {
  const std::string packet = encode(some());
  const auto back = decode(packet);
  REQUIRE(back);
  CHECK(std::get<Settings>(*back) == some());
  CHECK(std::holds_alternative<NewLog>(*decode(encode(NewLog()))));
  CHECK(std::get<Finish>(*decode(encode(Finish()))).serve_queue == 0);
  CHECK(std::get<Finish>(*decode(encode(Finish{.serve_queue = 1}))).serve_queue == 1);
}

TEST_CASE("what is no packet is none") {
  const std::string packet = encode(some());
  for (std::size_t i = 0; i < packet.size(); ++i) CHECK(!decode({packet.data(), i}));
  CHECK(!decode(packet + "x"));
  std::string other = packet;
  other[0] = 9;
  CHECK(!decode(other));
  other = packet;
  other[1] = 9;
  CHECK(!decode(other));
}
