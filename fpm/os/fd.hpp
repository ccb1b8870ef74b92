// Owning file descriptors.
#pragma once

#include <cstddef>
#include <utility>

#include "fpm/os/error.hpp"

namespace fpm::os {

/// The one owner of a file descriptor; closes it at the end of its life. Everything that opens a
/// descriptor in this program returns one of these, with close-on-exec set from birth.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  /// The descriptor, borrowed; -1 when there is none.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Gives the descriptor up without closing it.
  int release() { return std::exchange(fd_, -1); }
  /// Closes what is held and takes `fd` instead. Keeps errno.
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// Both ends of a pipe: bytes written to `write` come out of `read`.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

/// pipe2(O_CLOEXEC | flags). Blocking unless flags has O_NONBLOCK. Source: pipe(2).
Result<Pipe> make_pipe(int flags = 0);

/// A connected pair of UNIX sockets of the given type (SOCK_SEQPACKET, SOCK_STREAM, ...), close on
/// exec. Source: socketpair(2).
Result<std::pair<UniqueFd, UniqueFd>> make_socketpair(int type);

/// A SOCK_SEQPACKET pair for two event loops: neither end blocks, and `first` has room for as many packets
/// as the system allows, up to 1 MB: fewer rounds with thousands of pools.
Result<std::pair<UniqueFd, UniqueFd>> make_packet_pair();

/// fcntl(F_DUPFD_CLOEXEC): a second descriptor for the same open file, with its own owner.
Result<UniqueFd> duplicate(int fd);

/// Sets or clears O_NONBLOCK of the open file (shared by every descriptor of it).
Result<void> set_nonblocking(int fd, bool on);

/// O_NONBLOCK of an open file that blocks, for the life of the object. Source: ioctl(2) FIONBIO.
class NonBlocking {
 public:
  explicit NonBlocking(int fd);
  ~NonBlocking();
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;

 private:
  int fd_;
};

/// How many bytes a pipe holds; 0 if `fd` is none. Source: fcntl(2) F_GETPIPE_SZ.
std::size_t pipe_size(int fd);
/// Makes a pipe hold more, if the system lets it (pipe(7), pipe-max-size, pipe-user-pages-soft).
/// @return what it holds then. Source: fcntl(2) F_SETPIPE_SZ.
std::size_t widen_pipe(int fd, std::size_t bytes);

}  // namespace fpm::os
