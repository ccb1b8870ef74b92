// A pool whose workers come from a template, which is this test: orders, news and lies.
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>

#include "fpm/master/pool.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/process.hpp"

using namespace fpm;
using namespace fpm::master;
using namespace std::chrono_literals;
using scoreboard::Stage;

namespace {

class FakeSpawner final : public Spawner {
 public:
  os::Result<Spawned> spawn(const WorkerPlace& place) override {
    Spawned spawned;
    spawned.pid = ++last_pid;
    auto channel = os::make_socketpair(SOCK_SEQPACKET);
    spawned.channel = std::move(channel->first);
    channels.push_back(std::move(channel->second));
    if (place.stand_in) stand_ins.emplace_back(last_pid, place.slot);
    return spawned;
  }
  os::Result<Spawned> spawn_template(const WorkerPlace&) override {
    if (refuse) return os::Error(EAGAIN, "fork");
    Spawned spawned;
    spawned.pid = ++last_pid;
    auto channel = os::make_socketpair(SOCK_SEQPACKET);
    spawned.channel = std::move(channel->first);
    templates.emplace_back(last_pid, std::move(channel->second));
    return spawned;
  }
  void signal(pid_t pid, int signal) override { sent.emplace_back(pid, signal); }

  bool refuse = false;
  pid_t last_pid = 1'000'000'000;  // none that there is
  std::vector<std::pair<pid_t, os::UniqueFd>> templates;  // their ends
  std::vector<os::UniqueFd> channels;
  std::vector<std::pair<pid_t, int>> stand_ins;  // and their slots
  std::vector<std::pair<pid_t, int>> sent;
};

/// A process that a template could have made: the test's own child.
class Child {
 public:
  Child() {
    const auto forked = os::fork_process();
    REQUIRE(forked.has_value());
    if (*forked == 0) {
      for (;;) ::pause();
    }
    pid = *forked;
  }
  ~Child() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid = 0;
};

struct Asked {
  Order order;
  os::UniqueFd channel;
};

struct TempDir {
  std::string path = "/tmp/fpm-pool-test-XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { ::rmdir(path.c_str()); }
};

struct Fixture {
  explicit Fixture(config::ProcessManager pm = config::ProcessManager::static_pm, int most = 2) {
    config.name = "www";
    config.handler = config::HandlerKind::module;
    config.listen.path = dir.path + "/s";
    config.pm = pm;
    config.max_children = most;
    config.template_idle_timeout = 100ms;
    auto parts = Pool::open_parts(config, std::nullopt);
    REQUIRE(parts.has_value());
    auto listener = Listener::open(config);
    REQUIRE(listener.has_value());
    parts->listener = std::make_shared<Listener>(std::move(*listener));
    parts->account = std::make_shared<Account>();
    pool.emplace(std::move(*parts), spawner, nullptr);
  }

  void look() { (void)pool->grow(now, 1000); }
  int channel() { return spawner.templates.back().second.get(); }
  std::vector<Asked> asked() {
    std::vector<Asked> all;
    for (;;) {
      std::array<char, sizeof(Order)> bytes;
      auto packet = os::receive_packet(channel(), bytes);
      if (!packet || packet->size != sizeof(Order)) return all;
      Asked one;
      std::memcpy(&one.order, bytes.data(), sizeof one.order);
      one.channel = std::move(packet->fds[0]);
      all.push_back(std::move(one));
    }
  }
  void tell(const News& news) { REQUIRE(::send(channel(), &news, sizeof news, 0) == sizeof news); }
  void started(const Asked& order, pid_t pid) {
    tell({.kind = News::Kind::started, .number = order.order.number, .pid = pid});
  }
  void hear() {
    pool->hear_template(now, [this](pid_t pid) { return taken == pid || pool->has_worker(pid); });
  }
  static bool has_go(const Asked& order) {
    Go go;
    return ::recv(order.channel.get(), &go, sizeof go, MSG_DONTWAIT) == sizeof go;
  }
  static bool is_closed(const Asked& order) {
    char byte = 0;
    return ::recv(order.channel.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  TempDir dir;
  config::Pool config;
  FakeSpawner spawner;
  std::optional<Pool> pool;
  pid_t taken = 0;
  Clock::time_point now = Clock::now();
};

}  // namespace

TEST_CASE("workers are ordered from one template, and may go when the master knows them") {
  Fixture f;
  f.look();
  REQUIRE(f.spawner.templates.size() == 1);
  CHECK(f.pool->workers() == 2);
  const auto orders = f.asked();
  REQUIRE(orders.size() == 2);
  CHECK(orders[0].order.slot != orders[1].order.slot);
  f.look();
  CHECK(f.asked().empty());
  const Child one;
  f.started(orders[0], one.pid);
  f.hear();
  CHECK(f.pool->has_worker(one.pid));
  CHECK(Fixture::has_go(orders[0]));
  CHECK_FALSE(Fixture::has_go(orders[1]));
  CHECK(f.spawner.templates.size() == 1);
}

TEST_CASE("a template that names no child of ours, or one that is known, is ended") {
  for (const int lie : {0, 1, 2, 3}) {
    CAPTURE(lie);
    const Child child;  // before: it has no copies of channels
    Fixture f;
    f.look();
    const auto orders = f.asked();
    if (lie == 1) {
      f.started(orders[0], child.pid);
      f.hear();
      REQUIRE(f.pool->has_worker(child.pid));
    }
    if (lie == 2) f.taken = child.pid;
    const pid_t named = lie == 0 ? ::getppid() : lie == 3 ? -5 : child.pid;
    f.started(orders[1], named);
    const pid_t liar = f.pool->template_pid();
    f.hear();
    CHECK(f.pool->template_pid() == 0);
    CHECK(f.spawner.sent == std::vector<std::pair<pid_t, int>>{{liar, SIGKILL}});
    // A worker that was there serves on; without one a stand-in answers.
    CHECK(f.pool->workers() == 1);
    CHECK(f.spawner.stand_ins.size() == (lie == 1 ? 0 : 1));
    CHECK(Fixture::is_closed(orders[1]));
    CHECK(f.pool->retry_at().has_value());
  }
}

TEST_CASE("when a template ends before it has loaded, its orders are forgotten and a stand-in serves") {
  Fixture f;
  f.look();
  const auto orders = f.asked();
  SetupFailure failure;
  std::strcpy(failure.step, "module /x.so: not found");
  REQUIRE(::send(f.channel(), &failure, sizeof failure, 0) == sizeof failure);
  f.hear();
  CHECK(f.pool->reap({f.pool->template_pid(), 70 << 8}, f.now));
  CHECK(Fixture::is_closed(orders[0]));
  REQUIRE(f.spawner.stand_ins.size() == 1);
  CHECK(f.pool->workers() == 1);
  const auto [stand_in, slot] = f.spawner.stand_ins[0];
  f.pool->board().pen(slot).enter(Stage::accepting);
  f.look();
  CHECK(f.spawner.templates.size() == 1);  // not before it has waited
  f.now += 1s;
  f.look();
  CHECK(f.spawner.templates.size() == 2);
  CHECK(f.asked().size() == 2);  // the stand-in takes nobody's place
  f.tell({.kind = News::Kind::loaded});
  f.spawner.sent.clear();
  f.hear();
  CHECK(f.spawner.sent == std::vector<std::pair<pid_t, int>>{{stand_in, SIGQUIT}});
  CHECK(f.pool->reap({stand_in, 0}, f.now));
  CHECK(f.pool->workers() == 2);
}

TEST_CASE("an ondemand pool behind a stand-in tries again though no client waits") {
  Fixture f(config::ProcessManager::ondemand);
  f.pool->start(f.now, 1000, 1);
  CHECK(f.pool->reap({f.pool->template_pid(), 70 << 8}, f.now));
  REQUIRE(f.spawner.stand_ins.size() == 1);
  f.pool->board().pen(f.spawner.stand_ins[0].second).enter(Stage::accepting);
  f.now += 1s;
  f.look();
  CHECK(f.spawner.templates.size() == 2);
  CHECK(f.asked().size() == 1);
}

TEST_CASE("a template that dies idle costs nothing but itself") {
  Fixture f(config::ProcessManager::static_pm, 1);
  f.look();
  const auto orders = f.asked();
  const Child child;
  f.tell({.kind = News::Kind::loaded});
  f.started(orders[0], child.pid);
  f.hear();
  CHECK(f.pool->reap({f.pool->template_pid(), SIGKILL}, f.now));
  CHECK(f.pool->template_pid() == 0);
  CHECK(f.pool->workers() == 1);
  CHECK_FALSE(f.pool->retry_at().has_value());
  CHECK(f.spawner.stand_ins.empty());
}

TEST_CASE("what is ordered is forgotten when the pool stops") {
  Fixture f;
  f.look();
  const auto orders = f.asked();
  const pid_t process = f.pool->template_pid();
  f.pool->stop(policy::Push::quit);
  CHECK(f.pool->workers() == 0);
  CHECK(Fixture::is_closed(orders[0]));
  CHECK(f.spawner.sent == std::vector<std::pair<pid_t, int>>{{process, SIGKILL}});
}

TEST_CASE("more workers than orders fit into a channel come one crowd after the other") {
  Fixture f(config::ProcessManager::static_pm, 250);
  std::size_t all = 0;
  for (int i = 0; i < 10 && all < 250; ++i) {
    f.look();
    for (const Asked& order : f.asked()) {
      ++all;
      f.tell({.kind = News::Kind::started, .number = order.order.number, .code = ENOMEM});
      f.hear();
    }
    CHECK(f.pool->workers() == 0);
    f.now += 31s;  // of the back-off
    if (i == 0) CHECK(all == 100);
  }
  CHECK(all >= 250);
}

TEST_CASE("a template that does not get on is ended, and clients are not left waiting") {
  for (const bool loaded : {false, true}) {
    CAPTURE(loaded);
    Fixture f;
    f.look();
    const auto orders = f.asked();
    if (loaded) f.tell({.kind = News::Kind::loaded});
    f.hear();
    const auto end = f.pool->check_template(f.now);
    REQUIRE(end.has_value());
    CHECK(*end == f.now + (loaded ? 20s : 120s));
    const pid_t process = f.pool->template_pid();
    f.now = *end;
    CHECK_FALSE(f.pool->check_template(f.now).has_value());
    CHECK(f.pool->template_pid() == 0);
    CHECK(f.spawner.sent == std::vector<std::pair<pid_t, int>>{{process, SIGKILL}});
    CHECK(f.spawner.stand_ins.size() == 1);
  }
}

TEST_CASE("only an idle ondemand pool gives its template up") {
  Fixture f(config::ProcessManager::ondemand);
  f.pool->start(f.now, 1000, 1);
  CHECK(*f.pool->check_template(f.now) == f.now + 120s);  // a worker is on its way
  const auto orders = f.asked();
  REQUIRE(orders.size() == 1);
  const Child child;
  f.tell({.kind = News::Kind::loaded});
  f.started(orders[0], child.pid);
  f.hear();
  f.pool->board().pen(orders[0].order.slot).enter(Stage::accepting);
  CHECK(f.pool->reap({child.pid, 0}, f.now));
  const auto end = f.pool->check_template(f.now);
  REQUIRE(end.has_value());
  CHECK(*end == f.now + 100ms);
  CHECK(f.pool->template_pid() != 0);
  f.now += 101ms;
  CHECK_FALSE(f.pool->check_template(f.now).has_value());
  CHECK(f.pool->template_pid() == 0);
}
