#include "fpm/status/ready.hpp"

#include <catch2/catch.hpp>

using namespace fpm;
using namespace std::chrono_literals;
using scoreboard::PoolSnapshot;
using scoreboard::PoolState;

namespace {

PoolSnapshot serving(std::string pm = "static") {
  PoolSnapshot pool;
  pool.name = "www";
  pool.process_manager = std::move(pm);
  pool.state = PoolState::serving;
  pool.idle = 1;
  return pool;
}

std::string reason(const PoolSnapshot& pool, const status::ReadyLimits& limits = {},
                   const scoreboard::HistogramSnapshot& wait = {}) {
  return status::unready_reason(pool, limits, wait);
}

}  // namespace

TEST_CASE("a pool that serves is ready") { CHECK(reason(serving()).empty()); }

TEST_CASE("a pool is not ready in any other state") {
  PoolSnapshot pool = serving();
  pool.state = PoolState::starting;
  CHECK(reason(pool) == "starting");
  pool.state = PoolState::stopping;
  CHECK(reason(pool) == "stopping");
  pool.state = PoolState::drained;
  CHECK(reason(pool) == "draining");
  pool.idle = 0;
  CHECK(reason(pool) == "drained");
  pool.state = PoolState::failing;
  CHECK(reason(pool) == "its workers do not start");
}

TEST_CASE("no worker is a reason for all but ondemand") {
  for (const char* pm : {"static", "dynamic", "ondemand"}) {
    PoolSnapshot pool = serving(pm);
    pool.idle = 0;
    CHECK(reason(pool) == (std::string(pm) == "ondemand" ? "" : "no worker"));
  }
}

TEST_CASE("a queue longer than the limit, and only if it is known") {
  PoolSnapshot pool = serving();
  pool.listen_queue = 5;
  CHECK(reason(pool, {.queue = 5}).empty());
  CHECK(reason(pool, {.queue = 4}) == "5 connections wait, more than 4");
  CHECK(reason(pool).empty());
  pool.listen_queue.reset();
  CHECK(reason(pool, {.queue = 4}).empty());
}

TEST_CASE("a queue wait above the limit") {
  scoreboard::Histogram waits{};
  for (int i = 0; i < 100; ++i) waits.record(400ms);
  const auto seen = scoreboard::copy(waits);
  CHECK(reason(serving(), {.wait = 500ms}, seen).empty());
  CHECK(reason(serving(), {.wait = 100ms}, seen).find("p99 of the last 10 s") != std::string::npos);
  CHECK(reason(serving(), {.wait = 100ms}, seen.since(seen)).empty());
}

TEST_CASE("one line a pool, and ready only if all are") {
  std::string out;
  const status::Readiness good{"a", ""}, bad{"b\n", "no worker"};
  CHECK(status::render_ready(out, std::array{good}));
  CHECK_FALSE(status::render_ready(out, std::array{good, bad}));
  CHECK(out == "a: ready\na: ready\nb\\x0A: not ready, no worker\n");
}
