#include "fpm/reporter/wait_history.hpp"

namespace fpm::reporter {

namespace {

/// Changes whenever a queue wait may have been recorded.
std::uint64_t requests_of(const scoreboard::Totals& totals) {
  std::uint64_t sum = totals.accepted.load(std::memory_order_relaxed);
  for (const auto& number : totals.rejected) sum += number.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace

void WaitHistory::sample(Time now, const scoreboard::Totals& totals) {
  const std::uint64_t requests = requests_of(totals);
  if (entries_.empty() || requests != requests_) {
    entries_.push_back({now, scoreboard::copy(totals.queue_wait)});
    requests_ = requests;
  }
  while (entries_.size() > 1 && now - entries_[1].at >= kSpan) entries_.pop_front();
}

scoreboard::HistogramSnapshot WaitHistory::recent(Time now,
                                                  const scoreboard::Totals& totals) const {
  const scoreboard::HistogramSnapshot current = scoreboard::copy(totals.queue_wait);
  if (entries_.empty()) return {};
  const Entry* base = &entries_.front();
  for (const Entry& entry : entries_) {
    if (now - entry.at >= kSpan) base = &entry;
  }
  return current.since(base->waits);
}

}  // namespace fpm::reporter
