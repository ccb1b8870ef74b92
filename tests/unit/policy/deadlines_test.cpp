// Which requests are overdue, as tables and as properties.
#include "fpm/policy/deadlines.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <random>
#include <vector>

using namespace fpm;
using namespace fpm::policy;
using namespace std::chrono_literals;
using config::Pool;
using scoreboard::Moment;
using scoreboard::Stage;
using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kNow = 100'000 * kMs;

Moment at(Stage stage, std::uint64_t ms_ago) { return {0, stage, kNow - ms_ago * kMs, 0, false}; }

/// Idle on a kept connection since the end of a request that took a second.
Moment kept(std::uint64_t ms_ago) {
  return {0, Stage::accepting, kNow - (ms_ago + 1000) * kMs, kNow - ms_ago * kMs, true};
}

Pool pool_with(milliseconds header, milliseconds terminate, milliseconds keepalive = 0ms) {
  Pool pool;
  pool.request_header_timeout = header;
  pool.request_terminate_timeout = terminate;
  pool.keepalive_timeout = keepalive;
  return pool;
}

std::optional<DeadlineAction> action_for(const Pool& pool, const Moment& moment) {
  const DeadlinePlan plan = plan_deadlines(pool, {&moment, 1}, kNow);
  if (plan.overdue.empty()) return std::nullopt;
  return plan.overdue[0].action;
}

}  // namespace

TEST_CASE("without a limit there is nothing to check") {
  const Moment moments[] = {at(Stage::executing, 60'000)};
  const DeadlinePlan plan = plan_deadlines(pool_with(0ms, 0ms), moments, kNow);
  CHECK(plan.overdue.empty());
  CHECK_FALSE(plan.next_check_ns.has_value());
}

TEST_CASE("which limit holds where, and what follows") {
  using enum DeadlineAction;
  Pool pool = pool_with(5s, 2s, 75s);
  Pool track = pool;
  track.request_terminate_timeout_track_finished = true;
  track.request_terminate_grace = 3s;
  struct Row {
    const Pool* pool;
    Moment moment;
    std::optional<DeadlineAction> action;
  };
  const Row rows[] = {
      {&pool, at(Stage::reading_headers, 4999), std::nullopt},
      {&pool, at(Stage::reading_headers, 5000), wake},
      {&pool, at(Stage::reading_headers, 6999), wake},
      {&pool, at(Stage::reading_headers, 7000), kill},
      // The handler has 100 ms to end an overdue request before the master does.
      {&pool, at(Stage::info, 2099), std::nullopt},
      {&pool, at(Stage::info, 2100), take_over},
      {&pool, at(Stage::executing, 2099), std::nullopt},
      {&pool, at(Stage::executing, 2100), take_over},
      {&pool, at(Stage::ending, 2100), take_over},
      {&pool, at(Stage::finished, 90'000), std::nullopt},
      {&track, at(Stage::finished, 12'999), std::nullopt},  // 2 s, 3 s of grace, 8 s to finish
      {&track, at(Stage::finished, 13'000), take_over},
      {&track, at(Stage::executing, 2100), take_over},
      // Idle: however long, unless a connection is kept.
      {&pool, at(Stage::accepting, 900'000), std::nullopt},
      {&track, at(Stage::accepting, 900'000), std::nullopt},
      {&pool, at(Stage::starting, 900'000), std::nullopt},
      {&pool, kept(74'999), std::nullopt},
      {&pool, kept(75'000), wake},
      {&pool, kept(90'000), wake},
  };
  for (const Row& row : rows) {
    CAPTURE(&row - rows);
    CHECK(action_for(*row.pool, row.moment) == row.action);
  }
}

TEST_CASE("work that goes on behind a complete answer has a limit only where it is tracked") {
  Pool pool = pool_with(0ms, 2s);
  Moment working = at(Stage::executing, 90'000);
  working.answered = true;
  CHECK_FALSE(action_for(pool, working).has_value());
  pool.request_terminate_timeout_track_finished = true;
  CHECK(action_for(pool, working) == DeadlineAction::take_over);
}

namespace {

/// A module's request that began so long ago.
Moment inside(std::uint64_t ms_ago) { return at(Stage::executing, ms_ago); }

std::vector<DeadlineAction> actions_for(const Pool& pool, const Moment& moment) {
  std::vector<DeadlineAction> actions;
  for (const Overdue& one : plan_deadlines(pool, {&moment, 1}, kNow).overdue) {
    actions.push_back(one.action);
  }
  return actions;
}

}  // namespace

TEST_CASE("code inside a worker is told that its time is over, taken over if it does not hear, and ended") {
  using enum DeadlineAction;
  Pool pool = pool_with(0ms, 2s);
  pool.handler = config::HandlerKind::module;
  CHECK(actions_for(pool, inside(1999)).empty());
  CHECK(actions_for(pool, inside(2000)) == std::vector{tell_over});
  Moment moment = inside(2050);
  moment.asked_to_end_ns = kNow - 19 * kMs;
  CHECK(actions_for(pool, moment).empty());
  moment.asked_to_end_ns = kNow - 20 * kMs;
  CHECK(actions_for(pool, moment) == std::vector{take_over});
  moment.expired_ns = kNow - 99 * kMs;
  CHECK(actions_for(pool, moment).empty());
  moment.expired_ns = kNow - 100 * kMs;
  CHECK(actions_for(pool, moment) == std::vector{end});
  moment.expired_ns = kNow + 5000 * kMs;  // nonsense
  CHECK(actions_for(pool, moment).empty());
  // Elsewhere it has what every worker has.
  Moment ending = at(Stage::ending, 2099);
  CHECK(actions_for(pool, ending).empty());
  ending.request_started_ns -= kMs;
  CHECK(actions_for(pool, ending) == std::vector{take_over});
}

TEST_CASE("a late check still asks before it takes over") {
  Pool pool = pool_with(0ms, 2s);
  pool.handler = config::HandlerKind::php;
  const Moment moment = inside(90'000);
  const DeadlinePlan plan = plan_deadlines(pool, {&moment, 1}, kNow);
  REQUIRE(plan.overdue.size() == 1);
  CHECK(plan.overdue[0].action == DeadlineAction::tell_over);
  CHECK(*plan.next_check_ns == kNow + 20 * kMs);
}

TEST_CASE("code inside a worker is asked once where it is when it is slow") {
  using enum DeadlineAction;
  Pool pool = pool_with(0ms, 2s);
  pool.handler = config::HandlerKind::module;
  pool.request_slowlog_timeout = 500ms;
  CHECK(actions_for(pool, inside(499)).empty());
  Moment moment = inside(500);
  CHECK(actions_for(pool, moment) == std::vector{tell_slow});
  CHECK(*plan_deadlines(pool, {&moment, 1}, kNow).next_check_ns == kNow + 20 * kMs);
  moment.asked_if_slow_ns = kNow - 19 * kMs;
  CHECK(actions_for(pool, moment).empty());
  moment.asked_if_slow_ns = kNow - 20 * kMs;  // it does not hear
  CHECK(actions_for(pool, moment) == std::vector{slow_here});
  moment.asked_if_slow_ns = 0;
  moment.slow_told = true;
  CHECK(actions_for(pool, moment).empty());
  // Both at once, after a pause of the whole machine.
  CHECK(actions_for(pool, inside(3000)) == std::vector{tell_slow, tell_over});
  // Workers of other handlers look at that by themselves.
  pool.handler = config::HandlerKind::cgi;
  CHECK(actions_for(pool, inside(500)).empty());
}

TEST_CASE("an idle kept connection is never ended by the limits of requests") {
  const Pool pool = pool_with(1ms, 1ms, 0ms);
  CHECK_FALSE(action_for(pool, kept(900'000)).has_value());
}

TEST_CASE("what is overdue names its request and how long it runs") {
  const Pool pool = pool_with(0ms, 2s);
  const Moment late[] = {at(Stage::executing, 2345)};
  const DeadlinePlan plan = plan_deadlines(pool, late, kNow);
  REQUIRE(plan.overdue.size() == 1);
  CHECK(plan.overdue[0].running == 2345ms);
  CHECK(plan.overdue[0].request_started_ns == kNow - 2345 * kMs);
}

TEST_CASE("the next look is at the earliest bound, be it of a request that begins now") {
  const Pool pool = pool_with(0ms, 2s);
  const Moment running[] = {at(Stage::executing, 500), at(Stage::executing, 2099)};
  CHECK(*plan_deadlines(pool, running, kNow).next_check_ns == kNow + 1 * kMs);
  const Moment idle[] = {at(Stage::accepting, 90'000)};
  CHECK(*plan_deadlines(pool, idle, kNow).next_check_ns == kNow + 2100 * kMs);
  const Pool keeping = pool_with(0ms, 0ms, 75s);
  const Moment waiting[] = {kept(74'000)};
  CHECK(*plan_deadlines(keeping, waiting, kNow).next_check_ns == kNow + 1000 * kMs);
  // Who was woken and did not wake yet is woken again.
  const Moment asleep[] = {kept(75'000)};
  CHECK(*plan_deadlines(keeping, asleep, kNow).next_check_ns == kNow + 50 * kMs);
}

TEST_CASE("a clock reading ahead of the check is no overdue request") {
  const Pool pool = pool_with(5s, 2s, 75s);
  for (const bool is_kept : {false, true}) {
    const Moment ahead{0, is_kept ? Stage::accepting : Stage::executing, kNow + 5 * kMs,
                       kNow + 9 * kMs, is_kept};
    CHECK_FALSE(action_for(pool, ahead).has_value());
  }
}

TEST_CASE("whatever lies in shared memory, the next look is ahead and the idle are not killed") {
  std::mt19937_64 random(7);
  const auto any = [&](std::uint64_t most) { return random() % most; };
  for (int round = 0; round < 2000; ++round) {
    Pool pool = pool_with(milliseconds(any(3) * 500), milliseconds(any(3) * 1000),
                          milliseconds(any(3) * 20'000));
    pool.request_terminate_timeout_track_finished = any(2) == 0;
    std::vector<Moment> moments;
    for (int slot = 0; slot < 8; ++slot) {
      const auto stage = static_cast<Stage>(any(10));
      const std::uint64_t started = any(4) == 0 ? random() : kNow - any(50'000) * kMs;
      moments.push_back({slot, stage, started, random(), stage == Stage::accepting && any(2) == 0});
    }
    const DeadlinePlan plan = plan_deadlines(pool, moments, kNow);
    if (plan.next_check_ns) CHECK(*plan.next_check_ns > kNow);
    for (const Overdue& overdue : plan.overdue) {
      REQUIRE(plan.next_check_ns.has_value());
      CHECK(overdue.running >= 0ms);
      const Moment& moment = moments[static_cast<std::size_t>(overdue.slot)];
      if (moment.stage == Stage::accepting) {
        CHECK(moment.kept);
        CHECK(overdue.action == DeadlineAction::wake);
      }
    }
  }
}
