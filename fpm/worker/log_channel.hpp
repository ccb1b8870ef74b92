// How a running worker learns that its logs were reopened.
#pragma once

#include <atomic>
#include <cstdint>

#include "fpm/log/slow_log.hpp"
#include "fpm/worker/access_log.hpp"

namespace fpm::worker {

/// The worker's end of the channel, read only when shared memory says that there is something: one
/// comparison for each line of the access log, no system call.
class LogChannel {
 public:
  /// `channel`: borrowed, SOCK_SEQPACKET. `generation`: in shared memory, counted up by the master
  /// whenever it has reopened logs. `at_fork`: its value when the master forked this worker, which
  /// has the logs of that generation; to read it here would be too late.
  /// `slow_log`: gets its new file from here, too; null: there is none.
  LogChannel(int channel, const std::atomic<std::uint32_t>& generation, std::uint32_t at_fork,
             log::SlowLog* slow_log = nullptr)
      : channel_(channel), generation_(generation), seen_(at_fork), slow_log_(slow_log) {}

  /// Call before a line is written: takes the logs of a new generation, if they have come, for the
  /// log and for `access_log`. If they have not (the master tries again), the old ones stay for
  /// this line. Does not block.
  void follow(AccessLog& access_log) {
    const std::uint32_t now = generation_.load(std::memory_order_acquire);
    if (now != seen_) take(access_log, now);
  }

 private:
  void take(AccessLog& access_log, std::uint32_t now);

  int channel_;
  const std::atomic<std::uint32_t>& generation_;
  std::uint32_t seen_;
  log::SlowLog* slow_log_;
};

}  // namespace fpm::worker
