#include "server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "fcgi/parser.hpp"
#include "fcgi/writer.hpp"

namespace server {

TempFolder::TempFolder() {
  char name[] = "/tmp/fcgi-test-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TempFolder::~TempFolder() { std::filesystem::remove_all(path_); }

Listener::Listener(Kind kind) {
  const bool tcp = kind == Kind::tcp;
  fd_ = ::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const std::string path = folder_.file("s");
  path.copy(local.sun_path, sizeof local.sun_path - 1);
  const auto* const address =
      tcp ? reinterpret_cast<sockaddr*>(&inet) : reinterpret_cast<sockaddr*>(&local);
  socklen_t length = tcp ? sizeof inet : sizeof local;
  if (fd_ < 0 || ::bind(fd_, address, length) < 0 || ::listen(fd_, 64) < 0) {
    throw std::runtime_error("listen");
  }
  if (tcp) ::getsockname(fd_, reinterpret_cast<sockaddr*>(&inet), &length);
  address_ = tcp ? "127.0.0.1:" + std::to_string(ntohs(inet.sin_port)) : "unix:" + path;
}

Listener::~Listener() { ::close(fd_); }

Server::Server(Listener& listener, int connections, std::function<void(int fd)> serve)
    : listener_(listener), thread_([&listener, connections, serve = std::move(serve)] {
        for (int i = 0; i < connections; ++i) {
          pollfd wait{listener.fd(), POLLIN, 0};
          if (::poll(&wait, 1, 10'000) <= 0) return;
          const int fd = ::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
          if (fd < 0) return;
          serve(fd);
          ::close(fd);
        }
      }) {}

Server::~Server() { thread_.join(); }

void drain(int fd) {
  char buffer[65536];
  while (::recv(fd, buffer, sizeof buffer, 0) > 0) {
  }
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string receive_request(int fd) {
  fcgi::RequestParser parser;
  std::string all;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return all;
    std::string_view input(buffer, static_cast<std::size_t>(got));
    all.append(input);
    while (!input.empty()) {
      if (parser.next(input).kind == fcgi::Event::Kind::stdin_end) return all;
    }
  }
}

std::string answer(std::string_view out, std::string_view err, std::uint32_t app_status) {
  std::vector<char> buffer(out.size() + err.size() + 4096);
  fcgi::ResponseWriter writer(buffer);
  writer.start(1);
  writer.err(err);
  writer.out(out);
  writer.end(app_status);
  return std::string(writer.pending());
}

}  // namespace server
