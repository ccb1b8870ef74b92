#include "fpm/scoreboard/board.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <thread>

#include "fpm/os/process.hpp"

using namespace fpm::scoreboard;

namespace {

Board make_board(int slots) {
  auto board = Board::create(slots);
  REQUIRE(board.has_value());
  return std::move(*board);
}

}  // namespace

TEST_CASE("a new board has only vacant slots") {
  const Board board = make_board(3);
  CHECK(board.counts().idle == 0);
  CHECK(board.counts().starting == 0);
  CHECK_FALSE(board.worker(0, 0).has_value());
  CHECK(board.snapshot(true).workers.empty());
}

TEST_CASE("idle and active are derived from the stages") {
  Board board = make_board(4);
  board.occupy(0);
  board.pen(1).enter(Stage::accepting);
  board.pen(2).enter(Stage::executing);
  board.pen(3).enter(Stage::finished);
  const auto counts = board.counts();
  CHECK(counts.starting == 1);
  CHECK(counts.idle == 1);
  CHECK(counts.active == 2);
  CHECK(board.snapshot(false).idle == 1);
  CHECK(board.snapshot(false).active == 2);
}

TEST_CASE("what the pen wrote is what a snapshot shows") {
  Board board = make_board(1);
  Pen pen = board.pen(0);
  pen.enter(Stage::executing);
  pen.update([](Pen& p) {
    p.number(Field::pid, 4711);
    p.number(Field::requests, 3);
    p.number(Field::request_started_ns, 1'000'000);
    p.text(kMethod, "POST");
    p.text(kUri, "/a.cgi");
    p.text(kQuery, "q=1");
    p.text(kUser, "");
  });
  const auto seen = board.worker(0, 3'000'000);
  REQUIRE(seen.has_value());
  CHECK(seen->pid == 4711);
  CHECK(seen->requests == 4);  // with the one under way
  CHECK(seen->method == "POST");
  CHECK(seen->uri == "/a.cgi");
  CHECK(seen->query == "q=1");
  CHECK(seen->user.empty());
  CHECK(seen->request_duration == std::chrono::microseconds(2000));
}

TEST_CASE("long strings are cut, shorter ones leave nothing of the longer behind") {
  Board board = make_board(1);
  Pen pen = board.pen(0);
  pen.enter(Stage::executing);
  pen.update([](Pen& p) { p.text(kUri, std::string(2000, 'x')); });
  CHECK(board.worker(0, 0)->uri == std::string(kUri.capacity(), 'x'));
  pen.update([](Pen& p) { p.text(kUri, "12345678"); });  // exactly one word
  CHECK(board.worker(0, 0)->uri == "12345678");
  pen.update([](Pen& p) { p.text(kUri, std::string(kUri.capacity(), 'y')); });
  CHECK(board.worker(0, 0)->uri == std::string(kUri.capacity(), 'y'));
}

TEST_CASE("a slot whose worker died in the middle of a change is readable after vacate") {
  Board board = make_board(1);
  board.occupy(0);
  board.memory().inherit(true);
  const auto pid = fpm::os::fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    Pen pen = board.pen(0);
    pen.update([](Pen& p) {
      p.text(kUri, "/half");
      fpm::os::exit_now(0);  // the counter stays odd
    });
  }
  while (!fpm::os::reap()) std::this_thread::yield();
  CHECK_FALSE(board.worker(0, 0).has_value());
  board.vacate(0);
  CHECK(board.stage(0) == Stage::vacant);
  board.occupy(0);
  const auto seen = board.worker(0, 0);
  REQUIRE(seen.has_value());
  CHECK(seen->uri.empty());
}

TEST_CASE("readers never see half of a change") {
  Board board = make_board(1);
  board.occupy(0);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    Pen pen = board.pen(0);
    for (std::uint64_t i = 1; !stop; ++i) {
      const char letter = static_cast<char>('a' + i % 26);
      pen.update([&](Pen& p) {
        p.number(Field::requests, i % 26);
        p.text(kUri, std::string(300, letter));
      });
    }
  });
  int seen = 0;
  while (seen < 5000) {
    const auto now = board.worker(0, 0);
    if (!now || now->uri.empty()) continue;
    ++seen;
    const char letter = static_cast<char>('a' + now->requests % 26);
    if (now->uri != std::string(300, letter)) FAIL("torn: " << now->uri);
  }
  stop = true;
  writer.join();
}

TEST_CASE("random bytes in shared memory are shown, never followed") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Board board = make_board(2);
  for (int round = 0; round < 2000; ++round) {
    Pen pen = board.pen(1);
    pen.enter(static_cast<Stage>(random() % 256));
    pen.update([&](Pen& p) {
      for (std::size_t i = 0; i < kNumbers; ++i) p.number(static_cast<Field>(i), random());
      std::string text(kUri.capacity(), '\0');
      for (char& byte : text) byte = static_cast<char>(random());
      p.text(kUri, text);
    });
    const auto seen = board.snapshot(true);
    if (!seen.workers.empty()) CHECK(seen.workers[0].uri.size() <= kUri.capacity());
  }
}

TEST_CASE("where an answer goes is not told while it is being written") {
  Board board = make_board(1);
  Pen pen = board.pen(0);
  pen.update([](Pen& p) {
    p.number(Field::request_started_ns, 77);
    p.number(Field::request_id, 3);
    p.number(Field::connection, 9);
  });
  const auto client = board.client(0);
  REQUIRE(client.has_value());
  CHECK(client->request_started_ns == 77);
  CHECK(client->request_id == 3);
  CHECK(client->connection == 9);
  CHECK_FALSE(client->answer_begun);
  pen.update([&](Pen& p) {
    p.number(Field::answer_begun, 1);
    CHECK_FALSE(board.client(0).has_value());
  });
  CHECK(board.client(0)->answer_begun);
}
