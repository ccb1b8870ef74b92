#include "fpm/os/inherited.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

namespace fpm::os {

namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
/// php-fpm writes at most so many variables FPM_SOCKETS_n.
constexpr int kVariables = 256;

std::string take_variable(const std::string& name) {
  const char* const found = std::getenv(name.c_str());
  std::string value = found != nullptr ? found : "";
  ::unsetenv(name.c_str());
  return value;
}

std::optional<int> as_number(std::string_view text) {
  int value = 0;
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || stop != text.data() + text.size()) return {};
  return value;
}

/// Calls `use` with each part, empty ones included.
template <class Use>
void split(std::string_view text, char at, Use use) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// "192.0.2.1:80", "::1:80", a path; empty for anything else, as an unnamed or abstract socket.
std::string key_of(const sockaddr_storage& address, socklen_t length) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v6.sin6_port));
  }
  const std::size_t begin = offsetof(sockaddr_un, sun_path);
  if (address.ss_family != AF_UNIX || length <= begin) return {};
  const auto& local = reinterpret_cast<const sockaddr_un&>(address);
  return {local.sun_path, ::strnlen(local.sun_path, length - begin)};
}

std::string bound_key(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) return {};
  return key_of(address, std::min<socklen_t>(length, sizeof address));
}

int option(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

/// Why connections cannot be accepted from it; empty: they can, once it listens.
std::string why_useless(int fd) {
  const int type = option(fd, SO_TYPE);
  if (type < 0) return "it is no socket";
  if (type != SOCK_STREAM) return "it is no stream socket";
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0) {
    return "it is a connection, not a listening socket";
  }
  return {};
}

}  // namespace

InheritedSockets InheritedSockets::from_environment() {
  InheritedSockets inherited;
  inherited.take_listen_fds();
  inherited.take_fpm_sockets();
  return inherited;
}

void InheritedSockets::take_listen_fds() {
  const auto count = as_number(take_variable("LISTEN_FDS"));
  const auto pid = as_number(take_variable("LISTEN_PID"));
  std::vector<std::string> names;
  split(take_variable("LISTEN_FDNAMES"), ':', [&](auto name) { names.emplace_back(name); });
  // Meant for another process: a program that was started by a service, say.
  if (!count || pid != ::getpid()) return;
  for (int i = 0; i < *count; ++i) {
    if (::fcntl(kFirst + i, F_GETFD) < 0) break;
    add(kFirst + i, "", true);
    const auto at = static_cast<std::size_t>(i);
    if (at < names.size() && !names[at].empty()) sockets_.back().name = names[at];
  }
}

void InheritedSockets::take_fpm_sockets() {
  for (int i = 0; i < kVariables; ++i) {
    const std::string value =
        take_variable(i == 0 ? "FPM_SOCKETS" : fmt::format("FPM_SOCKETS_{}", i));
    split(value, ',', [this](std::string_view entry) {
      const std::size_t equals = entry.rfind('=');
      if (equals == std::string_view::npos) return;
      const auto fd = as_number(entry.substr(equals + 1));
      if (fd && *fd >= kFirst) add(*fd, std::string(entry.substr(0, equals)), false);
    });
  }
}

void InheritedSockets::add(int fd, std::string key, bool lent) {
  const auto known = std::find_if(sockets_.begin(), sockets_.end(),
                                  [&](const auto& socket) { return socket.number == fd; });
  if (known != sockets_.end()) {  // told twice, owned once
    known->keys.push_back(std::move(key));
    return;
  }
  InheritedSocket socket;
  socket.number = fd;
  socket.lent = lent;
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
    socket.fd.reset(fd);
    socket.useless = why_useless(fd);
    if (std::string bound = bound_key(fd); !bound.empty()) socket.keys.push_back(std::move(bound));
  } else {
    socket.useless = "there is no such descriptor";
  }
  if (!key.empty()) socket.keys.push_back(std::move(key));
  if (!socket.keys.empty()) socket.name = socket.keys.back();
  sockets_.push_back(std::move(socket));
}

InheritedSocket InheritedSockets::claim(const std::vector<std::string>& keys, int backlog) {
  const auto wanted = [&](const std::string& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  const auto found = std::find_if(sockets_.begin(), sockets_.end(), [&](const auto& socket) {
    return socket.useless.empty() && std::any_of(socket.keys.begin(), socket.keys.end(), wanted);
  });
  if (found == sockets_.end()) return {};
  // Workers wait in a blocking accept.
  (void)set_nonblocking(found->fd.get(), false);
  if (option(found->fd.get(), SO_ACCEPTCONN) == 0) (void)::listen(found->fd.get(), backlog);
  InheritedSocket claimed = std::move(*found);
  sockets_.erase(found);
  return claimed;
}

bool InheritedSockets::has(int fd) const {
  return std::any_of(sockets_.begin(), sockets_.end(),
                     [fd](const auto& socket) { return socket.fd.get() == fd; });
}

std::vector<std::string> socket_keys(const std::string& path) { return {path}; }

std::vector<std::string> socket_keys(const std::string& host, unsigned short port) {
  if (host.empty()) return {fmt::format(":::{}", port), fmt::format("0.0.0.0:{}", port)};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<std::string> keys;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, one->ai_addr, std::min<std::size_t>(one->ai_addrlen, sizeof address));
    keys.push_back(key_of(address, one->ai_addrlen));
  }
  return keys;
}

}  // namespace fpm::os
