#include "fpm/worker/log_channel.hpp"

#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/log/new_logs.hpp"

namespace fpm::worker {

void LogChannel::take(AccessLog& access_log, std::uint32_t now) {
  // Several, if this worker was idle for longer than one rotation; the last one counts.
  while (seen_ != now) {
    auto logs = log::receive_new_logs(channel_);
    if (!logs) {
      // EAGAIN: the master comes to it. Else the packet is lost (EMSGSIZE: no room below
      // RLIMIT_NOFILE) or the master is gone, and asking again with every line would not mend it.
      if (logs.error().code != EAGAIN) seen_ = now;
      return;
    }
    if (logs->log) log::use_descriptor(std::move(logs->log));
    if (logs->access_log) access_log.use(std::move(logs->access_log));
    if (logs->slow_log && slow_log_ != nullptr) slow_log_->use(std::move(logs->slow_log));
    log::use_output_descriptor(access_log.pool(), std::move(logs->output_log));
    seen_ = logs->generation;
  }
}

}  // namespace fpm::worker
