// What became of the requests. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/fcgi_bench/options.hpp"

namespace fcgi_bench {

/// How a request can fail.
enum class Failure {
  refused,     ///< nobody listens, or the connection is not allowed
  backlog,     ///< the listen queue is full (UNIX: EAGAIN; TCP: no handshake within the timeout)
  reset,       ///< the connection was reset before the answer was complete
  closed,      ///< a kept connection was closed under a request that must not be repeated
  unanswered,  ///< the connection ended without a byte
  truncated,   ///< the answer ended in the middle
  wrong,       ///< not FastCGI, another status, or without the expected text
  timeout,
};
inline constexpr std::size_t kFailures = 8;
std::string_view failure_name(Failure failure);

struct Report {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;  ///< rightly
  std::uint64_t retried = 0;   ///< again, because a kept connection had been closed
  std::uint64_t connections = 0;
  std::array<std::uint64_t, kFailures> failures{};
  std::array<int, kFailures> codes{};       ///< errno of the first failure of the kind; 0: none
  std::vector<std::uint32_t> latencies_us;  ///< of what was answered, in any order
  double seconds = 0;
  double own_cpu_s = 0;
  double server_cpu_s = 0;  ///< of the process trees

  void add(Failure failure, int code);
  std::uint64_t failed() const;
};

/// Microseconds that the share `q` of the latencies does not exceed; sorts them.
std::uint32_t percentile(std::vector<std::uint32_t>& latencies, double q);

std::string as_table(Report& report, const Options& options);
std::string as_json(Report& report, const Options& options);

}  // namespace fcgi_bench
