// The access log's line of a request that was killed or lost with its worker, written by the
// master from what the worker had put into its slot. php-fpm writes none.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>

#include "fpm/log/access_format.hpp"

namespace fpm::log {

/// What is known of the request. The views are borrowed for the call; empty: not known.
struct LostRequest {
  std::string_view pool{};
  std::string_view remote{};  ///< address of the FastCGI peer; empty or "-" for a UNIX socket
  std::string_view method{};
  std::string_view uri{};
  std::string_view query{};
  std::string_view script{};
  std::string_view user{};
  std::string_view request_id{};
  std::uint64_t content_length = 0;
  std::uint64_t bytes_sent = 0;
  int status = 0;  ///< 504 if that was sent for it, else what its worker began, 0: nothing
  pid_t pid = 0;
  pid_t master_pid = 0;
  std::chrono::microseconds duration{};  ///< until now
  RequestEnd end = RequestEnd::worker_died;
};

/// The line as `format` shows it, into `buffer` (1 KiB or more). Parameters and headers are gone
/// with the worker: %{NAME}e and %{Name}o are `-`, %C is 0.00, %M is 0. `now` is the moment of
/// %T; %t is `duration` before it.
AccessFormat::Line render_lost(const AccessFormat& format, const LostRequest& request,
                               std::chrono::system_clock::time_point now, std::span<char> buffer);

/// Writes that line to the access log `fd`, borrowed, if that is 0 or more. One try that does not
/// wait for a reader. @return it was written, or there is none to write.
bool write_lost_request(int fd, const AccessFormat& format, const LostRequest& request);

}  // namespace fpm::log
