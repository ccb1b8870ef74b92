#include "fpm/scoreboard/histogram.hpp"

#include <algorithm>

namespace fpm::scoreboard {

void Histogram::record(std::chrono::nanoseconds duration) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count() / 1000));
  const auto bucket = std::lower_bound(kBucketBounds.begin(), kBucketBounds.end(), us);
  counts[static_cast<std::size_t>(bucket - kBucketBounds.begin())].fetch_add(
      1, std::memory_order_relaxed);
  sum_us.fetch_add(us, std::memory_order_relaxed);
}

std::uint64_t HistogramSnapshot::count() const {
  std::uint64_t all = 0;
  for (const std::uint64_t one : counts) all += one;
  return all;
}

std::chrono::microseconds HistogramSnapshot::percentile(double q) const {
  const std::uint64_t all = count();
  if (all == 0) return {};
  const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(all);
  double before = 0;
  for (std::size_t i = 0; i < kBounds; ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && before + here >= wanted) {
      const double low = i == 0 ? 0 : static_cast<double>(kBucketBounds[i - 1]);
      const double width = static_cast<double>(kBucketBounds[i]) - low;
      return std::chrono::microseconds(
          static_cast<std::int64_t>(low + width * (wanted - before) / here));
    }
    before += here;
  }
  return std::chrono::microseconds(static_cast<std::int64_t>(kBucketBounds.back()));
}

std::uint64_t HistogramSnapshot::up_to(std::uint64_t bound_us) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBounds && kBucketBounds[i] <= bound_us; ++i) sum += counts[i];
  return sum;
}

HistogramSnapshot HistogramSnapshot::since(const HistogramSnapshot& earlier) const {
  HistogramSnapshot difference;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    difference.counts[i] = counts[i] - std::min(counts[i], earlier.counts[i]);
  }
  difference.sum_us = sum_us - std::min(sum_us, earlier.sum_us);
  return difference;
}

HistogramSnapshot copy(const Histogram& histogram) {
  // A worker may have scribbled there: sums of all buckets must still fit.
  constexpr std::uint64_t kMost = ~std::uint64_t{0} / (kBounds + 2);
  HistogramSnapshot seen;
  for (std::size_t i = 0; i < seen.counts.size(); ++i) {
    seen.counts[i] = std::min(histogram.counts[i].load(std::memory_order_relaxed), kMost);
  }
  seen.sum_us = histogram.sum_us.load(std::memory_order_relaxed);
  return seen;
}

}  // namespace fpm::scoreboard
