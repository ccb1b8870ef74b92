// A pool's behaviour with a spawner that forks nothing: pids count up, signals are remembered.
#include "fpm/master/pool.hpp"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <map>

using namespace fpm;
using namespace fpm::master;
using namespace std::chrono_literals;
using scoreboard::Field;
using scoreboard::Stage;

namespace {

class FakeSpawner final : public Spawner {
 public:
  os::Result<Spawned> spawn(const WorkerPlace& place) override {
    if (refuse) return os::Error(EAGAIN, "fork");
    Spawned spawned;
    spawned.pid = ++last_pid;
    auto channel = os::make_socketpair(SOCK_SEQPACKET);
    spawned.channel = std::move(channel->first);
    channels[last_pid] = std::move(channel->second);
    slots[last_pid] = place.slot;
    return spawned;
  }
  void signal(pid_t pid, int signal) override { sent.emplace_back(pid, signal); }

  bool refuse = false;
  pid_t last_pid = 1000;
  std::map<pid_t, os::UniqueFd> channels;  // the workers' ends
  std::map<pid_t, int> slots;
  std::vector<std::pair<pid_t, int>> sent;
};

struct TempDir {
  std::string path = "/tmp/fpm-pool-test-XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { ::rmdir(path.c_str()); }
};

struct Fixture {
  Fixture() {
    config.name = "www";
    config.listen.path = dir.path + "/s";
    config.max_children = 3;
    config.request_header_timeout = 5s;
    auto parts = Pool::open_parts(config, false);
    REQUIRE(parts.has_value());
    pool.emplace(std::move(*parts), spawner, nullptr);
  }

  /// What a worker does that reaches accept.
  void becomes_ready(pid_t pid) { pool->board().pen(spawner.slots[pid]).enter(Stage::accepting); }
  bool ends(pid_t pid, int status) { return pool->reap({pid, status}, now); }

  TempDir dir;
  config::Pool config;
  FakeSpawner spawner;
  std::optional<Pool> pool;
  Clock::time_point now = Clock::now();
};

}  // namespace

TEST_CASE("a static pool starts max_children workers, each in a slot of its own") {
  Fixture f;
  f.pool->fill(f.now);
  CHECK(f.pool->workers() == 3);
  CHECK(f.spawner.slots.size() == 3);
  CHECK(f.pool->board().counts().starting == 3);
  f.pool->fill(f.now);
  CHECK(f.spawner.last_pid == 1003);
}

TEST_CASE("a worker that dies is replaced at once, in the slot it left") {
  Fixture f;
  f.pool->fill(f.now);
  for (const pid_t pid : {1001, 1002, 1003}) f.becomes_ready(pid);
  const int slot = f.spawner.slots[1002];
  CHECK(f.ends(1002, SIGKILL));
  CHECK(f.pool->board().stage(slot) == Stage::vacant);
  CHECK_FALSE(f.pool->retry_at().has_value());
  f.pool->fill(f.now);
  CHECK(f.pool->workers() == 3);
  CHECK(f.spawner.slots[1004] == slot);
}

TEST_CASE("a child that is not the pool's is left to others") {
  Fixture f;
  f.pool->fill(f.now);
  CHECK_FALSE(f.ends(77, 0));
  CHECK(f.pool->workers() == 3);
}

TEST_CASE("workers that fail to start are not started again before the back-off is over") {
  Fixture f;
  f.pool->fill(f.now);
  for (const pid_t pid : {1001, 1002, 1003}) CHECK(f.ends(pid, 70 << 8));
  f.pool->fill(f.now);
  CHECK(f.pool->workers() == 0);
  REQUIRE(f.pool->retry_at().has_value());
  CHECK(*f.pool->retry_at() > f.now + 249ms);
  const pid_t before = f.spawner.last_pid;
  f.now = *f.pool->retry_at();
  f.pool->fill(f.now);
  CHECK(f.spawner.last_pid > before);
}

TEST_CASE("a fork that is refused is tried again later") {
  Fixture f;
  f.spawner.refuse = true;
  f.pool->fill(f.now);
  CHECK(f.pool->workers() == 0);
  REQUIRE(f.pool->retry_at().has_value());
  f.spawner.refuse = false;
  f.pool->fill(*f.pool->retry_at());
  CHECK(f.pool->workers() == 3);
}

TEST_CASE("stop tells every worker and starts none any more") {
  Fixture f;
  f.pool->fill(f.now);
  for (const pid_t pid : {1001, 1002, 1003}) f.becomes_ready(pid);
  f.pool->stop(policy::Push::quit);
  CHECK(f.spawner.sent.size() == 3);
  CHECK(f.spawner.sent[0].second == SIGQUIT);
  CHECK(f.pool->board().pulse().draining.load() != 0);
  CHECK(f.ends(1001, 0));
  f.pool->fill(f.now);
  CHECK(f.pool->workers() == 2);
  f.pool->stop(policy::Push::kill);
  CHECK(f.spawner.sent.back().second == SIGKILL);
}

TEST_CASE("a worker that reads a request's head too long is woken, one that does not wake killed") {
  Fixture f;
  f.pool->fill(f.now);
  scoreboard::Pen pen = f.pool->board().pen(f.spawner.slots[1001]);
  const auto began = [&](std::chrono::nanoseconds ago) {
    pen.update([&](scoreboard::Pen& p) {
      p.number(Field::request_started_ns,
               scoreboard::monotonic_ns() - static_cast<std::uint64_t>(ago.count()));
    });
  };
  pen.enter(Stage::reading_headers);
  began(1s);
  CHECK(f.pool->check_deadlines().has_value());
  CHECK(f.spawner.sent.empty());
  began(6s);
  (void)f.pool->check_deadlines();
  REQUIRE(f.spawner.sent.size() == 1);
  CHECK(f.spawner.sent[0] == std::pair<pid_t, int>(1001, wake_signal()));
  began(8s);
  (void)f.pool->check_deadlines();
  CHECK(f.spawner.sent.back().second == SIGKILL);
}

TEST_CASE("workers on idle kept connections are freed only when nobody accepts") {
  Fixture f;
  f.pool->fill(f.now);
  scoreboard::Pen kept = f.pool->board().pen(f.spawner.slots[1001]);
  kept.update([](scoreboard::Pen& p) { p.number(Field::kept, 1); });
  kept.enter(Stage::accepting);
  f.becomes_ready(1002);
  CHECK_FALSE(f.pool->relieve());
  f.pool->board().pen(f.spawner.slots[1002]).enter(Stage::executing);
  CHECK(f.pool->relieve());
  CHECK(f.spawner.sent.empty());  // nobody waits in the queue
}

TEST_CASE("a socket's file goes with the pool") {
  std::string path;
  {
    Fixture f;
    path = f.config.listen.path;
    CHECK(os::file_id(path).has_value());
    f.pool->unlink();
    CHECK_FALSE(os::file_id(path).has_value());
  }
}
