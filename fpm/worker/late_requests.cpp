#include "fpm/worker/late_requests.hpp"

#include "fpm/log/log.hpp"

namespace fpm::worker {

void LateRequests::slow(const log::LateRequest& request, std::string_view request_id,
                        std::span<const std::string> frames) {
  totals_.slow.fetch_add(1, std::memory_order_relaxed);
  channel_.follow(access_log_);
  log::write_about(log::Level::warning, {.pool = pool_.name, .request_id = request_id},
                   log::late_line(request, log::Lateness::slow));
  slow_log_.write({.pool = pool_.name,
                   .pid = request.pid,
                   .script = request.script,
                   .frames = frames});
}

void LateRequests::overdue(const log::LateRequest& request, std::string_view request_id) {
  totals_.timed_out.fetch_add(1, std::memory_order_relaxed);
  channel_.follow(access_log_);
  log::write_about(log::Level::warning, {.pool = pool_.name, .request_id = request_id},
                   log::late_line(request, log::Lateness::overdue));
}

}  // namespace fpm::worker
