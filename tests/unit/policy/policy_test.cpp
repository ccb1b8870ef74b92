#include <signal.h>

#include <catch2/catch.hpp>

#include "fpm/policy/backoff.hpp"
#include "fpm/policy/deadlines.hpp"
#include "fpm/policy/exits.hpp"
#include "fpm/policy/shutdown.hpp"

using namespace fpm::policy;
using fpm::config::Pool;
using fpm::log::Level;
using fpm::scoreboard::Moment;
using fpm::scoreboard::Stage;
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

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kNow = 100'000 * kMs;

Moment at(Stage stage, std::uint64_t ms_ago) { return {0, stage, kNow - ms_ago * kMs, 0, false}; }

Pool pool_with(std::chrono::milliseconds header, std::chrono::milliseconds terminate) {
  Pool pool;
  pool.request_header_timeout = header;
  pool.request_terminate_timeout = terminate;
  return pool;
}

}  // namespace

TEST_CASE("without a limit there is nothing to check") {
  const Moment moments[] = {at(Stage::executing, 60'000)};
  const DeadlinePlan plan = plan_deadlines(pool_with(0ms, 0ms), moments, kNow);
  CHECK(plan.overdue.empty());
  CHECK_FALSE(plan.next_check_ns.has_value());
}

TEST_CASE("a worker that reads headers too long is woken, again and again, then killed") {
  const Pool pool = pool_with(5s, 0ms);
  struct Row {
    std::uint64_t ago;
    int overdue;
    DeadlineAction action;
  };
  for (const Row& row : {Row{4999, 0, DeadlineAction::wake}, Row{5000, 1, DeadlineAction::wake},
                         Row{6999, 1, DeadlineAction::wake}, Row{7000, 1, DeadlineAction::kill}}) {
    const Moment moments[] = {at(Stage::reading_headers, row.ago)};
    const DeadlinePlan plan = plan_deadlines(pool, moments, kNow);
    REQUIRE(plan.overdue.size() == static_cast<std::size_t>(row.overdue));
    if (row.overdue > 0) {
      CHECK(plan.overdue[0].action == row.action);
      CHECK(*plan.next_check_ns == kNow + 50 * kMs);
    }
  }
}

TEST_CASE("the handler has 100 ms to end an overdue request before the master does") {
  const Pool pool = pool_with(0ms, 2s);
  const Moment in_time[] = {at(Stage::executing, 2099)};
  CHECK(plan_deadlines(pool, in_time, kNow).overdue.empty());
  CHECK(*plan_deadlines(pool, in_time, kNow).next_check_ns == kNow + 1 * kMs);
  const Moment late[] = {at(Stage::executing, 2100)};
  REQUIRE(plan_deadlines(pool, late, kNow).overdue.size() == 1);
  CHECK(plan_deadlines(pool, late, kNow).overdue[0].action == DeadlineAction::kill);
  CHECK(plan_deadlines(pool, late, kNow).overdue[0].running == 2100ms);
}

TEST_CASE("idle workers are never overdue, however long they wait") {
  const Pool pool = pool_with(5s, 2s);
  const Moment moments[] = {at(Stage::accepting, 90'000), at(Stage::finished, 90'000)};
  const DeadlinePlan plan = plan_deadlines(pool, moments, kNow);
  CHECK(plan.overdue.empty());
  CHECK(*plan.next_check_ns == kNow + 2100 * kMs);  // one that begins now
}

TEST_CASE("a clock reading ahead of the check is no overdue request") {
  const Pool pool = pool_with(0ms, 2s);
  const Moment moments[] = {{0, Stage::executing, kNow + 5 * kMs, 0, false}};
  CHECK(plan_deadlines(pool, moments, kNow).overdue.empty());
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
