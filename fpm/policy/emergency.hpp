// When so many workers crash that the service is to be reloaded as a whole. Pure.
#pragma once

#include <chrono>
#include <deque>

namespace fpm::policy {

/// emergency_restart_threshold crashes, of all pools together, within emergency_restart_interval:
/// memory that workers share, such as an opcode cache, is then thought to be damaged. A crash is a
/// death by SIGSEGV or SIGBUS, as in php-fpm; one by SIGABRT or SIGKILL is not.
class EmergencyRestart {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Either of them 0 or less: never.
  EmergencyRestart(int threshold, std::chrono::milliseconds interval)
      : threshold_(threshold), interval_(interval) {}

  /// A worker has ended; `signal` is what ended it, 0: it exited. Ends are told in the order of
  /// their times. @return reload now; the count begins anew.
  bool worker_ended(int signal, TimePoint now);

 private:
  int threshold_;
  std::chrono::milliseconds interval_;
  std::deque<TimePoint> crashes_;  // of the last interval, at most `threshold_`
};

}  // namespace fpm::policy
