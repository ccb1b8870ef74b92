#include "fpm/os/epoll.hpp"

#include <sys/epoll.h>

#include <array>

namespace fpm::os {

namespace {

Result<void> control(int set, int operation, int fd, std::uint32_t events, std::uint64_t tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  if (::epoll_ctl(set, operation, fd, &event) < 0) return last_error("epoll_ctl");
  return {};
}

}  // namespace

Result<Epoll> Epoll::create() {
  Epoll set;
  set.fd_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!set.fd_) return last_error("epoll_create1");
  return set;
}

Result<void> Epoll::watch(int fd, std::uint64_t tag) {
  return control(fd_.get(), EPOLL_CTL_ADD, fd, EPOLLIN, tag);
}

Result<void> Epoll::add_unarmed(int fd, std::uint64_t tag) {
  // With EPOLLONESHOT and no event asked for nothing is reported: EPOLLERR and EPOLLHUP of a
  // listening socket do not occur.
  return control(fd_.get(), EPOLL_CTL_ADD, fd, EPOLLONESHOT, tag);
}

Result<void> Epoll::arm(int fd, std::uint64_t tag) {
  return control(fd_.get(), EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, tag);
}

void Epoll::remove(int fd) { (void)control(fd_.get(), EPOLL_CTL_DEL, fd, 0, 0); }

std::vector<std::uint64_t> Epoll::ready() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), 0);
  std::vector<std::uint64_t> tags;
  for (int i = 0; i < count; ++i) {
    // By value: epoll_event is packed, and a reference into it would be misaligned.
    const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
    tags.push_back(tag);
  }
  return tags;
}

}  // namespace fpm::os
