// Where the server listens.
#pragma once

#include <sys/socket.h>

#include <string>

namespace fcgi_bench {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  bool tcp = false;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// "/path", "unix:/path", "host:port" or "[v6]:port". Blocks while a name is looked up.
/// @throws std::runtime_error with the reason in one line.
Address resolve(const std::string& text);

}  // namespace fcgi_bench
