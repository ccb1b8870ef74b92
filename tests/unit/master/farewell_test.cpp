// What a client gets from the master in place of its worker.
#include "fpm/master/farewell.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

using namespace fpm;
using namespace fpm::master;
using namespace std::chrono_literals;

namespace {

struct Ends {
  os::UniqueFd worker, client;
};

Ends connection() {
  auto pair = os::make_socketpair(SOCK_STREAM);
  REQUIRE(pair.has_value());
  return {std::move(pair->first), std::move(pair->second)};
}

std::string received(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

unsigned byte(const std::string& text, std::size_t at) {
  return static_cast<unsigned char>(text.at(at));
}

}  // namespace

TEST_CASE("the 504 is two whole records of the request") {
  for (const std::uint16_t id : {std::uint16_t{1}, std::uint16_t{0x1234}, std::uint16_t{0xffff}}) {
    const std::string records = gateway_timeout(id);
    const std::size_t length = byte(records, 4) * 256 + byte(records, 5);
    CHECK(byte(records, 0) == 1);
    CHECK(byte(records, 1) == 6);  // FCGI_STDOUT
    CHECK(byte(records, 2) * 256 + byte(records, 3) == id);
    const std::string answer = records.substr(8, length);
    CHECK(answer.starts_with("Status: 504 Gateway Timeout\r\n"));
    const std::size_t body = answer.find("\r\n\r\n") + 4;
    CHECK(answer.find("Content-Length: " + std::to_string(answer.size() - body) + "\r\n") !=
          std::string::npos);
    const std::string end = records.substr(8 + length);
    REQUIRE(end.size() == 16);
    CHECK(byte(end, 1) == 3);  // FCGI_END_REQUEST
    CHECK(byte(end, 2) * 256 + byte(end, 3) == id);
    CHECK(end.substr(8) == std::string(8, '\0'));
  }
}

TEST_CASE("a client that was sending all the while has the 504 and no reset") {
  Ends ends = connection();
  const std::string body(50'000, 'x');
  REQUIRE(::send(ends.client.get(), body.data(), body.size(), 0) == 50'000);
  const auto now = Farewell::Clock::now();
  auto farewell = Farewell::to(std::move(ends.worker), now);
  REQUIRE(farewell.has_value());
  CHECK(farewell->answer(1));
  CHECK_FALSE(farewell->over(now));
  CHECK(received(ends.client.get()) == gateway_timeout(1));
  CHECK(::send(ends.client.get(), "more", 4, MSG_NOSIGNAL) == 4);
  CHECK_FALSE(farewell->over(now));
  ends.client.reset();
  CHECK(farewell->over(now));
}

TEST_CASE("a client that does not close is not waited for longer than a second") {
  Ends ends = connection();
  const auto now = Farewell::Clock::now();
  auto farewell = Farewell::to(std::move(ends.worker), now);
  REQUIRE(farewell.has_value());
  CHECK_FALSE(farewell->over(now + 999ms));
  CHECK(farewell->over(now + 1000ms));
}

TEST_CASE("a client that takes nothing does not hold the master") {
  Ends ends = connection();
  const std::string much(1 << 20, 'x');
  while (::send(ends.worker.get(), much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  auto farewell = Farewell::to(std::move(ends.worker), Farewell::Clock::now());
  REQUIRE(farewell.has_value());
  CHECK_FALSE(farewell->answer(1));
}

TEST_CASE("what is no connection is not spoken to") {
  const auto now = Farewell::Clock::now();
  CHECK(Farewell::to(os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)), now).has_error());
  auto packets = os::make_socketpair(SOCK_SEQPACKET);
  REQUIRE(packets.has_value());
  CHECK(Farewell::to(std::move(packets->first), now).error().code == ENOTSOCK);
  os::UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&unnamed), sizeof(sa_family_t)) == 0);
  REQUIRE(::listen(listening.get(), 1) == 0);
  CHECK(Farewell::to(std::move(listening), now).error().code == EINVAL);
}
