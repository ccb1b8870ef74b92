// A master in the same process: a view that is told of pools.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "fpm/os/fd.hpp"
#include "fpm/os/shared_memory.hpp"
#include "fpm/reporter/view.hpp"

namespace test {

namespace os = fpm::os;
namespace reporter = fpm::reporter;
namespace scoreboard = fpm::scoreboard;

/// A pool's shared memory as the master has it.
struct Memory {
  explicit Memory(int slots)
      : ledger(*scoreboard::Ledger::create()),
        board(*scoreboard::Board::create(slots)) {
    set_state(scoreboard::PoolState::serving);
  }
  void set_state(scoreboard::PoolState state) {
    ledger.totals().state.store(static_cast<std::uint32_t>(state));
  }
  scoreboard::Totals& totals() const { return ledger.totals(); }

  scoreboard::Ledger ledger;
  scoreboard::Board board;
};

class Rig {
 public:
  reporter::View view;

  std::string send(const reporter::Message& message, int fd = -1) {
    os::Packet packet;
    if (fd >= 0) {
      packet.fds[0] = *os::open_read_only(fd);
      packet.fd_count = 1;
    }
    // As it goes over the channel.
    const auto again = reporter::decode(reporter::encode(message));
    REQUIRE(again.has_value());
    return view.take(*again, packet);
  }

  /// Tells of a pool with memory; its place is the next.
  void add(const std::string& name, const Memory& memory,
           const std::vector<const scoreboard::Board*>& draining = {}) {
    reporter::PoolNews news = describe(name);
    news.totals = map(memory.ledger.memory().fd(), 0);
    news.boards.push_back(map(memory.board.memory().fd(), memory.board.slots()));
    for (const auto* board : draining) {
      news.boards.push_back(map(board->memory().fd(), board->slots()));
    }
    REQUIRE(send(news).empty());
  }
  reporter::PoolNews describe(const std::string& name) {
    reporter::PoolNews news;
    news.index = pools_++;
    news.name = name;
    news.process_manager = "static";
    news.max_children = 4;
    news.listen_queue_limit = 511;
    return news;
  }
  std::uint64_t map(int fd, int slots) {
    const std::uint64_t key = ++keys_;
    REQUIRE(send(reporter::Mapping{key, slots}, fd).empty());
    return key;
  }
  std::uint64_t map_door(const scoreboard::DoorBoard& door) {
    const std::uint64_t key = ++keys_;
    REQUIRE(send(reporter::Mapping{.key = key, .door = 1}, door.memory().fd()).empty());
    return key;
  }
  void commit() { REQUIRE(send(reporter::Commit{pools_, 0}).empty()); }

 private:
  std::uint32_t pools_ = 0;
  std::uint64_t keys_ = 0;
};

}  // namespace test
