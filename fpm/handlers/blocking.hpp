// A request for code that runs in the worker itself and expects calls that block: a module, PHP.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <span>

#include "fpm/handlers/handler.hpp"

namespace fpm::handlers {

/// Reads the body and writes the answer of an Exchange, waiting where it has to: for the client to
/// send, for room. Every wait ends with the request's deadline, when the client is gone, and, while
/// it waits for the body, with request_body_timeout. Costs no system call when nothing has to be
/// waited for, and uses nothing of the worker but the Exchange.
class Blocking {
 public:
  /// Why a wait was given up.
  enum class Stop {
    none,
    client,    ///< the client went away
    deadline,  ///< the request's time is over, or the worker has to end
    body,      ///< the client sent nothing of its body for request_body_timeout
  };

  /// `body_timeout`: longest pause in the body, 0 for none.
  Blocking(Exchange& exchange, std::chrono::milliseconds body_timeout)
      : exchange_(exchange), body_timeout_(body_timeout) {}

  /// Some bytes of the body, waiting until there are any. @return how many were copied to `out`; 0 at
  /// the end of the body, or if stop() says why not.
  std::size_t read(std::span<char> out);
  /// Waits until a piece of the body is in exchange.body(), which the caller consumes itself. @return
  /// false at its end, or if stop() says why not.
  bool wait_for_body();
  /// Reads over what is left of the body, so that the connection can be kept. @return all was read.
  bool skip_body();

  /// All of `bytes` into the answer, which begin() has begun, waiting for room. @return false if
  /// stop() says why not.
  bool write(std::span<const char> bytes);
  /// Waits until all that was written is with the kernel. @return false if stop() says why not.
  bool flush();

  /// Why a call gave up, the first time; from then on those that would have to wait give up at once.
  Stop stop() const { return stop_; }
  /// What to return from handle() after a stop: answers 504 or 408 where no answer was begun, and tells
  /// the end. `where` says for the log what was being waited for.
  Outcome conclude(std::string_view where);

 private:
  bool sends() const { return (exchange_.events() & POLLOUT) != 0; }
  bool await(bool for_body);

  Exchange& exchange_;
  const std::chrono::milliseconds body_timeout_;
  Stop stop_ = Stop::none;
};

}  // namespace fpm::handlers
