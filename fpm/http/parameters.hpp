// The parameters of a request to the pool: CGI/1.1's (RFC 3875 §4.1) and those that nginx passes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fcgi/params.hpp"
#include "fpm/http/head.hpp"
#include "fpm/http/target.hpp"

namespace fpm::http {

/// One end of a connection, as text.
struct Endpoint {
  std::string address;  ///< "unix:" for UNIX sockets
  std::uint16_t port = 0;
};

/// What is to be run, for the client of `head`.
struct Passed {
  const Head* head = nullptr;
  std::string_view method;       ///< GET after a local redirect
  std::string_view request_uri;  ///< the target as the client wrote it, which may be in absolute form
  std::string_view query;
  std::string_view root;             ///< DOCUMENT_ROOT as the pool sees it; empty: none
  std::string_view script_filename;  ///< as the pool sees it; empty: none
  std::string_view script_name;
  std::string_view path_info;  ///< empty: none
  std::optional<std::uint64_t> length;  ///< of the body; nothing: there is none
  Endpoint local;
  Endpoint remote;  ///< after http.real_ip_header
  std::string_view authority;  ///< Host, or the target's own
  bool secure = false;
  std::uint64_t queued_at_us = 0;  ///< CLOCK_REALTIME
};

/// Writes them into `params`, which is cleared first. A header becomes HTTP_NAME; left out are those
/// with an underscore in their name (they could pass for others), Proxy (CVE-2016-5385) and those that
/// have a parameter of their own. Of a target in absolute form REQUEST_URI has the path and the query,
/// HTTP_HOST the host. A header that comes twice is joined by ", ", Cookie by "; ".
void set_parameters(const Passed& passed, fcgi::Params& params);

}  // namespace fpm::http
