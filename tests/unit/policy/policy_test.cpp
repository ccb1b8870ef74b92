#include <signal.h>

#include <catch2/catch.hpp>

#include "fpm/policy/backoff.hpp"
#include "fpm/policy/exits.hpp"
#include "fpm/policy/shutdown.hpp"

using namespace fpm::policy;
using fpm::log::Level;
using namespace std::chrono_literals;

TEST_CASE("the end of a worker is judged by one table") {
  struct Row {
    WorkerEnd end;
    Level level;
    bool failed_start;
  };
  const Row rows[] = {
      {{0, 0, true, true}, Level::debug, false},
      {{SIGTERM, 0, true, true}, Level::debug, false},
      {{SIGKILL, 0, true, true}, Level::debug, false},
      {{SIGSEGV, 0, true, true}, Level::warning, false},
      {{0, 0, true, false}, Level::notice, false},
      {{SIGQUIT, 0, true, false}, Level::notice, false},
      {{SIGKILL, 0, true, false}, Level::warning, false},
      {{0, 70, false, false}, Level::warning, true},
      {{SIGKILL, 0, false, false}, Level::warning, true},
      {{0, 0, false, true}, Level::debug, false},
  };
  for (const Row& row : rows) {
    const ExitVerdict verdict = judge_exit(row.end);
    CHECK(verdict.level == row.level);
    CHECK(verdict.failed_start == row.failed_start);
  }
}

TEST_CASE("failing starts wait longer each time, up to half a minute") {
  Backoff backoff;
  CHECK(backoff.failed() == 250ms);
  CHECK(backoff.failed() == 500ms);
  CHECK(backoff.failed() == 1000ms);
  for (int i = 0; i < 100; ++i) CHECK(backoff.failed() <= 30s);
  CHECK(backoff.failed() == 30s);
  backoff.succeeded();
  CHECK(backoff.failed() == 250ms);
}

TEST_CASE("a pool that keeps failing says so now and then") {
  Backoff backoff;
  int lines = 0;
  for (int i = 0; i < 160; ++i) {
    (void)backoff.failed();
    if (backoff.worth_a_line()) ++lines;
  }
  CHECK(lines == 4 + 10);  // 1, 2, 4, 8, then each 16th
}

TEST_CASE("QUIT, patience, TERM, one second, KILL every second") {
  Shutdown shutdown(10s);
  CHECK_FALSE(shutdown.stopping());
  const auto first = shutdown.order(StopOrder::finish);
  REQUIRE(first.has_value());
  CHECK(first->push == Push::quit);
  CHECK(first->wait == 10s);
  CHECK(shutdown.stopping());
  const StopStep second = shutdown.escalate();
  CHECK(second.push == Push::terminate);
  CHECK(second.wait == 1s);
  CHECK(shutdown.escalate().push == Push::kill);
  CHECK(shutdown.escalate().push == Push::kill);
}

TEST_CASE("a second signal hurries, a lower one changes nothing") {
  Shutdown shutdown(10s);
  REQUIRE(shutdown.order(StopOrder::finish).has_value());
  CHECK_FALSE(shutdown.order(StopOrder::finish).has_value());
  CHECK(shutdown.order(StopOrder::terminate)->push == Push::terminate);
  CHECK_FALSE(shutdown.order(StopOrder::finish).has_value());
  CHECK(shutdown.order(StopOrder::terminate)->push == Push::kill);
}
