#include "tools/fcgi_bench/waiter.hpp"

#include <algorithm>
#include <stdexcept>

namespace fcgi_bench {

namespace {

constexpr std::size_t kMostPolled = 16;
constexpr std::size_t kEventsAtOnce = 256;

}  // namespace

Waiter::Waiter(std::size_t clients, bool kept) {
  ready_.reserve(std::max(clients, kEventsAtOnce));
  if (!kept && clients <= kMostPolled) {
    polled_.resize(clients, pollfd{.fd = -1, .events = 0, .revents = 0});
    return;
  }
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) throw std::runtime_error("epoll_create1: no descriptor is free");
  wanted_.resize(clients);
  events_.resize(kEventsAtOnce);
}

void Waiter::watch(std::size_t client, int fd, bool out) {
  if (!epoll_) {
    polled_[client].fd = fd;
    polled_[client].events = static_cast<short>(out ? POLLIN | POLLOUT : POLLIN);
    return;
  }
  const std::uint32_t wanted = EPOLLIN | EPOLLRDHUP | (out ? EPOLLOUT : 0U);
  if (wanted_[client] == wanted) return;
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = client;
  const int what = wanted_[client] == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), what, fd, &event) < 0) throw std::runtime_error("epoll_ctl");
  wanted_[client] = wanted;
}

void Waiter::forget(std::size_t client) {
  if (epoll_) {
    wanted_[client] = 0;  // its close takes it out of the set
  } else {
    polled_[client].fd = -1;
  }
}

std::span<const Waiter::Ready> Waiter::wait(std::chrono::nanoseconds longest) {
  constexpr long kSecond = 1'000'000'000;
  const timespec limit{.tv_sec = longest.count() / kSecond, .tv_nsec = longest.count() % kSecond};
  ready_.clear();
  if (epoll_) {
    take_events(limit);
  } else {
    take_polled(limit);
  }
  return ready_;
}

void Waiter::take_events(const timespec& longest) {
  const int count = ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                   &longest, nullptr);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    ready_.push_back({static_cast<std::size_t>(event.data.u64), (event.events & ~EPOLLOUT) != 0,
                      (event.events & EPOLLOUT) != 0,
                      (event.events & (EPOLLRDHUP | EPOLLHUP)) != 0});
  }
}

void Waiter::take_polled(const timespec& longest) {
  if (::ppoll(polled_.data(), polled_.size(), &longest, nullptr) <= 0) return;
  for (std::size_t i = 0; i < polled_.size(); ++i) {
    const short events = polled_[i].revents;
    if (polled_[i].fd < 0 || events == 0) continue;
    ready_.push_back({i, (events & ~POLLOUT) != 0, (events & POLLOUT) != 0, false});
  }
}

}  // namespace fcgi_bench
