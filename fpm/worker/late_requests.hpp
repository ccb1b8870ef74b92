// What a worker does about requests that are slow or whose time is up, beside ending them: it tells
// and counts them.
#pragma once

#include <span>
#include <string>

#include "fpm/config/config.hpp"
#include "fpm/log/slow_log.hpp"
#include "fpm/scoreboard/ledger.hpp"
#include "fpm/worker/log_channel.hpp"

namespace fpm::worker {

class LateRequests {
 public:
  /// All are borrowed. `channel` brings new files of the logs before a line is written.
  LateRequests(const config::Pool& pool, scoreboard::Totals& totals, LogChannel& channel,
               AccessLog& access_log, log::SlowLog& slow_log)
      : pool_(pool),
        totals_(totals),
        channel_(channel),
        access_log_(access_log),
        slow_log_(slow_log) {}

  /// An entry in the slow log, a line in the log.
  void slow(const log::LateRequest& request, std::string_view request_id,
            std::span<const std::string> frames);
  /// A line in the log.
  void overdue(const log::LateRequest& request, std::string_view request_id);

 private:
  const config::Pool& pool_;
  scoreboard::Totals& totals_;
  LogChannel& channel_;
  AccessLog& access_log_;
  log::SlowLog& slow_log_;
};

}  // namespace fpm::worker
