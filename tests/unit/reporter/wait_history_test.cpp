#include "fpm/reporter/wait_history.hpp"

#include <catch2/catch.hpp>

using namespace fpm::reporter;
using namespace std::chrono_literals;
namespace scoreboard = fpm::scoreboard;

namespace {

struct Pool {
  scoreboard::Ledger ledger = *scoreboard::Ledger::create();
  WaitHistory history;
  WaitHistory::Time now{1h};

  scoreboard::Totals& totals() { return ledger.totals(); }
  void request(std::chrono::milliseconds wait) {
    totals().accepted.fetch_add(1);
    totals().queue_wait.record(wait);
  }
  /// Time passes in samples of a second.
  void pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      now += 1s;
      history.sample(now, totals());
    }
  }
  std::uint64_t count() { return history.recent(now, totals()).count(); }
};

}  // namespace

TEST_CASE("what waited before the reporter came is not recent") {
  Pool pool;
  pool.request(5s);
  pool.history.sample(pool.now, pool.totals());
  CHECK(pool.count() == 0);
  pool.request(1ms);
  CHECK(pool.count() == 1);
}

TEST_CASE("a wait is recent for ten seconds") {
  Pool pool;
  pool.history.sample(pool.now, pool.totals());
  pool.request(700ms);
  pool.pass(1);
  CHECK(pool.count() == 1);
  CHECK(pool.history.recent(pool.now, pool.totals()).percentile(0.99) > 500ms);
  pool.pass(9);
  CHECK(pool.count() == 1);
  pool.pass(1);
  CHECK(pool.count() == 0);
}

TEST_CASE("each wait leaves when its time has come") {
  Pool pool;
  pool.history.sample(pool.now, pool.totals());
  for (int second = 0; second < 30; ++second) {
    pool.request(1ms);
    pool.pass(1);
  }
  CHECK(pool.count() == 10);
  pool.pass(5);
  CHECK(pool.count() == 5);
  pool.pass(100);
  CHECK(pool.count() == 0);
  pool.request(1ms);
  CHECK(pool.count() == 1);
}

TEST_CASE("a pool that was never looked at has no recent waits") {
  Pool pool;
  pool.request(1s);
  CHECK(pool.count() == 0);
}
