#include "fpm/handlers/blocking.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "fake_exchange.hpp"

namespace fpm::handlers {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void send(const FakeExchange& exchange, std::string_view text) {
  REQUIRE(::write(exchange.client.get(), text.data(), text.size()) ==
          static_cast<ssize_t>(text.size()));
}

std::string read_body(Blocking& blocking) {
  std::string body;
  char piece[7000];
  while (const std::size_t got = blocking.read(piece)) body.append(piece, got);
  return body;
}

TEST_CASE("a body that arrives in pieces is read to its end") {
  FakeExchange exchange;
  const std::string sent(300'000, 'x');
  exchange.body_size = sent.size();
  std::thread client([&] {
    for (std::size_t done = 0; done < sent.size();) {
      const std::size_t piece = std::min<std::size_t>(9'999, sent.size() - done);
      const ssize_t size = ::write(exchange.client.get(), sent.data(), piece);
      if (size <= 0) break;
      done += static_cast<std::size_t>(size);
    }
  });
  Blocking blocking(exchange, milliseconds(5000));
  const std::string body = read_body(blocking);
  client.join();
  CHECK(body == sent);
  CHECK(blocking.stop() == Blocking::Stop::none);
}

TEST_CASE("a client that stands still in the middle of its body gets 408") {
  FakeExchange exchange;
  exchange.body_size = 10;
  send(exchange, "half");
  Blocking blocking(exchange, milliseconds(40));
  CHECK(read_body(blocking) == "half");
  CHECK(blocking.stop() == Blocking::Stop::body);
  const Outcome outcome = blocking.conclude("in read");
  CHECK(outcome.end == End::timeout);
  CHECK_FALSE(outcome.truncated);
  CHECK(exchange.status == 408);
  CHECK(exchange.logged("nothing of the rest of the body"));
}

TEST_CASE("the deadline ends a wait for the body, with 504 once") {
  FakeExchange exchange;
  exchange.body_size = 10;
  exchange.limit = steady_clock::now() + milliseconds(40);
  Blocking blocking(exchange, milliseconds(0));
  CHECK(read_body(blocking).empty());
  CHECK(blocking.stop() == Blocking::Stop::deadline);
  CHECK(blocking.conclude("in read").end == End::timeout);
  CHECK(exchange.status == 504);
  CHECK(exchange.overdue == 1);
  CHECK(exchange.logged("in read"));
}

TEST_CASE("a client that leaves ends reading and writing") {
  FakeExchange exchange;
  exchange.body_size = 10;
  Blocking blocking(exchange, milliseconds(5000));
  exchange.client.reset();
  CHECK(read_body(blocking).empty());
  CHECK(blocking.stop() == Blocking::Stop::client);
  exchange.begin(200, "");
  CHECK_FALSE(blocking.write(std::string(100'000, 'x')));
  const Outcome outcome = blocking.conclude("");
  CHECK(outcome.end == End::abort);
  CHECK(outcome.truncated);
}

TEST_CASE("an answer that is larger than all buffers waits for its reader") {
  FakeExchange exchange;
  std::string got;
  std::thread client([&] { got = FakeExchange::read_all(exchange.client.get()); });
  Blocking blocking(exchange, milliseconds(0));
  exchange.begin(200, "");
  const std::string sent(3'000'000, 'y');
  CHECK(blocking.write(sent));
  CHECK(blocking.flush());
  CHECK(exchange.events() == POLLIN);  // nothing waits to be sent
  exchange.close();
  client.join();
  CHECK(got == sent);
  CHECK(exchange.misuses == 0);
}

TEST_CASE("a reader that stands still holds up an answer until the deadline") {
  FakeExchange exchange;
  exchange.limit = steady_clock::now() + milliseconds(40);
  Blocking blocking(exchange, milliseconds(0));
  exchange.begin(200, "");
  CHECK_FALSE(blocking.write(std::string(3'000'000, 'y')));
  CHECK(blocking.stop() == Blocking::Stop::deadline);
  const Outcome outcome = blocking.conclude("in echo");
  CHECK(outcome.truncated);
  CHECK(exchange.sentence.empty());  // half an answer is not followed by another
}

TEST_CASE("what is left of a body is read over") {
  FakeExchange exchange;
  exchange.body_size = 8;
  send(exchange, "whatever");
  Blocking blocking(exchange, milliseconds(1000));
  CHECK(blocking.skip_body());
  CHECK(exchange.body_ended());
}

}  // namespace
}  // namespace fpm::handlers
