// The sockets that pools listen on: opened at start, closed and unlinked at the end.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/os/socket.hpp"

namespace fpm::master {

/// A pool's listening socket. Its file is removed with it, if it is still the same file.
class Listener {
 public:
  /// Opens what the pool's listen* directives ask for. `identity` gives the owner that an unset
  /// listen.owner means. Blocks on name service for names.
  static os::Result<Listener> open(const config::Pool& pool);

  Listener() = default;
  Listener(Listener&& other) noexcept
      : fd_(std::move(other.fd_)),
        path_(std::move(other.path_)),
        file_(std::exchange(other.file_, std::nullopt)) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener() { unlink(); }

  int fd() const { return fd_.get(); }
  /// Removes the socket's file, so that no new client finds it; those in the queue stay.
  void unlink();

 private:
  os::UniqueFd fd_;
  std::string path_;
  std::optional<os::FileId> file_;
};

}  // namespace fpm::master
