// What a worker whose code cannot be asked to stop tells its master of the request it is in: it is
// slow, or its time is over. Made in a signal handler, read in the master, which writes the logs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "fpm/log/slow_log.hpp"

namespace fpm::log {

struct LateReport {
  Lateness lateness = Lateness::slow;
  /// What the client of an overdue request has got.
  enum class Answer : std::uint32_t {
    given,    ///< the whole 504
    refused,  ///< it did not take it
    begun,    ///< a part of the application's own answer
    whole,    ///< all of it: the application worked on
  };
  Answer answer = Answer::given;
  LateRequest request;
  std::string_view request_id{};
  std::string_view frames{};  ///< lines, the innermost first; empty: not known
};

/// A packet of this size takes any report.
inline constexpr std::size_t kLateReport = 16 * 1024;

/// The report as one packet; texts are cut to what fits. Async-signal-safe, allocates nothing.
/// @return the bytes used of `packet`, which has room for kLateReport.
std::size_t write_late_report(const LateReport& report, std::span<char> packet) noexcept;

/// @return nothing if the packet is none. The views are of `packet`. Trusts nothing in it.
std::optional<LateReport> read_late_report(std::span<const char> packet);

}  // namespace fpm::log
