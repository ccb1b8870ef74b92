#include <sys/mman.h>

#include "rig.hpp"

using namespace test;
using fpm::scoreboard::Stage;

TEST_CASE("nothing is shown before the master has told all") {
  const Memory memory(2);
  Rig rig;
  rig.add("www", memory);
  CHECK(rig.view.size() == 0);
  CHECK_FALSE(rig.view.find("www").has_value());
  rig.commit();
  REQUIRE(rig.view.find("www").has_value());
  CHECK(rig.view.snapshot(0, false).name == "www");
}

TEST_CASE("a snapshot is what the master's memory says") {
  Memory memory(3);
  memory.totals().accepted.store(7);
  memory.board.occupy(0);
  memory.board.pen(0).enter(Stage::accepting);
  memory.board.occupy(1);
  memory.board.pen(1).enter(Stage::executing);
  Rig rig;
  rig.add("www", memory);
  rig.commit();
  const auto seen = rig.view.snapshot(0, true);
  CHECK(seen.accepted == 7);
  CHECK(seen.idle == 1);
  CHECK(seen.active == 1);
  CHECK(seen.workers.size() == 2);
  CHECK(seen.max_children == 4);
  CHECK(seen.listen_queue_limit == 511);
  CHECK_FALSE(seen.listen_queue.has_value());  // no socket was named: unknown, not 0
  memory.totals().accepted.store(8);
  CHECK(rig.view.snapshot(0, false).accepted == 8);
}

TEST_CASE("generations that drain count, and are gone when the master says so") {
  const Memory memory(2);
  scoreboard::Board old = *scoreboard::Board::create(2);
  old.occupy(0);
  old.pen(0).enter(Stage::executing);
  Rig rig;
  rig.add("www", memory, {&old});
  rig.commit();
  CHECK(rig.view.snapshot(0, true).active == 1);
  reporter::PoolNews news = rig.view.pool(0);
  news.boards.pop_back();
  REQUIRE(rig.send(news).empty());
  CHECK(rig.view.snapshot(0, true).active == 1);
  REQUIRE(rig.send(reporter::Commit{1, 0}).empty());
  CHECK(rig.view.snapshot(0, true).active == 0);
}

TEST_CASE("the doors of a pool count together, those that finish too") {
  const Memory memory(1);
  const scoreboard::DoorBoard first = *scoreboard::DoorBoard::create(4);
  const scoreboard::DoorBoard second = *scoreboard::DoorBoard::create(8);
  Rig rig;
  rig.add("www", memory);
  rig.commit();
  CHECK_FALSE(rig.view.snapshot(0, false).door.has_value());
  reporter::PoolNews news = rig.view.pool(0);
  news.doors = {rig.map_door(first), rig.map_door(second)};
  REQUIRE(rig.send(news).empty());
  rig.commit();
  first.head().accepted.store(3);
  second.head().accepted.store(4);
  second.head().connections[2].store(1);
  const auto seen = rig.view.snapshot(0, false);
  REQUIRE(seen.door.has_value());
  CHECK(seen.door->accepted == 7);
  CHECK(seen.door->all_connections() == 1);
  news.doors.erase(news.doors.begin());
  REQUIRE(rig.send(news).empty());
  rig.commit();
  CHECK(rig.view.snapshot(0, false).door->accepted == 4);
  news.doors = {4711};
  CHECK(rig.send(news) == "a pool with an unknown door");
}

TEST_CASE("a pool that never had a worker shows what the master says of it") {
  Rig rig;
  reporter::PoolNews news = rig.describe("idle");
  news.state = static_cast<std::uint32_t>(scoreboard::PoolState::serving);
  news.started_ns = 1'700'000'000ULL * 1'000'000'000U;
  news.generation = 3;
  REQUIRE(rig.send(news).empty());
  rig.commit();
  const auto seen = rig.view.snapshot(0, true);
  CHECK(seen.generation == 3);
  CHECK(seen.state == scoreboard::PoolState::serving);
  CHECK(std::chrono::system_clock::to_time_t(seen.started) == 1'700'000'000);
  CHECK(rig.view.recent_wait(0, {}).count() == 0);
}

TEST_CASE("what refers to nothing is an error, and what is shown stays") {
  const Memory memory(2);
  Rig rig;
  rig.add("www", memory);
  rig.commit();
  reporter::PoolNews news = rig.view.pool(0);
  news.totals = 4711;
  CHECK(rig.send(news) == "a pool with unknown totals");
  news = rig.view.pool(0);
  news.boards.push_back(4711);
  CHECK(rig.send(news) == "a pool with an unknown scoreboard");
  CHECK(rig.send(reporter::PlaceNews{0, 9, "", {}}) == "an address without its socket");
  CHECK(rig.send(reporter::Mapping{9, 3}) == "a mapping without its descriptor");
  CHECK(rig.send(reporter::Commit{2, 0}) == "a pool is missing");
  CHECK(rig.send(reporter::Commit{1, 1}) == "an address is missing");
  CHECK(rig.send(reporter::Commit{~0U, 0}) == "a pool is missing");
  CHECK(rig.view.snapshot(0, false).name == "www");
}

TEST_CASE("a mapping of the wrong size is refused") {
  const Memory memory(2);
  Rig rig;
  CHECK_FALSE(rig.send(reporter::Mapping{1, 5000}, memory.board.memory().fd()).empty());
  CHECK_FALSE(rig.send(reporter::Mapping{1, -1}, memory.board.memory().fd()).empty());
  const os::SharedMemory small = *os::SharedMemory::create("test", 64);
  CHECK_FALSE(rig.send(reporter::Mapping{.key = 1, .door = 1}, small.fd()).empty());
}

TEST_CASE("pools may come, go and change places") {
  const Memory a(1);
  const Memory b(1);
  a.totals().accepted.store(1);
  b.totals().accepted.store(2);
  Rig rig;
  rig.add("a", a);
  rig.add("b", b);
  rig.commit();
  reporter::PoolNews first = rig.view.pool(1);
  reporter::PoolNews second = rig.view.pool(0);
  first.index = 0;
  second.index = 1;
  REQUIRE(rig.send(first).empty());
  REQUIRE(rig.send(second).empty());
  REQUIRE(rig.send(reporter::Commit{2, 0}).empty());
  CHECK(rig.view.snapshot(0, false).name == "b");
  CHECK(rig.view.snapshot(0, false).accepted == 2);
  CHECK(rig.view.find("a") == std::size_t{1});
  REQUIRE(rig.send(reporter::Commit{1, 0}).empty());
  CHECK_FALSE(rig.view.find("a").has_value());
}
