#include "fpm/policy/backoff.hpp"

#include <algorithm>

namespace fpm::policy {

namespace {
constexpr std::chrono::milliseconds kFirst{250};
constexpr std::chrono::milliseconds kLongest{30'000};
}  // namespace

std::chrono::milliseconds Backoff::failed() {
  const int doublings = std::min(failures_, 7);
  failures_ = std::min(failures_ + 1, 1'000'000);
  return std::min(kLongest, kFirst * (1 << doublings));
}

bool Backoff::worth_a_line() const {
  if (failures_ >= 16) return failures_ % 16 == 0;
  return (failures_ & (failures_ - 1)) == 0;
}

}  // namespace fpm::policy
