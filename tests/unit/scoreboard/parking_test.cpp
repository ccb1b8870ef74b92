#include "fpm/scoreboard/parking.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "fpm/scoreboard/board.hpp"

using fpm::scoreboard::Board;
using fpm::scoreboard::kFewestInAccept;
using fpm::scoreboard::kMostInAccept;
using fpm::scoreboard::kParkedBit;
using fpm::scoreboard::Parking;
using fpm::scoreboard::Stage;

namespace {

/// A board whose first `in_accept` slots wait in accept and whose next `parked` are parked.
Board board_with(int in_accept, int parked) {
  Board board = Board::create(40).value();
  for (int slot = 0; slot < in_accept + parked; ++slot) {
    board.pulse().spare.fetch_add(1);
    board.pen(slot).enter(Stage::accepting, slot < in_accept ? std::uint8_t{0} : kParkedBit);
    if (slot >= in_accept) board.parking().enter(slot);
  }
  return board;
}

}  // namespace

TEST_CASE("a small pool parks nobody") {
  const Board board = Board::create(2 * kMostInAccept).value();
  board.pulse().spare = 2 * kMostInAccept;
  CHECK_FALSE(board.parking().has_too_many());
}

TEST_CASE("as many wait in accept as are allowed, and one more is too many") {
  const Board board = board_with(kMostInAccept, 0);
  CHECK_FALSE(board.parking().has_too_many());
  board.pulse().spare += 1;
  CHECK(board.parking().has_too_many());
}

TEST_CASE("a worker that is needed in accept is not parked") {
  const Board board = board_with(kFewestInAccept, 0);
  Parking parking = board.parking();
  board.pulse().spare = kFewestInAccept;  // the one that is about to park among them
  parking.enter(30);
  CHECK_FALSE(parking.unpark(30));
  CHECK(board.pulse().parked == 0);
}

TEST_CASE("who leaves too few in accept wakes the lowest slot that is parked") {
  const Board board = board_with(kFewestInAccept, 3);
  Parking parking = board.parking();
  parking.refill();
  CHECK(board.pulse().parked == 3);
  board.pulse().spare -= 1;
  parking.refill();
  CHECK(board.pulse().parked == 2);
  CHECK_FALSE(parking.unpark(kFewestInAccept));
  CHECK(parking.unpark(kFewestInAccept + 1));
}

TEST_CASE("a parked worker that was killed is not counted any more") {
  Board board = board_with(kFewestInAccept, 3);
  board.vacate(kFewestInAccept + 1);
  CHECK(board.pulse().parked == 2);
}

TEST_CASE("the master wakes others when those in accept were killed") {
  Board board = board_with(kFewestInAccept, 3);
  Parking parking = board.parking();
  for (const int slot : {0, 1}) board.vacate(slot);
  // Nobody gave the two places back: by the hint nobody is missing.
  parking.refill();
  CHECK(board.pulse().parked == 3);
  parking.correct();
  CHECK(board.pulse().parked == 1);
  CHECK(parking.unpark(kFewestInAccept + 2));
}

TEST_CASE("the master mends a count that is wrong, and bytes that are none") {
  Board board = board_with(kMostInAccept, 3);
  board.pulse().parked = 1'000'000;
  board.parking().correct();
  CHECK(board.pulse().parked == 3);
  board.pulse().parked = -7;
  for (int slot = 0; slot < board.slots(); ++slot) {
    board.pen(slot).enter(static_cast<Stage>(0x0f), 0xf0);
  }
  board.parking().correct();
  CHECK(board.pulse().parked == 0);
}

TEST_CASE("nobody is forgotten while many come and go") {
  constexpr int kWorkers = 32;
  constexpr int kRounds = 300;
  Board board = Board::create(kWorkers).value();
  std::atomic<int> tickets{kWorkers * kRounds};
  std::vector<std::thread> workers;
  for (int slot = 0; slot < kWorkers; ++slot) {
    workers.emplace_back([&, slot] {
      Parking parking = board.parking();
      const auto one_takes = [&] {
        int left = tickets.load();
        while (left > 0 && !tickets.compare_exchange_weak(left, left - 1)) {
        }
        return left > 0;
      };
      for (;;) {
        board.pulse().spare.fetch_add(1);
        board.pen(slot).enter(Stage::accepting);
        while (parking.has_too_many() && tickets.load() > 0) {
          board.pen(slot).enter(Stage::accepting, kParkedBit);
          parking.enter(slot);
          parking.sleep(slot);
          parking.unpark(slot);
          board.pen(slot).enter(Stage::accepting);
        }
        std::this_thread::yield();
        const bool took = one_takes();
        board.pulse().spare.fetch_sub(1);
        parking.refill();
        if (!took) return;
      }
    });
  }
  // Were a wake-up lost, the workers that are parked would sleep for ever.
  for (std::thread& worker : workers) worker.join();
  CHECK(tickets.load() == 0);
  CHECK(board.pulse().parked == 0);
  CHECK(board.pulse().spare == 0);
}
