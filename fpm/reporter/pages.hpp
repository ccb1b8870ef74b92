// Which page a request asks for. No I/O: HTTP and FastCGI ask in the same way.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "fpm/reporter/view.hpp"

namespace fpm::reporter {

/// A request. The views last for the call.
struct Ask {
  std::string_view method;
  std::string_view path;  ///< as sent, before `?`
  std::string_view query;
};

/// An answer. Without a body for HEAD: that is for who sends it.
struct Page {
  int status = 200;
  std::string type = "text/plain;charset=UTF-8";
  std::string_view policy = {};  ///< Content-Security-Policy; empty: none
  std::string body = {};
  std::string_view type_header = "Content-type";
  bool type_first = false;  ///< before the lines for caches: php-fpm's ping

  /// "Not Found" and the like.
  std::string_view reason() const;
  /// The header block of a CGI response, which HTTP can use as it is behind its own first lines:
  /// php-fpm's lines, so that proxies do not keep what is true for a moment only.
  std::string head() const;
};

/// What status.listen answers:
///   /             a page for a browser
///   /status       all pools, JSON; ?full: with their workers
///   /status/POOL  one pool as its own page shows it: JSON, or ?text, ?html, ?xml, ?openmetrics
///   /metrics      OpenMetrics; ?full: each worker too
///   /ready        200 or 503, one line a pool
///   /ping         pong
/// ?pool=NAME limits /status, /metrics and /ready to that pool.
Page general_page(View& view, const Ask& ask, View::Time now);

/// What a pool's pm.status_listen answers: pm.status_path (/ if unset) and ping.path, byte for byte
/// what a worker of the pool would, and with `extended` also what the pool's door does; all else is 404.
Page pool_page(View& view, std::string_view pool, const Ask& ask);

}  // namespace fpm::reporter
