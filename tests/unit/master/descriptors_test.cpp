#include "fpm/master/descriptors.hpp"

#include <catch2/catch.hpp>

using fpm::config::Config;
using fpm::config::Pool;
using fpm::master::descriptors_needed;

namespace {

Config with_pool(int children, bool captured) {
  Config config;
  Pool pool;
  pool.max_children = children;
  pool.catch_workers_output = captured;
  config.pools.push_back(pool);
  return config;
}

}  // namespace

TEST_CASE("each worker needs a descriptor, three if its output is captured") {
  const auto none = descriptors_needed(with_pool(0, false)).serving;
  CHECK(descriptors_needed(with_pool(100, false)).serving == none + 100);
  CHECK(descriptors_needed(with_pool(100, true)).serving == none + 300);
}

TEST_CASE("a reload needs room for old and new workers") {
  const auto need = descriptors_needed(with_pool(100, false));
  CHECK(need.reloading >= need.serving + 100);
}

TEST_CASE("process.max bounds both") {
  Config config = with_pool(1000, true);
  config.pools.push_back(config.pools[0]);
  const auto free = descriptors_needed(config);
  config.global.process_max = 100;
  const auto bound = descriptors_needed(config);
  CHECK(bound.serving == free.serving - 6000 + 300);
  CHECK(bound.reloading < free.serving);
  config.global.process_max = 100'000;
  CHECK(descriptors_needed(config).serving == free.serving);
  CHECK(descriptors_needed(config).reloading == free.reloading);
}
