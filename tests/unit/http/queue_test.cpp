// The queue for the pool.
#include "fpm/http/queue.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;
using Answer = Queue::Answer;

namespace {
const Clock::time_point kStart{};
Clock::time_point at(int milliseconds) { return kStart + Milliseconds(milliseconds); }
}  // namespace

TEST_CASE("requests get their places in the order in which they came") {
  Queue queue;
  queue.limit(2, 10, Milliseconds(0));
  CHECK(queue.enter(1, at(0)) == Answer::start);
  CHECK(queue.enter(2, at(0)) == Answer::start);
  CHECK(queue.enter(3, at(0)) == Answer::wait);
  CHECK(queue.enter(4, at(0)) == Answer::wait);
  CHECK(queue.next() == 0);
  queue.release();
  // One that comes now does not overtake.
  CHECK(queue.enter(5, at(1)) == Answer::wait);
  CHECK(queue.next() == 3);
  CHECK(queue.next() == 0);
  queue.release();
  queue.release();
  CHECK(queue.next() == 4);
  CHECK(queue.next() == 5);
  CHECK(queue.next() == 0);
  CHECK(queue.taken() == 2);
}

TEST_CASE("a full queue refuses at once, and one that leaves makes room") {
  Queue queue;
  queue.limit(1, 2, Milliseconds(0));
  CHECK(queue.enter(1, at(0)) == Answer::start);
  CHECK(queue.enter(2, at(0)) == Answer::wait);
  CHECK(queue.enter(3, at(0)) == Answer::wait);
  CHECK(queue.enter(4, at(0)) == Answer::full);
  CHECK(queue.leave(2));
  CHECK(!queue.leave(2));
  CHECK(queue.enter(5, at(0)) == Answer::wait);
  queue.release();
  CHECK(queue.next() == 3);
}

TEST_CASE("who has waited too long is taken out, the oldest first") {
  Queue queue;
  queue.limit(1, 10, Milliseconds(100));
  (void)queue.enter(1, at(0));
  (void)queue.enter(2, at(0));
  (void)queue.enter(3, at(50));
  CHECK(queue.expire(at(99)).empty());
  CHECK(queue.expire(at(100)) == std::vector<Queue::Ticket>{2});
  CHECK(queue.expire(at(149)).empty());
  CHECK(queue.expire(at(200)) == std::vector<Queue::Ticket>{3});
  CHECK(queue.waiting() == 0);
}

TEST_CASE("more places let more of those in that wait") {
  Queue queue;
  queue.limit(1, 10, Milliseconds(0));
  for (Queue::Ticket ticket = 1; ticket <= 4; ++ticket) (void)queue.enter(ticket, at(0));
  queue.limit(3, 10, Milliseconds(0));
  CHECK(queue.next() == 2);
  CHECK(queue.next() == 3);
  CHECK(queue.next() == 0);
  queue.limit(1, 10, Milliseconds(0));
  queue.release();
  CHECK(queue.next() == 0);  // two are still out
  queue.release();
  CHECK(queue.next() == 0);
  queue.release();
  CHECK(queue.next() == 4);
}
