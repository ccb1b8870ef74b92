// How long a pool whose workers cannot start waits before it tries again. Pure.
#pragma once

#include <chrono>

namespace fpm::policy {

/// Doubling delays: none before the first start, then 250 ms, 500 ms, ... up to 30 s. php-fpm starts
/// 1,600 workers a second when they fail (GH-9632); this costs four in the first two seconds.
class Backoff {
 public:
  /// A start failed. @return how long to wait before the next.
  std::chrono::milliseconds failed();
  /// A worker became ready: the next failure is a first one again.
  void succeeded() { failures_ = 0; }

  /// Starts that failed in a row.
  int failures() const { return failures_; }
  /// Whether this failure is worth a line: the 1st, 2nd, 4th, 8th, ... and then every 16th.
  bool worth_a_line() const;

 private:
  int failures_ = 0;
};

}  // namespace fpm::policy
