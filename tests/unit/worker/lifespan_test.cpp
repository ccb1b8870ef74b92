#include "fpm/worker/lifespan.hpp"

#include <catch2/catch.hpp>
#include <random>

using namespace fpm;
using namespace std::chrono_literals;
using worker::Lifespan;

namespace {
constexpr std::uint64_t kMs = 1'000'000;
}

TEST_CASE("without limits no request is the last") {
  const Lifespan lifespan(config::Pool{}, 0, 12345);
  CHECK_FALSE(lifespan.is_last(1'000'000, 1'000'000'000 * kMs));
}

TEST_CASE("pm.max_requests counts the request that begins") {
  config::Pool pool;
  pool.max_requests = 3;
  const Lifespan lifespan(pool, 0, 7);
  CHECK_FALSE(lifespan.is_last(0, 0));
  CHECK_FALSE(lifespan.is_last(1, 0));
  CHECK(lifespan.is_last(2, 0));
  pool.max_requests = 1;
  CHECK(Lifespan(pool, 0, 7).is_last(0, 0));
}

TEST_CASE("jitter adds 0 to N requests, and all of them occur") {
  config::Pool pool;
  pool.max_requests = 10;
  pool.max_requests_jitter = 3;
  std::mt19937_64 random(1);
  bool seen[4] = {};
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t limit = Lifespan(pool, 0, random()).max_requests();
    REQUIRE(limit >= 10);
    REQUIRE(limit <= 13);
    seen[limit - 10] = true;
  }
  CHECK((seen[0] && seen[1] && seen[2] && seen[3]));
}

TEST_CASE("a lifetime ends within a tenth of what was asked") {
  config::Pool pool;
  pool.max_worker_lifetime = 1000ms;
  std::mt19937_64 random(1);
  for (int i = 0; i < 200; ++i) {
    const Lifespan lifespan(pool, 5 * kMs, random());
    CHECK(lifespan.ends_at_ns() >= 905 * kMs);
    CHECK(lifespan.ends_at_ns() <= 1105 * kMs);
    CHECK_FALSE(lifespan.is_last(0, 904 * kMs));
    CHECK(lifespan.is_last(0, 1105 * kMs));
  }
}

TEST_CASE("memory is looked at once a second at most") {
  CHECK(worker::private_memory() > 0);
  config::Pool pool;
  pool.max_memory = 1;
  Lifespan lifespan(pool, 0, 0);
  CHECK(lifespan.grown_too_large(1000 * kMs));
  CHECK_FALSE(lifespan.grown_too_large(1999 * kMs));
  CHECK(lifespan.grown_too_large(2000 * kMs));
  pool.max_memory = 1ULL << 50;
  CHECK_FALSE(Lifespan(pool, 0, 0).grown_too_large(1000 * kMs));
}
