#include "fpm/reporter/message.hpp"

#include <catch2/catch.hpp>
#include <random>

using namespace fpm::reporter;

namespace {

PoolNews some_pool() {
  PoolNews news;
  news.index = 4;
  news.name = "www";
  news.process_manager = "ondemand";
  news.status_path = "/status";
  news.ping_path = "/ping";
  news.ping_response = std::string("po\0ng", 5);
  news.max_children = 7;
  news.listen_queue_limit = 511;
  news.ready_queue = 3;
  news.ready_wait_ms = 250;
  news.listener.inode = 99;
  news.listener.family = 2;
  news.listener.port = 9000;
  news.listener.address[0] = 127;
  news.totals = 1ULL << 40;
  news.boards = {5, 6, 7};
  news.doors = {8, 9};
  news.started_ns = 1;
  news.state = 1;
  news.generation = 2;
  news.reloads = 3;
  news.reloads_failed = 4;
  news.last_reload_ns = 5;
  return news;
}

std::vector<Message> all_messages() {
  return {Mapping{77, 12}, Mapping{78, 0, 1}, some_pool(), PlaceNews{1, 2, "www", {"127.0.0.1", "10.0.0.0/8"}},
          Commit{5000, 3}};
}

}  // namespace

TEST_CASE("what is sent is what arrives") {
  for (const Message& message : all_messages()) {
    const std::string packet = encode(message);
    const auto again = decode(packet);
    REQUIRE(again.has_value());
    CHECK(*again == message);
    CHECK(packet.size() < 300);
  }
}

TEST_CASE("a packet that is cut or too long is none") {
  for (const Message& message : all_messages()) {
    const std::string packet = encode(message);
    for (std::size_t size = 0; size < packet.size(); ++size) {
      CHECK_FALSE(decode({packet.data(), size}).has_value());
    }
    CHECK_FALSE(decode(packet + "x").has_value());
  }
  CHECK_FALSE(decode(std::string(kMostBytes + 1, '\1')).has_value());
}

TEST_CASE("a packet of another version or kind is none") {
  std::string packet = encode(Commit{1, 1});
  packet[1] = 17;
  CHECK_FALSE(decode(packet).has_value());
  packet = encode(Commit{1, 1});
  ++packet[0];
  CHECK_FALSE(decode(packet).has_value());
}

TEST_CASE("rubbish takes no memory and no harm") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::string packet = encode(all_messages()[static_cast<std::size_t>(round) % 4]);
    for (int change = 0; change < 4; ++change) {
      packet[2 + random() % (packet.size() - 2)] = static_cast<char>(random());
    }
    (void)decode(packet);
  }
}
