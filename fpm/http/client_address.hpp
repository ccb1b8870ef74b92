// Who the client is, behind proxies that are trusted. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fpm/http/head.hpp"
#include "fpm/os/allowed_clients.hpp"

namespace fpm::http {

/// http.trusted_proxies and http.real_ip_header.
class TrustedProxies {
 public:
  TrustedProxies(const std::vector<std::string>& networks, std::string header);

  /// The address of the client: `peer` itself, unless that is trusted and the header names another.
  /// Of a list, as in X-Forwarded-For, the last address that is not itself trusted; what is no
  /// address ends the search.
  std::string client(std::string_view peer, const Head& head) const;
  /// What that peer says of its client is believed.
  bool trusts(std::string_view peer) const;

 private:

  bool used_;
  std::string header_;
  os::AllowedClients networks_;
};

/// 127.0.0.0/8, ::1, or a UNIX socket ("unix:").
bool is_this_machine(std::string_view address);

/// The request has come through a proxy, as far as it says so.
bool is_forwarded(const Head& head);

}  // namespace fpm::http
