#include <catch2/catch.hpp>

#include "fpm/os/shared_memory.hpp"
#include "fpm/scoreboard/door_board.hpp"

using namespace fpm::scoreboard;
namespace os = fpm::os;

namespace {

void open_connection(const DoorBoard& board, std::size_t index, std::uint64_t opened_ns) {
  DoorBoard::Slot& slot = board.slot(index);
  slot.opened_ns.store(opened_ns);
  slot.state.store(static_cast<std::uint64_t>(DoorState::writing) + 1);
  write_words("127.0.0.1", slot.remote.data(), slot.remote.size());
  write_words("GET /" + std::string(500, 'x'), slot.request.data(), slot.request.size());
  board.head().used_slots.store(std::max<std::uint64_t>(board.head().used_slots, index + 1));
}

std::vector<std::uint64_t> ages(const std::vector<DoorConnection>& all) {
  std::vector<std::uint64_t> opened;
  for (const DoorConnection& one : all) opened.push_back(one.opened_ns);
  return opened;
}

}  // namespace

TEST_CASE("the oldest connections of several doors come first, and no more than wanted") {
  const DoorBoard first = *DoorBoard::create(8);
  const DoorBoard second = *DoorBoard::create(8);
  const DoorBoard none;
  open_connection(first, 0, 40);
  open_connection(first, 3, 10);
  open_connection(second, 1, 20);
  open_connection(second, 2, 30);
  const std::vector<const DoorBoard*> boards{&first, &none, &second};
  CHECK(ages(oldest_connections(boards, 100)) == std::vector<std::uint64_t>{10, 20, 30, 40});
  CHECK(ages(oldest_connections(boards, 3)) == std::vector<std::uint64_t>{10, 20, 30});
  CHECK(oldest_connections(boards, 0).empty());
  first.forget_connections();
  CHECK(ages(oldest_connections(boards, 100)) == std::vector<std::uint64_t>{20, 30});
}

TEST_CASE("a connection is read as its door wrote it, cut to fit") {
  const DoorBoard board = *DoorBoard::create(2);
  open_connection(board, 1, 5);
  CHECK_FALSE(board.connection(0));
  const auto seen = board.connection(1);
  REQUIRE(seen.has_value());
  CHECK(seen->state == DoorState::writing);
  CHECK(seen->remote == "127.0.0.1");
  CHECK(seen->request == "GET /" + std::string(DoorBoard::kRequestWords * 8 - 6, 'x'));
}

TEST_CASE("a door that scribbles over its memory is shown bounded") {
  const DoorBoard board = *DoorBoard::create(3);
  board.head().used_slots.store(~std::uint64_t{0});
  for (std::size_t i = 0; i < board.slots(); ++i) {
    board.slot(i).state.store(i == 0 ? ~std::uint64_t{0} : 1);
    for (auto& word : board.slot(i).request) word.store(~std::uint64_t{0});
  }
  const std::vector<const DoorBoard*> boards{&board};
  const auto seen = oldest_connections(boards, 100);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].request.size() == DoorBoard::kRequestWords * 8);
}

TEST_CASE("the counters of a door that has ended go on with another one") {
  const DoorBoard old = *DoorBoard::create(1);
  const DoorBoard next = *DoorBoard::create(1);
  DoorBoard::Head& head = old.head();
  std::uint64_t number = 1;
  for (auto* counter : {&head.accepted, &head.requests, &head.passed, &head.bytes_out, &head.bytes_in,
                        &head.aborted, &head.queue_full, &head.queue_timeout, &head.retried,
                        &head.refused, &head.statuses[0], &head.statuses[4]}) {
    counter->store(number++);
  }
  head.connections[3].store(5);
  next.head().accepted.store(10);
  DoorCounts before = old.counts();
  before.add(next.counts());
  old.move_counters(next);
  const DoorCounts after = next.counts();
  CHECK(after.accepted == 11);
  CHECK(after.refused == 10);
  CHECK(after.connections[3] == 0);
  CHECK(old.counts().accepted == 0);
  CHECK(after.bytes_out == before.bytes_out);
  CHECK(after.statuses == before.statuses);
  old.move_counters(DoorBoard());
}

TEST_CASE("another process reads a door's memory and cannot be given what is none") {
  const DoorBoard board = *DoorBoard::create(4);
  board.head().accepted.store(7);
  const os::UniqueFd fd = *os::open_read_only(board.memory().fd());
  const auto seen = DoorBoard::attach(fd.get());
  REQUIRE(seen.has_value());
  CHECK(seen->counts().accepted == 7);
  CHECK(seen->slots() == 4);
  const os::SharedMemory small = *os::SharedMemory::create("test", 64);
  CHECK(DoorBoard::attach(small.fd()).has_error());
  CHECK(DoorBoard::attach(-1).has_error());
}
