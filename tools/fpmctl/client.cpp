#include "tools/fpmctl/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>

namespace fpmctl {

namespace os = fpm::os;

os::Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return os::Error(ENAMETOOLONG, path);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  Client client;
  client.fd_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!client.fd_) return os::last_error("socket");
  if (::connect(client.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return os::last_error(path);
  }
  return client;
}

os::Result<std::string> Client::ask(const std::string& line, std::chrono::milliseconds patience) {
  if (::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return os::last_error("send");
  }
  std::array<char, 65536> buffer;
  for (;;) {
    if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
      std::string answer = received_.substr(0, end);
      received_.erase(0, end + 1);
      return answer;
    }
    pollfd one{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(patience.count()));
    if (ready < 0 && errno == EINTR) return os::Error(EINTR, "interrupted");
    if (ready == 0) return os::Error(ETIMEDOUT, "the instance does not answer");
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got == 0) return os::Error(ECONNRESET, "the instance has closed the connection");
    if (got < 0) return os::last_error("recv");
    received_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace fpmctl
