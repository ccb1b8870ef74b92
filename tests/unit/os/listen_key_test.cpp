#include "fpm/os/listen_key.hpp"

#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fpm/os/socket.hpp"

using namespace fpm::os;

namespace {

UniqueFd connect_to(int listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  }
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  return fd;
}

void check_queue(UniqueFd listener) {
  const ListenKey key = listen_key(listener.get());
  ListenQueues queues;
  CHECK(queues.length(key) == 0U);
  std::vector<UniqueFd> clients;
  for (unsigned waiting = 1; waiting <= 3; ++waiting) {
    clients.push_back(connect_to(listener.get()));
    CHECK(queues.length(key) == waiting);
  }
  UniqueFd taken(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(queues.length(key) == 2U);
  listener.reset();
  CHECK_FALSE(queues.length(key).has_value());
}

UniqueFd listen_loopback(int family) {
  auto fd = listen_tcp(family == AF_INET ? "127.0.0.1" : "::1", 0, 16);
  REQUIRE(fd.has_value());
  return std::move(*fd);
}

}  // namespace

TEST_CASE("a queue is known to who only has the key: UNIX") {
  std::string folder = "/tmp/fpm-os-test-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/s";
  auto fd = listen_unix(path, 16, {});
  REQUIRE(fd.has_value());
  check_queue(std::move(*fd));
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
}

TEST_CASE("a queue is known to who only has the key: TCP") { check_queue(listen_loopback(AF_INET)); }

TEST_CASE("a queue is known to who only has the key: every address") {
  auto fd = listen_tcp("", 0, 16);
  REQUIRE(fd.has_value());
  check_queue(std::move(*fd));
}

TEST_CASE("many queues are asked for at once") {
  std::string folder = "/tmp/fpm-os-test-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  std::vector<UniqueFd> listeners;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < 300; ++i) {
    auto fd = listen_unix(folder + "/" + std::to_string(i), 16, {});
    REQUIRE(fd.has_value());
    for (std::size_t waiting = 0; waiting < i % 4; ++waiting) {
      clients.push_back(connect_to(fd->get()));
    }
    listeners.push_back(std::move(*fd));
  }
  ListenQueues queues;
  queues.ask_for_all();
  for (std::size_t i = 0; i < 300; ++i) {
    CHECK(queues.length(listen_key(listeners[i].get())) == static_cast<unsigned>(i % 4));
    ::unlink((folder + "/" + std::to_string(i)).c_str());
  }
  UniqueFd tcp = listen_loopback(AF_INET);
  const UniqueFd client = connect_to(tcp.get());
  CHECK(queues.length(listen_key(tcp.get())) == 1U);
  ListenKey gone = listen_key(listeners[0].get());
  listeners[0].reset();
  queues.ask_for_all();
  CHECK_FALSE(queues.length(gone).has_value());
  clients.clear();
  queues.forget_all();
  CHECK(queues.length(listen_key(listeners[1].get())) == 1U);  // closed, and not accepted yet
  ::rmdir(folder.c_str());
}

TEST_CASE("another socket on the same port is not taken for the one that was asked for") {
  UniqueFd listener = listen_loopback(AF_INET);
  ListenKey key = listen_key(listener.get());
  ++key.inode;
  CHECK_FALSE(ListenQueues().length(key).has_value());
  CHECK_FALSE(ListenQueues().length(ListenKey{}).has_value());
}

TEST_CASE("what is no socket has no key") {
  Pipe pipe = *make_pipe();
  CHECK(listen_key(pipe.read.get()).inode == 0);
  CHECK(listen_key(-1).inode == 0);
}
