#include "fpm/os/socket.hpp"

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace fpm::os;

namespace {

struct TempDir {
  std::string path = "/tmp/fpm-os-test-XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { ::rmdir(path.c_str()); }
};

UniqueFd connect_unix(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

}  // namespace

TEST_CASE("a stale UNIX socket is replaced, a live one is not") {
  const TempDir dir;
  const std::string path = dir.path + "/s";
  {
    auto first = listen_unix(path, 8, SocketFile{.mode = 0600});
    REQUIRE(first.has_value());
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    auto second = listen_unix(path, 8, {});
    REQUIRE(second.has_error());
    CHECK(second.error().code == EADDRINUSE);
  }
  auto third = listen_unix(path, 8, {});
  CHECK(third.has_value());
  ::unlink(path.c_str());
}

TEST_CASE("a socket path that is too long is told with both lengths") {
  auto fd = listen_unix("/tmp/" + std::string(200, 'x'), 8, {});
  REQUIRE(fd.has_error());
  CHECK(fd.error().code == ENAMETOOLONG);
  CHECK(fd.error().what.find("205 bytes, 107 are possible") != std::string::npos);
}

TEST_CASE("the queue of a UNIX socket is the number of connections that wait") {
  const TempDir dir;
  const std::string path = dir.path + "/s";
  auto listener = listen_unix(path, 16, {});
  REQUIRE(listener.has_value());
  CHECK(listen_queue_length(listener->get()) == 0U);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(connect_unix(path));
  CHECK(listen_queue_length(listener->get()) == 5U);
  const UniqueFd taken(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(listen_queue_length(listener->get()) == 4U);
  ::unlink(path.c_str());
}

TEST_CASE("the queue of a TCP socket is the number of connections that wait") {
  auto listener = listen_tcp("127.0.0.1", 0, 16);
  REQUIRE(listener.has_value());
  sockaddr_in address{};
  socklen_t length = sizeof address;
  REQUIRE(::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(waiting.back().get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  }
  CHECK(listen_queue_length(listener->get()) == 3U);
}

TEST_CASE("a socket file is removed only while it is still the same") {
  const TempDir dir;
  const std::string path = dir.path + "/s";
  auto first = listen_unix(path, 8, {});
  const auto id = file_id(path);
  REQUIRE(id.has_value());
  // A second file beside the first, then renamed over it: the inode is another for certain.
  auto second = listen_unix(path + "2", 8, {});
  REQUIRE(::rename((path + "2").c_str(), path.c_str()) == 0);
  unlink_if_same(path, *id);
  CHECK(file_id(path).has_value());
  unlink_if_same(path, *file_id(path));
  CHECK_FALSE(file_id(path).has_value());
}

TEST_CASE("peers are shown as php-fpm shows them") {
  char text[46];
  sockaddr_storage peer{};
  peer.ss_family = AF_UNIX;
  peer_text(peer, text);
  CHECK(std::string(text) == "-");
  auto& v6 = reinterpret_cast<sockaddr_in6&>(peer);
  v6.sin6_family = AF_INET6;
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
  v6.sin6_addr.s6_addr[12] = 127;
  v6.sin6_addr.s6_addr[15] = 1;
  peer_text(peer, text);
  CHECK(std::string(text) == "127.0.0.1");
}
