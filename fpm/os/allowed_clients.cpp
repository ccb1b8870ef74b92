#include "fpm/os/allowed_clients.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace fpm::os {

namespace {

using Address = std::array<std::uint8_t, 16>;

Address mapped(const in_addr& v4) {
  Address bytes{};
  bytes[10] = bytes[11] = 0xff;
  const auto* four = reinterpret_cast<const std::uint8_t*>(&v4);
  std::copy_n(four, 4, bytes.begin() + 12);
  return bytes;
}

Address plain(const in6_addr& v6) {
  Address bytes{};
  std::copy_n(v6.s6_addr, 16, bytes.begin());
  return bytes;
}

bool same_bits(const Address& one, const Address& other, int bits) {
  for (std::size_t i = 0; i < one.size() && bits > 0; ++i, bits -= 8) {
    const int mask = bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
    if (((one[i] ^ other[i]) & mask) != 0) return false;
  }
  return true;
}

}  // namespace

AllowedClients::AllowedClients(const std::vector<std::string>& entries)
    : everybody_(entries.empty()) {
  for (const std::string& entry : entries) {
    const std::size_t slash = entry.find('/');
    const std::string host = entry.substr(0, slash);
    Network network;
    in_addr v4{};
    in6_addr v6{};
    int offset = 0;
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
      network.address = mapped(v4);
      offset = 96;
    } else if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
      network.address = plain(v6);
    } else {
      continue;
    }
    if (slash != std::string::npos) {
      int bits = 0;
      std::from_chars(entry.data() + slash + 1, entry.data() + entry.size(), bits);
      network.bits = std::clamp(bits + offset, 0, 128);
    }
    networks_.push_back(network);
  }
}

bool AllowedClients::allows(const sockaddr_storage& peer) const {
  if (everybody_) return true;
  Address address{};
  if (peer.ss_family == AF_INET) {
    address = mapped(reinterpret_cast<const sockaddr_in&>(peer).sin_addr);
  } else if (peer.ss_family == AF_INET6) {
    address = plain(reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr);
  } else {
    return true;
  }
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    return same_bits(network.address, address, network.bits);
  });
}

}  // namespace fpm::os
