#include "fpm/http/pool_links.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace fpm::http {

namespace {

constexpr std::chrono::seconds kLongest{1};

/// Nothing has come, not even the end.
bool is_silent(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

}  // namespace

std::optional<PoolLinks::Link> PoolLinks::take() {
  while (!waiting_.empty()) {
    Link link = std::move(waiting_.back().link);
    waiting_.pop_back();
    descriptors_.give_back();
    if (is_silent(link.native_handle())) return link;
  }
  return std::nullopt;
}

void PoolLinks::give(Link link) {
  if (waiting_.size() >= most_ || !descriptors_.try_take()) return;
  waiting_.push_back({std::move(link), Clock::now()});
}

void PoolLinks::expire(Clock::time_point now) {
  const auto kept = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Waiting& one) { return now - one.since < kLongest; });
  drop_first(static_cast<std::size_t>(kept - waiting_.begin()));
}

void PoolLinks::clear() { drop_first(waiting_.size()); }

void PoolLinks::drop_first(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) descriptors_.give_back();
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace fpm::http
