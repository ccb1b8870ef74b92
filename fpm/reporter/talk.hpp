// The two languages of the reporter, as machines without I/O: bytes in, bytes out.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fpm/reporter/pages.hpp"

namespace fpm::reporter {

/// Gives the page for a request.
using Answer = std::function<Page(const Ask&)>;

/// One connection's side of a protocol. Memory is bounded by one answer and a few KiB of input.
class Talk {
 public:
  virtual ~Talk() = default;

  /// Takes what has arrived. To be called only while pending() is empty, so that a client that does
  /// not read its answers cannot ask for more.
  virtual void take(std::string_view bytes) = 0;
  /// What is to be sent now; ends with the next call of take() or sent().
  virtual std::string_view pending() const = 0;
  /// The first `bytes` of pending() have been sent. May answer the next request, which has arrived
  /// already.
  virtual void sent(std::size_t bytes) = 0;

  /// Nothing is taken any more: when pending() is empty, the connection is to be closed.
  virtual bool over() const = 0;
  /// Between two requests: nothing of the next has arrived.
  virtual bool idle() const = 0;
  /// Bytes of answers that are held.
  virtual std::size_t held() const = 0;
};

/// HTTP/1.0 and 1.1: GET and HEAD without a body, connections are kept. Headers of more than 8 KiB
/// are answered with 431, a body with 413, what is no HTTP with 400; all three end the connection.
std::unique_ptr<Talk> talk_http(Answer answer);

/// FastCGI 1.0: one request after the other, connections are kept, GET_VALUES is answered. The path
/// is SCRIPT_NAME. A body is read and dropped.
std::unique_ptr<Talk> talk_fastcgi(Answer answer);

}  // namespace fpm::reporter
