#include <catch2/catch.hpp>

#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/ledger.hpp"

using namespace fpm::scoreboard;
namespace os = fpm::os;

TEST_CASE("another process sees a scoreboard as its owner does") {
  Board board = *Board::create(3);
  board.occupy(1);
  Pen pen = board.pen(1);
  pen.update([](Pen& p) {
    p.number(Field::pid, 4711);
    p.text(kUri, "/a");
  });
  pen.enter(Stage::executing);
  const os::UniqueFd fd = *os::open_read_only(board.memory().fd());
  const auto seen = Board::attach(fd.get(), 3);
  REQUIRE(seen.has_value());
  const PoolSnapshot pool = seen->snapshot(true);
  CHECK(pool.active == 1);
  REQUIRE(pool.workers.size() == 1);
  CHECK(pool.workers[0].pid == 4711);
  CHECK(pool.workers[0].uri == "/a");
  pen.enter(Stage::accepting);
  CHECK(seen->snapshot(false).idle == 1);
}

TEST_CASE("a scoreboard of another size is refused") {
  const Board board = *Board::create(3);
  for (const int slots : {0, -1, 400, 1 << 30}) {
    CAPTURE(slots);
    CHECK(Board::attach(board.memory().fd(), slots).has_error());
  }
  CHECK(Board::attach(-1, 3).has_error());
}

TEST_CASE("another process sees a pool's totals as its owner does") {
  const Ledger ledger = *Ledger::create();
  const os::UniqueFd fd = *os::open_read_only(ledger.memory().fd());
  const auto seen = Ledger::attach(fd.get());
  REQUIRE(seen.has_value());
  ledger.totals().accepted.store(7);
  CHECK(seen->totals().accepted.load() == 7);
  CHECK(Ledger::attach(-1).has_error());
  const os::SharedMemory small = *os::SharedMemory::create("test", 64);
  CHECK(Ledger::attach(small.fd()).has_error());
}
