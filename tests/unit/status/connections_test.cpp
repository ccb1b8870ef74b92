#include <catch2/catch.hpp>

#include "fpm/status/connections.hpp"

using namespace fpm;
using scoreboard::DoorState;

namespace {

std::string rendered(const scoreboard::DoorSnapshot& door) {
  std::string out;
  status::render_connections(out, "www", door);
  return out;
}

}  // namespace

TEST_CASE("a door without connections has every state, with 0") {
  CHECK(rendered({}) ==
        R"({"pool":"www","states":{"reading":0,"body":0,"queued":0,"waiting":0,"writing":0,)"
        R"("keepalive":0,"closing":0},"connections":[],"not shown":0})");
}

TEST_CASE("a connection has its ages in microseconds, and strings that may be anything") {
  scoreboard::DoorSnapshot door;
  door.counts.connections = {0, 0, 0, 5, 0, 0, 0};
  door.now_ns = 10'000'000;
  door.oldest.push_back({.state = DoorState::waiting,
                         .opened_ns = 1'000'000,
                         .changed_ns = 99'000'000,
                         .bytes_in = 12,
                         .bytes_out = 34,
                         .requests = 2,
                         .remote = "::1",
                         .request = "GET /\"\x1b\xff"});
  const std::string text = rendered(door);
  CHECK(text.find(R"({"state":"waiting","age":9000,"in state":0,"bytes in":12,"bytes out":34,)"
                  R"("requests":2,"remote":"::1","request":"GET \/\"\u001b"})") != text.npos);
  CHECK(text.ends_with(R"("not shown":4})"));
}

TEST_CASE("more connections in the list than in the numbers hide none") {
  scoreboard::DoorSnapshot door;
  door.oldest.resize(2);
  CHECK(rendered(door).ends_with(R"("not shown":0})"));
}
