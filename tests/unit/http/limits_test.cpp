// Open files, connections, bytes a second.
#include "fpm/http/limits.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

TEST_CASE("descriptors are given out up to the reserve, then in the order of asking") {
  Descriptors descriptors(30, 10);  // 4 are free beside the reserve of 16
  for (int i = 0; i < 4; ++i) CHECK(descriptors.take(1));
  CHECK(!descriptors.take(2));
  CHECK(!descriptors.take(3));
  CHECK(!descriptors.try_take());
  CHECK(descriptors.next() == 0);
  descriptors.give_back();
  CHECK(!descriptors.take(4));  // no overtaking
  CHECK(!descriptors.try_take());
  descriptors.leave(2);
  CHECK(descriptors.next() == 3);
  CHECK(descriptors.next() == 0);
  descriptors.give_back();
  CHECK(descriptors.next() == 4);
  descriptors.give_back();
  CHECK(descriptors.try_take());
  CHECK(descriptors.used() == 14);
}

TEST_CASE("the gate closes and opens at its four marks, with a line each") {
  AcceptGate gate;
  CHECK(gate.look(90, 100, 10, 50).empty());
  const auto closed = gate.look(91, 100, 10, 50);
  REQUIRE(closed.size() == 1);
  CHECK(closed[0] == "no more connections are accepted: 91 of 100 files are open");
  CHECK(!gate.open());
  CHECK(gate.look(95, 100, 10, 50).empty());
  CHECK(gate.look(80, 100, 10, 50).empty());
  const auto opened = gate.look(79, 100, 10, 50);
  REQUIRE(opened.size() == 1);
  CHECK(opened[0] == "79 of 100 files are open: connections are accepted again");
  CHECK(gate.open());
  CHECK(gate.look(10, 100, 49, 50).empty());
  const auto full = gate.look(10, 100, 50, 50);
  REQUIRE(full.size() == 1);
  CHECK(full[0] == "no more connections are accepted: 50 are open, 50 are the most");
  CHECK(gate.look(10, 100, 45, 50).empty());
  CHECK(!gate.open());
  const auto again = gate.look(10, 100, 44, 50);
  REQUIRE(again.size() == 1);
  CHECK(again[0] == "44 of at most 50 connections are open: they are accepted again");
  CHECK(gate.open());
}

TEST_CASE("a rate is kept, with a burst of a quarter of a second") {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  RateLimit rate;
  CHECK(!rate.limited());
  rate.limit(100'000);
  std::uint64_t now = 5 * kSecond;
  CHECK(rate.allowance(now) == 25'000);
  std::uint64_t sent = 0;
  for (int tick = 0; tick < 100; ++tick) {  // ten seconds
    const std::uint64_t allowed = rate.allowance(now);
    rate.spend(allowed);
    sent += allowed;
    now += kSecond / 10;
  }
  CHECK(sent >= 1'000'000);
  CHECK(sent <= 1'030'000);
  now += 100 * kSecond;
  CHECK(rate.allowance(now) == 25'000);  // silence is not saved up
}
