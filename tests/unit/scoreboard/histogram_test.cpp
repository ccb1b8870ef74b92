#include "fpm/scoreboard/histogram.hpp"

#include <catch2/catch.hpp>

#include "fpm/scoreboard/ledger.hpp"

using namespace fpm::scoreboard;
using namespace std::chrono_literals;

TEST_CASE("an empty histogram has no percentile") {
  CHECK(HistogramSnapshot{}.percentile(0.99) == 0us);
  CHECK(HistogramSnapshot{}.count() == 0);
}

TEST_CASE("a duration goes into the first bucket that is not below it") {
  Histogram histogram{};
  histogram.record(10us);
  histogram.record(11us);
  histogram.record(-5us);  // a clock that was set back
  histogram.record(101s);
  const HistogramSnapshot seen = copy(histogram);
  CHECK(seen.counts[0] == 2);
  CHECK(seen.counts[1] == 1);
  CHECK(seen.counts[kBounds] == 1);
  CHECK(seen.up_to(10) == 2);
  CHECK(seen.up_to(100'000'000) == 3);
  CHECK(seen.sum_us == 101'000'021);
}

TEST_CASE("percentiles are right to a bucket") {
  Histogram histogram{};
  for (int i = 1; i <= 1000; ++i) histogram.record(std::chrono::milliseconds(i));
  const HistogramSnapshot seen = copy(histogram);
  for (const auto& [q, ms] : {std::pair{0.5, 500}, {0.9, 900}, {0.99, 990}, {0.999, 999}}) {
    const auto got = static_cast<double>(seen.percentile(q).count()) / 1000;
    CHECK(got > ms * 0.8);
    CHECK(got < ms * 1.25);
  }
}

TEST_CASE("what is longer than the last bound is told as that") {
  Histogram histogram{};
  histogram.record(500s);
  CHECK(copy(histogram).percentile(0.5) == 100s);
}

TEST_CASE("the difference of two snapshots never goes below 0") {
  Histogram histogram{};
  histogram.record(1ms);
  const HistogramSnapshot earlier = copy(histogram);
  histogram.record(1ms);
  CHECK(copy(histogram).since(earlier).count() == 1);
  CHECK(earlier.since(copy(histogram)).count() == 0);
}

TEST_CASE("a scribbled histogram gives finite numbers") {
  Histogram histogram{};
  for (auto& count : histogram.counts) count = ~std::uint64_t{0};
  histogram.sum_us = ~std::uint64_t{0};
  const HistogramSnapshot seen = copy(histogram);
  CHECK(seen.percentile(0.5) > 0us);
  CHECK(seen.count() > 0);
}

TEST_CASE("a ledger is empty but for its start") {
  auto ledger = Ledger::create();
  REQUIRE(ledger.has_value());
  PoolSnapshot pool;
  pool.active = 3;
  read_totals(ledger->totals(), pool);
  CHECK(pool.accepted == 0);
  CHECK(pool.max_active == 3);
  CHECK(std::chrono::system_clock::now() - pool.started < 10s);
}
