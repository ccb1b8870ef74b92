// The queue wait of a pool's last seconds, from totals that only ever grow.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

#include "fpm/scoreboard/ledger.hpp"

namespace fpm::reporter {

/// Keeps what the histogram was in the last 10 s, in steps of the calls of sample(). A pool without
/// requests costs a look at one number a step, and no memory but its last state.
class WaitHistory {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kSpan{10};

  /// To be called about once a second; the first call sets the beginning.
  void sample(Time now, const scoreboard::Totals& totals);
  /// What was recorded since the last sample that is kSpan old, or since the first.
  scoreboard::HistogramSnapshot recent(Time now, const scoreboard::Totals& totals) const;

 private:
  struct Entry {
    Time at;
    scoreboard::HistogramSnapshot waits;
  };

  std::deque<Entry> entries_;  // the oldest first; one of them may be older than kSpan
  std::uint64_t requests_ = 0;
};

}  // namespace fpm::reporter
