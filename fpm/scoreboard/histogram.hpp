// Durations as counts in fixed buckets: many writers, no lock, merged by addition.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fpm::scoreboard {

/// Upper bounds of the buckets in microseconds, ascending: ten steps a decade from 10 us to 100 s.
/// What is longer goes into one more bucket without a bound.
inline constexpr std::array<std::uint64_t, 10> kSteps{10, 12, 15, 20, 25, 30, 40, 50, 60, 80};
inline constexpr std::size_t kDecades = 7;
inline constexpr std::size_t kBounds = kSteps.size() * kDecades + 1;

constexpr std::array<std::uint64_t, kBounds> make_bounds() {
  std::array<std::uint64_t, kBounds> bounds{};
  std::uint64_t scale = 1;
  for (std::size_t decade = 0; decade < kDecades; ++decade, scale *= 10) {
    for (std::size_t i = 0; i < kSteps.size(); ++i) {
      bounds[decade * kSteps.size() + i] = kSteps[i] * scale;
    }
  }
  bounds[kBounds - 1] = 10 * scale;
  return bounds;
}
inline constexpr std::array<std::uint64_t, kBounds> kBucketBounds = make_bounds();
static_assert(kBucketBounds.back() == 100'000'000);

/// Lies in shared memory; zeroed memory is an empty histogram. A killed worker loses one count.
struct Histogram {
  std::array<std::atomic<std::uint64_t>, kBounds + 1> counts;
  std::atomic<std::uint64_t> sum_us;

  /// Counts one duration: it belongs to the first bucket whose bound it does not exceed.
  void record(std::chrono::nanoseconds duration);
};

/// A histogram at one moment.
struct HistogramSnapshot {
  std::array<std::uint64_t, kBounds + 1> counts{};
  std::uint64_t sum_us = 0;

  /// How many durations were recorded. Bounded like every number that is read from shared memory.
  std::uint64_t count() const;
  /// The duration that the share `q` (0 to 1) of all does not exceed: interpolated in its bucket,
  /// the last bound for what is longer; 0 without any.
  std::chrono::microseconds percentile(double q) const;
  /// How many did not exceed `bound_us`, which is one of kBucketBounds.
  std::uint64_t up_to(std::uint64_t bound_us) const;
  /// What was recorded since an `earlier` snapshot of the same histogram; a bucket that shrank
  /// counts as empty.
  HistogramSnapshot since(const HistogramSnapshot& earlier) const;
};

HistogramSnapshot copy(const Histogram& histogram);

}  // namespace fpm::scoreboard
