#include "fpm/os/inherited.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "fpm/os/process.hpp"
#include "fpm/os/socket.hpp"

using namespace fpm::os;

namespace {

int is_listening(int fd) {
  int on = 0;
  socklen_t length = sizeof on;
  ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length);
  return on;
}

/// The descriptor of a listening socket on a port of the system's choice, and that port.
std::pair<int, int> listen_anywhere() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(fd, 5) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  return {fd, ntohs(address.sin_port)};
}

/// Runs `work` in a child whose descriptor numbers from 3 on are free. @return it gave true.
template <class Work>
bool in_clean_child(Work work) {
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    close_all_but({});
    exit_now(work() ? 0 : 1);
  }
  for (;;) {
    if (const auto exit = reap(); exit && exit->pid == *pid) return exit->code() == 0;
  }
}

void activate(int count, pid_t pid, const char* names = "") {
  ::setenv("LISTEN_FDS", std::to_string(count).c_str(), 1);
  ::setenv("LISTEN_PID", std::to_string(pid).c_str(), 1);
  ::setenv("LISTEN_FDNAMES", names, 1);
}

}  // namespace

TEST_CASE("a socket of FPM_SOCKETS is found by its key and by its address") {
  for (const bool by_key : {true, false}) {
    const auto [fd, port] = listen_anywhere();
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    ::setenv("FPM_SOCKETS_1", ("/run/key=" + std::to_string(fd)).c_str(), 1);
    auto inherited = InheritedSockets::from_environment();
    CHECK(std::getenv("FPM_SOCKETS_1") == nullptr);
    REQUIRE(inherited.unclaimed().size() == 1);
    CHECK_FALSE(inherited.claim({"/run/ke"}, 5).fd);
    const InheritedSocket claimed = inherited.claim(
        by_key ? socket_keys("/run/key")
               : socket_keys("localhost", static_cast<unsigned short>(port)),
        5);
    CHECK(claimed.fd.get() == fd);
    CHECK(claimed.number == fd);
    CHECK_FALSE(claimed.lent);
    CHECK(claimed.name == "/run/key");
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    CHECK(inherited.unclaimed().empty());
  }
}

TEST_CASE("a bound socket that does not listen yet does once it is claimed") {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const std::string path = "/tmp/fpm-inherited-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::setenv("FPM_SOCKETS", ("x=" + std::to_string(fd)).c_str(), 1);
  auto inherited = InheritedSockets::from_environment();
  const InheritedSocket claimed = inherited.claim(socket_keys(path), 5);
  CHECK(is_listening(claimed.fd.get()) == 1);
  ::unlink(path.c_str());
}

TEST_CASE("sockets of a service manager are those from descriptor 3 on") {
  CHECK(in_clean_child([] {
    const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_any;
    socklen_t length = sizeof address;
    if (fd != 3 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), length) < 0) return false;
    ::listen(fd, 5);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    const bool second = ::open("/dev/null", O_RDONLY) == 4;
    activate(2, ::getpid(), "web.socket:other");
    auto inherited = InheritedSockets::from_environment();
    if (inherited.unclaimed().size() != 2 || !second) return false;
    const InheritedSocket web = inherited.claim(socket_keys("", ntohs(address.sin6_port)), 5);
    const auto& rest = inherited.unclaimed();
    return web.fd.get() == 3 && web.lent && web.name == "web.socket" && rest.size() == 1 &&
           rest[0].name == "other" && rest[0].useless == "it is no socket" &&
           std::getenv("LISTEN_FDS") == nullptr && std::getenv("LISTEN_PID") == nullptr &&
           std::getenv("LISTEN_FDNAMES") == nullptr;
  }));
}

TEST_CASE("sockets that were meant for another process are not touched") {
  CHECK(in_clean_child([] {
    const bool third = ::open("/dev/null", O_RDONLY) == 3;
    activate(1, ::getpid() + 1);
    const auto inherited = InheritedSockets::from_environment();
    return third && inherited.unclaimed().empty() && std::getenv("LISTEN_FDS") == nullptr &&
           ::fcntl(3, F_GETFD) == 0;
  }));
}

TEST_CASE("nonsense in the environment is no harm") {
  for (const char* value : {"", ",", "=", "x", "x=", "x=y", "x=2", "x=-1", "x=99999999999"}) {
    ::setenv("FPM_SOCKETS", value, 1);
    ::setenv("LISTEN_FDS", value, 1);
    CHECK(InheritedSockets::from_environment().unclaimed().empty());
  }
  ::setenv("FPM_SOCKETS", "x=987654", 1);
  const auto inherited = InheritedSockets::from_environment();
  REQUIRE(inherited.unclaimed().size() == 1);
  CHECK(inherited.unclaimed()[0].useless == "there is no such descriptor");
}

TEST_CASE("a descriptor that is told twice has one owner") {
  const auto [fd, port] = listen_anywhere();
  const std::string number = std::to_string(fd);
  ::setenv("FPM_SOCKETS", ("a=" + number + ",b=" + number).c_str(), 1);
  auto inherited = InheritedSockets::from_environment();
  CHECK(inherited.unclaimed().size() == 1);
  CHECK(inherited.claim({"b"}, 5).fd.get() == fd);
  CHECK(port > 0);
}

TEST_CASE("a connection is no listening socket") {
  auto pair = make_socketpair(SOCK_STREAM);
  REQUIRE(pair.has_value());
  ::setenv("FPM_SOCKETS", ("a=" + std::to_string(pair->first.release())).c_str(), 1);
  auto inherited = InheritedSockets::from_environment();
  REQUIRE(inherited.unclaimed().size() == 1);
  CHECK_FALSE(inherited.unclaimed()[0].useless.empty());
  CHECK_FALSE(inherited.claim({"a"}, 5).fd);
}

TEST_CASE("the keys of an address are php-fpm's") {
  CHECK(socket_keys("/run/www.sock") == std::vector<std::string>{"/run/www.sock"});
  CHECK(socket_keys("127.0.0.1", 9000) == std::vector<std::string>{"127.0.0.1:9000"});
  CHECK(socket_keys("::1", 9000) == std::vector<std::string>{"::1:9000"});
  CHECK(socket_keys("0:0::1", 9000) == std::vector<std::string>{"::1:9000"});
  CHECK(socket_keys("", 9000) == std::vector<std::string>{":::9000", "0.0.0.0:9000"});
}
