// A pool's behaviour with a spawner that forks nothing: pids count up, signals are remembered.
#include "fpm/master/pool.hpp"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
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
  explicit Fixture(config::ProcessManager pm = config::ProcessManager::static_pm,
                   const std::function<void(config::Pool&)>& change = {}) {
    config.name = "www";
    config.listen.path = dir.path + "/s";
    config.pm = pm;
    config.max_children = 3;
    config.min_spare_servers = 1;
    config.max_spare_servers = 2;
    config.start_servers = 1;
    config.process_idle_timeout = 50ms;
    config.request_header_timeout = 5s;
    if (change) change(config);
    auto parts = Pool::open_parts(config, std::nullopt);
    REQUIRE(parts.has_value());
    auto listener = Listener::open(config);
    REQUIRE(listener.has_value());
    parts->listener = std::make_shared<Listener>(std::move(*listener));
    parts->account = std::make_shared<Account>();
    pool.emplace(std::move(*parts), spawner, nullptr);
  }

  /// A client that waits in the pool's queue.
  os::UniqueFd connect() {
    os::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    config.listen.path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  /// What a worker does that reaches accept.
  void becomes_ready(pid_t pid) { pool->board().pen(spawner.slots[pid]).enter(Stage::accepting); }
  void look() { (void)pool->grow(now, 1000); }
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
  f.look();
  CHECK(f.pool->workers() == 3);
  CHECK(f.spawner.slots.size() == 3);
  CHECK(f.pool->board().counts().starting == 3);
  f.look();
  CHECK(f.spawner.last_pid == 1003);
}

TEST_CASE("a worker that dies is replaced at once, in the slot it left") {
  Fixture f;
  f.look();
  for (const pid_t pid : {1001, 1002, 1003}) f.becomes_ready(pid);
  const int slot = f.spawner.slots[1002];
  CHECK(f.ends(1002, SIGKILL));
  CHECK(f.pool->board().stage(slot) == Stage::vacant);
  CHECK_FALSE(f.pool->retry_at().has_value());
  f.look();
  CHECK(f.pool->workers() == 3);
  CHECK(f.spawner.slots[1004] == slot);
}

TEST_CASE("a child that is not the pool's is left to others") {
  Fixture f;
  f.look();
  CHECK_FALSE(f.ends(77, 0));
  CHECK(f.pool->workers() == 3);
}

TEST_CASE("workers that fail to start are not started again before the back-off is over") {
  Fixture f;
  f.look();
  for (const pid_t pid : {1001, 1002, 1003}) CHECK(f.ends(pid, 70 << 8));
  f.look();
  CHECK(f.pool->workers() == 0);
  REQUIRE(f.pool->retry_at().has_value());
  CHECK(*f.pool->retry_at() > f.now + 249ms);
  const pid_t before = f.spawner.last_pid;
  f.now = *f.pool->retry_at();
  f.look();
  CHECK(f.spawner.last_pid > before);
}

TEST_CASE("a fork that is refused is tried again later") {
  Fixture f;
  f.spawner.refuse = true;
  f.look();
  CHECK(f.pool->workers() == 0);
  REQUIRE(f.pool->retry_at().has_value());
  f.spawner.refuse = false;
  f.now = *f.pool->retry_at();
  f.look();
  CHECK(f.pool->workers() == 3);
}

TEST_CASE("stop tells every worker and starts none any more") {
  Fixture f;
  f.look();
  for (const pid_t pid : {1001, 1002, 1003}) f.becomes_ready(pid);
  f.pool->stop(policy::Push::quit);
  CHECK(f.spawner.sent.size() == 3);
  CHECK(f.spawner.sent[0].second == SIGQUIT);
  CHECK(f.pool->board().pulse().draining.load() != 0);
  CHECK(f.ends(1001, 0));
  f.look();
  CHECK(f.pool->workers() == 2);
  f.pool->stop(policy::Push::kill);
  CHECK(f.spawner.sent.back().second == SIGKILL);
}

TEST_CASE("a worker that reads a request's head too long is woken, one that does not wake killed") {
  Fixture f;
  f.look();
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

TEST_CASE("a worker that does not end an overdue request is stopped before it is killed") {
  Fixture f(config::ProcessManager::static_pm,
            [](config::Pool& pool) { pool.request_terminate_timeout = 1s; });
  f.look();
  scoreboard::Pen pen = f.pool->board().pen(f.spawner.slots[1001]);
  pen.enter(Stage::executing);
  pen.update([](scoreboard::Pen& p) {
    p.number(Field::request_started_ns, scoreboard::monotonic_ns() - 1'200'000'000);
  });
  (void)f.pool->check_deadlines();
  // It is no child of this process, so there is nobody whose stop could be waited for.
  REQUIRE(f.spawner.sent.size() == 2);
  CHECK(f.spawner.sent[0] == std::pair<pid_t, int>(1001, SIGSTOP));
  CHECK(f.spawner.sent[1] == std::pair<pid_t, int>(1001, SIGKILL));
  CHECK(f.pool->totals().timed_out.load() == 1);
  (void)f.pool->check_deadlines();
  CHECK(f.spawner.sent.size() == 2);  // once is enough
  CHECK(f.ends(1001, SIGKILL));
  CHECK(f.pool->totals().killed.load() == 1);
}

TEST_CASE("an idle kept connection is ended by its own limit, and its worker never killed") {
  Fixture f(config::ProcessManager::static_pm, [](config::Pool& pool) {
    pool.keepalive_timeout = 2s;
    pool.request_terminate_timeout = 1s;
  });
  f.look();
  scoreboard::Pen pen = f.pool->board().pen(f.spawner.slots[1001]);
  pen.enter(Stage::accepting, scoreboard::kKeptBit);
  const auto idle_for = [&](std::uint64_t ms) {
    pen.update([&](scoreboard::Pen& p) {
      p.number(Field::request_started_ns, scoreboard::monotonic_ns() - (ms + 10) * 1'000'000);
      p.number(Field::duration_ns, 10'000'000);
    });
    (void)f.pool->check_deadlines();
  };
  idle_for(1900);
  CHECK(f.spawner.sent.empty());
  idle_for(2000);
  REQUIRE(f.spawner.sent.size() == 1);
  CHECK(f.spawner.sent[0] == std::pair<pid_t, int>(1001, wake_signal()));
  idle_for(900'000);
  CHECK(f.spawner.sent.back().second == wake_signal());
}

TEST_CASE("workers on idle kept connections are freed only when nobody accepts") {
  Fixture f;
  f.look();
  scoreboard::Pen kept = f.pool->board().pen(f.spawner.slots[1001]);
  kept.enter(Stage::accepting, scoreboard::kKeptBit);
  f.becomes_ready(1002);
  CHECK_FALSE(f.pool->relieve());
  f.pool->board().pen(f.spawner.slots[1002]).enter(Stage::executing);
  CHECK_FALSE(f.pool->relieve());  // nobody waits in the queue
  CHECK(f.spawner.sent.empty());
  const os::UniqueFd client = f.connect();
  CHECK(f.pool->relieve());
  REQUIRE(f.spawner.sent.size() == 1);
  CHECK(f.spawner.sent[0] == std::pair<pid_t, int>(1001, wake_signal()));
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

TEST_CASE("an ondemand pool starts as many workers as clients wait, and none for idle ones") {
  Fixture f(config::ProcessManager::ondemand);
  f.pool->start(f.now, 1000);
  CHECK(f.pool->workers() == 0);
  CHECK(f.pool->needs_listener_watch());
  const os::UniqueFd one = f.connect();
  const os::UniqueFd two = f.connect();
  f.look();
  CHECK(f.pool->workers() == 2);
  CHECK_FALSE(f.pool->needs_listener_watch());
  f.look();  // they are on their way: nobody else is needed
  CHECK(f.pool->workers() == 2);
}

TEST_CASE("an ondemand pool retires workers that were idle for long enough, no others") {
  Fixture f(config::ProcessManager::ondemand);
  const os::UniqueFd one = f.connect();
  const os::UniqueFd two = f.connect();
  f.look();
  f.becomes_ready(1001);
  f.becomes_ready(1002);
  // Their clients, too, have to be gone: a queue keeps idle workers.
  const os::UniqueFd first(::accept4(f.pool->listener(), nullptr, nullptr, SOCK_CLOEXEC));
  const os::UniqueFd second(::accept4(f.pool->listener(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(f.pool->shrink(f.now).has_value());
  CHECK(f.spawner.sent.empty());
  f.pool->board().pen(f.spawner.slots[1002]).enter(Stage::executing);
  CHECK_FALSE(f.pool->shrink(f.now + 60ms).has_value());
  REQUIRE(f.spawner.sent.size() == 1);
  CHECK(f.spawner.sent[0] == std::pair<pid_t, int>(1001, SIGQUIT));
  CHECK_FALSE(f.pool->shrink(f.now + 60ms).has_value());
  CHECK(f.spawner.sent.size() == 1);  // told once
}

TEST_CASE("a dynamic pool keeps its spare workers and tells when it reaches its limit") {
  Fixture f(config::ProcessManager::dynamic);
  f.pool->start(f.now, 1000);
  CHECK(f.pool->workers() == 1);
  f.becomes_ready(1001);
  f.look();
  CHECK(f.pool->workers() == 1);
  CHECK(f.pool->board().pulse().armed.load() == 1);
  for (pid_t pid = 1001; pid <= 1003; ++pid) {
    f.pool->board().pen(f.spawner.slots[pid]).enter(Stage::executing);
    f.look();
  }
  CHECK(f.pool->workers() == 3);
  CHECK(f.pool->totals().max_children_reached.load() == 1);
}

TEST_CASE("process.max holds a pool back") {
  Fixture f;
  (void)f.pool->grow(f.now, 2);
  CHECK(f.pool->workers() == 2);
  CHECK(f.pool->held_back());
  (void)f.pool->grow(f.now, 5);
  CHECK(f.pool->workers() == 3);
  CHECK_FALSE(f.pool->held_back());
}

TEST_CASE("a worker on its last request has a successor before it ends") {
  Fixture f;
  f.look();
  for (const pid_t pid : {1001, 1002, 1003}) f.becomes_ready(pid);
  f.pool->board().pen(f.spawner.slots[1001]).enter(Stage::executing, scoreboard::kLastBit);
  f.pool->board().pen(f.spawner.slots[1002]).enter(Stage::executing, scoreboard::kLastBit);
  f.look();
  CHECK(f.pool->workers() == 4);  // one above the limit, not two
  f.look();
  CHECK(f.pool->workers() == 4);
  CHECK(f.ends(1001, 0));
  f.look();
  CHECK(f.pool->workers() == 4);
  CHECK(f.ends(1002, 0));
  f.look();
  CHECK(f.pool->workers() == 3);
}
