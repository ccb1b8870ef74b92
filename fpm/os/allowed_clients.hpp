// listen.allowed_clients: who may connect over TCP.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace fpm::os {

/// Addresses and networks. An empty list allows everybody; UNIX peers are always allowed, since
/// the socket's file says who may connect.
class AllowedClients {
 public:
  /// `entries` were checked by the configuration: what cannot be read is left out here.
  explicit AllowedClients(const std::vector<std::string>& entries);

  bool allows(const sockaddr_storage& peer) const;

 private:
  /// An address of either family as 16 bytes (v4 mapped), and how many bits of it count.
  struct Network {
    std::array<std::uint8_t, 16> address{};
    int bits = 128;
  };

  bool everybody_;
  std::vector<Network> networks_;
};

}  // namespace fpm::os
