#include "fpm/master/reporter_news.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <deque>

#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/door_board.hpp"

using namespace fpm::master;
namespace config = fpm::config;
namespace os = fpm::os;
namespace reporter = fpm::reporter;
namespace scoreboard = fpm::scoreboard;

namespace {

struct TestPool {
  explicit TestPool(const std::string& name) { config.name = name; }

  void give_memory() {
    REQUIRE(account.open().has_value());
    boards.push_front(*scoreboard::Board::create(2));
  }
  ReportedPool reported() const {
    ReportedPool pool;
    pool.config = &config;
    pool.account = &account;
    for (const auto& board : boards) pool.boards.push_back({board.memory().fd(), board.slots()});
    for (const auto& door : doors) pool.doors.push_back(door.memory().fd());
    return pool;
  }

  config::Pool config;
  Account account;
  std::deque<scoreboard::Board> boards;  // the newest first
  std::deque<scoreboard::DoorBoard> doors;
};

struct Channel {
  std::vector<std::string> sent;  // what was sent, in words
  int room = 1'000'000;           // packets until it is full

  os::Result<void> operator()(const ReporterPacket& packet) {
    if (room == 0) return os::Error(EAGAIN, "sendmsg");
    --room;
    const int fd = packet.owned ? packet.owned.get() : packet.borrowed;
    if (const auto* mapping = std::get_if<reporter::Mapping>(&packet.message)) {
      CHECK((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
      sent.push_back(mapping->door != 0 ? "door" : mapping->slots == 0 ? "totals" : "board");
    } else if (const auto* pool = std::get_if<reporter::PoolNews>(&packet.message)) {
      CHECK(fd == -1);
      sent.push_back("pool " + pool->name);
    } else if (const auto* place = std::get_if<reporter::PlaceNews>(&packet.message)) {
      sent.push_back("place " + place->pool + (fd >= 0 ? " and socket" : ""));
    } else {
      sent.push_back("commit");
    }
    return {};
  }
};

struct Master {
  std::deque<TestPool> pools;
  ReporterParts parts;
  ReporterNews news;
  Channel channel;

  os::Result<void> go_on() {
    std::vector<ReportedPool> list;
    for (const TestPool& pool : pools) list.push_back(pool.reported());
    return news.go_on(list, parts, [this](const auto& packet) { return channel(packet); });
  }
  /// What is sent in a round.
  std::vector<std::string> round() {
    news.restart();
    channel.sent.clear();
    CHECK(go_on().has_value());
    return channel.sent;
  }
};

using Words = std::vector<std::string>;

std::shared_ptr<Listener> some_listener() {
  config::Pool place;
  place.listen.text = "127.0.0.1:0";
  place.listen.host = "127.0.0.1";
  auto opened = Listener::open(place);
  REQUIRE(opened.has_value());
  return std::make_shared<Listener>(std::move(*opened));
}

}  // namespace

TEST_CASE("a new reporter is told everything, and later only what is new") {
  Master master;
  master.pools.emplace_back("a");
  master.pools.emplace_back("b");
  master.pools[0].give_memory();
  CHECK(master.round() == Words{"totals", "board", "pool a", "pool b", "commit"});
  CHECK(master.round() == Words{"commit"});
  master.pools[1].give_memory();
  CHECK(master.round() == Words{"totals", "board", "pool b", "commit"});
  master.pools[0].config.max_children = 99;
  CHECK(master.round() == Words{"pool a", "commit"});
  master.news.forget();
  CHECK(master.round().size() == 7);
}

TEST_CASE("a new generation is one mapping, the end of the old one none") {
  Master master;
  master.pools.emplace_back("a");
  master.pools[0].give_memory();
  master.round();
  master.pools[0].give_memory();
  CHECK(master.round() == Words{"board", "pool a", "commit"});
  master.pools[0].boards.pop_back();
  CHECK(master.round() == Words{"pool a", "commit"});
}

TEST_CASE("a door's memory is told of once, and forgotten when the door has gone") {
  Master master;
  master.pools.emplace_back("a");
  master.round();
  master.pools[0].doors.push_back(*scoreboard::DoorBoard::create(4));
  CHECK(master.round() == Words{"door", "pool a", "commit"});
  master.pools[0].doors.push_back(*scoreboard::DoorBoard::create(4));
  CHECK(master.round() == Words{"door", "pool a", "commit"});
  master.pools[0].doors.pop_front();
  CHECK(master.round() == Words{"pool a", "commit"});
  master.news.forget();
  CHECK(master.round() == Words{"door", "pool a", "commit"});
}

TEST_CASE("a scoreboard under the number of an old one is not taken for it") {
  Master master;
  master.pools.emplace_back("a");
  master.pools[0].give_memory();
  master.round();
  const int number = master.pools[0].boards[0].memory().fd();
  master.pools[0].boards.clear();
  master.pools[0].give_memory();
  REQUIRE(master.pools[0].boards[0].memory().fd() == number);
  CHECK(master.round() == Words{"board", "pool a", "commit"});
}

TEST_CASE("a state is news only for a pool without totals, which has it in its memory") {
  Master master;
  master.pools.emplace_back("a");
  master.round();
  master.pools[0].account.enter(scoreboard::PoolState::failing);
  CHECK(master.round() == Words{"pool a", "commit"});
  master.pools[0].give_memory();
  master.round();
  master.pools[0].account.enter(scoreboard::PoolState::serving);
  CHECK(master.round() == Words{"commit"});
}

TEST_CASE("a channel that is full is gone on with where it stopped") {
  Master master;
  for (int i = 0; i < 50; ++i) {
    master.pools.emplace_back("p" + std::to_string(i));
    master.pools.back().give_memory();
  }
  int rounds = 0;
  while (true) {
    master.channel.room = 7;
    const auto done = master.go_on();
    if (done) break;
    REQUIRE(done.error().code == EAGAIN);
    REQUIRE(++rounds < 30);
  }
  CHECK(rounds == 21);
  CHECK(master.channel.sent.size() == 151);  // nothing twice
  CHECK(master.channel.sent.back() == "commit");
}

TEST_CASE("what changes in the middle of a round is told in the next, without what was told") {
  Master master;
  for (const char* name : {"a", "b", "c"}) {
    master.pools.emplace_back(name);
    master.pools.back().give_memory();
  }
  master.channel.room = 4;
  CHECK(master.go_on().has_error());
  master.pools[0].boards.clear();
  master.pools[0].give_memory();
  master.channel.room = 100;
  CHECK(master.round() ==
        Words{"board", "pool a", "board", "pool b", "totals", "board", "pool c", "commit"});
}

TEST_CASE("a socket is handed over once") {
  Master master;
  const auto listener = some_listener();
  master.parts.places.push_back({"", {}, listener});
  CHECK(master.round() == Words{"place  and socket", "commit"});
  CHECK(master.round() == Words{"commit"});
  master.parts.places[0].allowed_clients = {"127.0.0.1"};
  CHECK(master.round() == Words{"place ", "commit"});
  master.parts.places.insert(master.parts.places.begin(), {"www", {}, some_listener()});
  CHECK(master.round() == Words{"place www and socket", "place ", "commit"});
}

TEST_CASE("a pool that goes is forgotten, and one of its name is new") {
  Master master;
  master.pools.emplace_back("a");
  master.pools[0].give_memory();
  master.round();
  TestPool kept = std::move(master.pools[0]);
  master.pools.clear();
  CHECK(master.round() == Words{"commit"});
  master.pools.push_back(std::move(kept));
  CHECK(master.round() == Words{"totals", "board", "pool a", "commit"});
}
