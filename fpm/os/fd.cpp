#include "fpm/os/fd.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace fpm::os {

void UniqueFd::reset(int fd) {
  const int old = std::exchange(fd_, fd);
  if (old < 0 || old == fd) return;
  const int saved = errno;
  ::close(old);  // never retried: on Linux the descriptor is gone even after EINTR (close(2))
  errno = saved;
}

Result<Pipe> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | flags) < 0) return last_error("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<std::pair<UniqueFd, UniqueFd>> make_socketpair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0) return last_error("socketpair");
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<std::pair<UniqueFd, UniqueFd>> make_packet_pair() {
  auto ends = make_socketpair(SOCK_SEQPACKET);
  if (!ends) return ends;
  for (const UniqueFd* const end : {&ends->first, &ends->second}) {
    if (const auto done = set_nonblocking(end->get(), true); !done) return done.error();
  }
  constexpr int kRoom = 1 << 20;
  ::setsockopt(ends->first.get(), SOL_SOCKET, SO_SNDBUF, &kRoom, sizeof kRoom);
  return ends;
}

Result<UniqueFd> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return last_error("fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(copy);
}

Result<void> set_nonblocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return last_error("fcntl F_GETFL");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) < 0) return last_error("fcntl F_SETFL");
  return {};
}

NonBlocking::NonBlocking(int fd) : fd_(fd) {
  int on = 1;
  ::ioctl(fd_, FIONBIO, &on);
}

NonBlocking::~NonBlocking() {
  const int saved = errno;
  int off = 0;
  ::ioctl(fd_, FIONBIO, &off);
  errno = saved;
}

std::size_t pipe_size(int fd) {
  const int size = ::fcntl(fd, F_GETPIPE_SZ);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

std::size_t widen_pipe(int fd, std::size_t bytes) {
  const std::size_t size = pipe_size(fd);
  if (size >= bytes || ::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(bytes)) < 0) return size;
  return pipe_size(fd);
}

}  // namespace fpm::os
