#include "fpm/policy/scaling.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

using namespace fpm::policy;
using fpm::config::Pool;
using fpm::config::ProcessManager;
using namespace std::chrono_literals;

namespace {

constexpr int kRoom = 1'000'000;

Pool pool_of(ProcessManager pm, int max, int min_spare = 1, int max_spare = 3) {
  Pool pool;
  pool.pm = pm;
  pool.max_children = max;
  pool.min_spare_servers = min_spare;
  pool.max_spare_servers = max_spare;
  pool.start_servers = min_spare;
  pool.max_spawn_rate = 32;
  pool.process_idle_timeout = 10s;
  return pool;
}

}  // namespace

TEST_CASE("growth of each kind of pool") {
  const Pool fixed = pool_of(ProcessManager::static_pm, 4);
  const Pool dynamic = pool_of(ProcessManager::dynamic, 50, 2, 4);
  const Pool ondemand = pool_of(ProcessManager::ondemand, 50);
  struct Row {
    const Pool& pool;
    Workers seen;
    int room;
    int spawn;
    bool at_limit;
    bool again;
  };
  const Row rows[] = {
      {fixed, {}, kRoom, 4, false, false},
      {fixed, {.idle = 1, .active = 1, .starting = 1}, kRoom, 1, false, false},
      {fixed, {.idle = 9}, kRoom, 0, false, false},
      {fixed, {}, 3, 3, false, false},
      {fixed, {.active = 4, .last = 2}, kRoom, 1, false, false},
      {dynamic, {.idle = 2}, kRoom, 0, false, false},
      {dynamic, {.idle = 1, .active = 1}, kRoom, 1, false, false},
      {dynamic, {.idle = 1, .starting = 1}, kRoom, 0, false, false},
      {dynamic, {.active = 2, .queue = 5}, kRoom, 7, false, false},
      {dynamic, {.active = 2, .queue = 100}, kRoom, 32, true, true},
      {dynamic, {.active = 50, .queue = 3}, kRoom, 0, true, false},
      {dynamic, {.idle = 2, .leaving = 1}, kRoom, 1, false, false},
      {dynamic, {.active = 4, .queue = 10}, 2, 2, false, false},
      {ondemand, {}, kRoom, 0, false, false},
      {ondemand, {.queue = 1}, kRoom, 1, false, false},
      {ondemand, {.queue = 50}, kRoom, 32, false, true},
      {ondemand, {.starting = 32, .queue = 50}, kRoom, 18, false, false},
      {ondemand, {.idle = 3, .queue = 3}, kRoom, 0, false, false},
      {ondemand, {.active = 50, .queue = 1}, kRoom, 0, true, false},
  };
  for (const Row& row : rows) {
    CAPTURE(&row - rows);
    const ScalingPlan plan = plan_growth(row.pool, row.seen, row.room);
    CHECK(plan.spawn == row.spawn);
    CHECK(plan.at_limit == row.at_limit);
    CHECK(plan.again == row.again);
    CHECK(plan.retire == 0);
  }
}

TEST_CASE("a pool is held back only by what process.max takes from it") {
  const Pool fixed = pool_of(ProcessManager::static_pm, 4);
  const Pool ondemand = pool_of(ProcessManager::ondemand, 4);
  CHECK(plan_growth(fixed, {}, 3).held_back);
  CHECK_FALSE(plan_growth(fixed, {}, 4).held_back);
  CHECK_FALSE(plan_growth(fixed, {.active = 4}, 0).held_back);
  CHECK(plan_growth(ondemand, {.queue = 2}, 1).held_back);
  CHECK_FALSE(plan_growth(ondemand, {.queue = 2}, 2).held_back);
  CHECK_FALSE(plan_growth(ondemand, {}, 0).held_back);
  // Its own limit, not process.max.
  CHECK_FALSE(plan_growth(ondemand, {.queue = 9}, 4).held_back);
}

TEST_CASE("shrinking of each kind of pool") {
  const std::vector<std::chrono::milliseconds> ages = {12s, 10s, 9999ms, 1s};
  CHECK(plan_shrink(pool_of(ProcessManager::static_pm, 9), {.idle = 9}, ages).retire == 0);
  const Pool dynamic = pool_of(ProcessManager::dynamic, 50, 1, 3);
  struct Row {
    int idle;
    int queue;
    int retire;
  };
  for (const Row& row : {Row{3, 0, 0}, Row{4, 0, 1}, Row{5, 0, 1}, Row{6, 0, 2}, Row{50, 0, 24},
                         Row{50, 1, 0}}) {
    CHECK(plan_shrink(dynamic, {.idle = row.idle, .queue = row.queue}, {}).retire == row.retire);
  }
  const Pool ondemand = pool_of(ProcessManager::ondemand, 50);
  CHECK(plan_shrink(ondemand, {.idle = 4}, ages).retire == 2);
  CHECK(plan_shrink(ondemand, {.idle = 4, .queue = 1}, ages).retire == 0);
}

TEST_CASE("workers call the master when fewer than the spare ones are left in accept") {
  CHECK(spare_threshold(pool_of(ProcessManager::dynamic, 9, 4)) == 4);
  CHECK(spare_threshold(pool_of(ProcessManager::ondemand, 9)) == 1);
  CHECK(spare_threshold(pool_of(ProcessManager::static_pm, 9)) == 1);
}

namespace {

/// A pool in a world of random clients: what the master would do with each plan.
struct World {
  Pool pool;
  int process_max;
  Workers now;

  void grow() {
    const int room = std::max(0, process_max - now.alive());
    const int before = now.alive();
    const ScalingPlan plan = plan_growth(pool, now, room);
    REQUIRE(plan.spawn >= 0);
    REQUIRE(plan.retire == 0);
    REQUIRE(before + plan.spawn <= std::max(before, pool.max_children + std::min(1, now.last)));
    REQUIRE(before + plan.spawn <= std::max(before, process_max));
    if (plan.again) REQUIRE(plan.spawn > 0);
    now.starting += plan.spawn;
  }
  void shrink() {
    const std::vector<std::chrono::milliseconds> ages(static_cast<std::size_t>(now.idle), 20s);
    const ScalingPlan plan = plan_shrink(pool, now, ages);
    REQUIRE(plan.spawn == 0);
    REQUIRE(plan.retire >= 0);
    REQUIRE(plan.retire <= now.idle);
    now.idle -= plan.retire;
  }
  void settle() {
    now.idle += now.starting;
    now.starting = 0;
    const int taken = std::min(now.idle, now.queue);
    now.idle -= taken;
    now.active += taken;
    now.queue -= taken;
  }
};

ProcessManager any_mode(std::mt19937& random) {
  constexpr ProcessManager kModes[] = {ProcessManager::static_pm, ProcessManager::dynamic,
                                       ProcessManager::ondemand};
  return kModes[random() % 3];
}

World any_world(std::mt19937& random) {
  const auto number = [&](int least, int most) {
    return least + static_cast<int>(random() % static_cast<unsigned>(most - least + 1));
  };
  const int max = number(1, 60);
  const int max_spare = number(1, max);
  Pool pool = pool_of(any_mode(random), max, number(1, max_spare), max_spare);
  pool.max_spawn_rate = number(1, 40);
  return {pool, number(1, 80), {}};
}

}  // namespace

TEST_CASE("no random history breaks a limit, and every pool comes to rest") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int history = 0; history < 1000; ++history) {
    World world = any_world(random);
    for (int step = 0; step < 120; ++step) {
      switch (random() % 6) {
        case 0: world.now.queue += static_cast<int>(random() % 20); break;
        case 1: world.settle(); break;
        case 2:
          if (world.now.active > 0) {
            const int done = 1 + static_cast<int>(random()) % world.now.active;
            const int ended = std::clamp(done, 1, world.now.active);
            world.now.active -= ended;
            world.now.last = std::min(world.now.last, world.now.active);
            world.now.idle += ended;
          }
          break;
        case 3: world.shrink(); break;
        case 4:
          if (world.now.active > 0 && random() % 4 == 0) world.now.last = 1;
          break;
        default: world.grow(); break;
      }
    }
    // The clients go: after some looks nothing changes any more.
    world.now.queue = 0;
    world.now.last = 0;
    world.now.idle += world.now.active;
    world.now.active = 0;
    for (int look = 0; look < 80; ++look) {
      world.grow();
      world.settle();
      world.shrink();
    }
    const Workers rest = world.now;
    world.grow();
    world.settle();
    world.shrink();
    CHECK(world.now.idle == rest.idle);
    const int possible = std::min(world.pool.max_children, world.process_max);
    if (world.pool.pm == ProcessManager::dynamic) {
      CHECK(rest.idle >= std::min(world.pool.min_spare_servers, possible));
      CHECK(rest.idle <= std::max(world.pool.max_spare_servers, 0));
    }
    if (world.pool.pm == ProcessManager::ondemand) CHECK(rest.idle == 0);
  }
}

TEST_CASE("a steady load makes no worker come and go") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int history = 0; history < 200; ++history) {
    World world = any_world(random);
    if (world.pool.pm == ProcessManager::ondemand) continue;
    world.process_max = 1000;
    const int load = static_cast<int>(random() % static_cast<unsigned>(world.pool.max_children));
    const auto one_second = [&] {
      world.now.queue = load;
      for (int look = 0; look < 60; ++look) {
        world.grow();
        world.settle();
      }
      REQUIRE(world.now.queue == 0);
      const int before = world.now.alive();
      world.shrink();  // the tick comes while the load is there
      const int after = world.now.alive();
      world.now.idle += world.now.active;
      world.now.active = 0;
      return std::pair(before, after);
    };
    for (int second = 0; second < 30; ++second) (void)one_second();
    const auto [before, after] = one_second();
    CHECK(before == after);
  }
}

TEST_CASE("a burst of 50 on an empty ondemand pool takes exactly 50 workers") {
  World world{pool_of(ProcessManager::ondemand, 50), kRoom, {}};
  world.now.queue = 50;
  int looks = 0;
  for (bool again = true; again; ++looks) {
    again = plan_growth(world.pool, world.now, kRoom).again;
    world.grow();
  }
  CHECK(looks == 2);  // pm.max_spawn_rate is 32
  CHECK(world.now.starting == 50);
  world.settle();
  world.grow();
  CHECK(world.now.alive() == 50);
}
