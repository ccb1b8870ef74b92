// The last words to a client whose worker does not react any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "fpm/os/fd.hpp"

namespace fpm::master {

/// The FastCGI records of a whole "504 Gateway Timeout" for that request: STDOUT, END_REQUEST. The
/// text is fixed; nothing that a client or a worker wrote goes into it.
std::string gateway_timeout(std::uint16_t request_id);

/// A client's connection, taken from its worker. Nothing here waits.
class Farewell {
 public:
  using Clock = std::chrono::steady_clock;

  /// `connection` is what a worker named: it may be anything.
  /// Errors: ENOTSOCK, and EINVAL if it is no connection of a stream.
  static os::Result<Farewell> to(os::UniqueFd connection, Clock::time_point now);

  /// Sends the 504 and ends the sending side. @return all of it was taken.
  bool answer(std::uint16_t request_id);
  /// Reads over what the client still sends, of which no byte is looked at: closed with unread input
  /// the connection would be reset, and the answer lost. @return it is over: the client has closed
  /// its side, or had its second.
  bool over(Clock::time_point now);

 private:
  Farewell(os::UniqueFd connection, Clock::time_point until)
      : connection_(std::move(connection)), until_(until) {}

  os::UniqueFd connection_;
  Clock::time_point until_;
};

}  // namespace fpm::master
