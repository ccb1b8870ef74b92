#include "fpm/log/sink.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace fpm::log {
namespace {

// A pipe that polls writable takes so much without blocking, and in one piece (pipe(7)).
constexpr std::size_t kPipeChunk = PIPE_BUF;
// A terminal may poll writable with room for one byte. Less in one write, less often a wait.
constexpr std::size_t kTerminalChunk = 64;

bool ready(int fd, int milliseconds) {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  return ::poll(&entry, 1, milliseconds) == 1;
}

std::uint64_t count_lines(std::string_view bytes) {
  return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

/// Writes without waiting to a descriptor that has to stay blocking.
ssize_t write_shared(int fd, std::string_view bytes) {
  // Non-blocking for this one call: pipes since Linux 6.4; terminals not yet (seen with 6.18).
  const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  const ssize_t written = ::pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
  if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return written;
  if (!ready(fd, 0)) {
    errno = EAGAIN;
    return -1;
  }
  const std::size_t size =
      ::isatty(fd) == 1 ? std::min(bytes.size(), kTerminalChunk) : bytes.size();
  return ::write(fd, bytes.data(), size);
}

/// The write may succeed another time: worth keeping the bytes.
bool passes(int code) {
  return code == EAGAIN || code == ENOSPC || code == EDQUOT || code == EFBIG || code == ENOBUFS;
}

/// The device behind a terminal, also behind /dev/tty.
bool same_terminal(int a, int b) {
  unsigned first = 0;
  unsigned second = 0;
  return ::ioctl(a, TIOCGDEV, &first) == 0 && ::ioctl(b, TIOCGDEV, &second) == 0 && first == second;
}

}  // namespace

void Sink::use(os::UniqueFd fd) {
  forget();
  replace(std::move(fd));
}

void Sink::forget() {
  begin_ = end_ = 0;
  rest_ = {};
  rest_begin_ = 0;
  dropped_ = 0;
  at_line_begin_ = true;
}

void Sink::replace(os::UniqueFd fd) {
  release();
  fd_ = std::move(fd);
  problem_ = 0;
  identify();
}

void Sink::borrow(int fd) {
  use(os::UniqueFd(fd));
  borrowed_ = true;
  kind_ = Kind::shared;
}

void Sink::release() {
  if (borrowed_) fd_.release();
  borrowed_ = false;
}

void Sink::identify() {
  struct stat status {};
  kind_ = Kind::file;
  if (!fd_ || ::fstat(fd_.get(), &status) != 0) return;
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (S_ISSOCK(status.st_mode)) {
    kind_ = Kind::socket;
  } else if (S_ISFIFO(status.st_mode) || ::isatty(fd_.get()) == 1) {
    kind_ = flags >= 0 && (flags & O_NONBLOCK) != 0 ? Kind::own : Kind::shared;
  }
}

void Sink::write(std::string_view line, bool begins) {
  if (!fd_ || line.empty()) return;
  if (begins && !at_line_begin_ && !accept("\n")) return count_dropped(1);
  if (accept(line)) at_line_begin_ = line.back() == '\n';
}

bool Sink::accept(std::string_view bytes) {
  std::size_t done = 0;
  if (flush()) done = put(bytes);
  return done == bytes.size() || keep(bytes.substr(done));
}

bool Sink::flush() {
  if (!rest_.empty()) {
    rest_begin_ += put(std::string_view(rest_).substr(rest_begin_));
    if (rest_begin_ < rest_.size()) return false;
    rest_ = {};
    rest_begin_ = 0;
  }
  if (begin_ == end_) return true;
  const std::string_view bytes(kept_.data() + begin_, end_ - begin_);
  begin_ += put(bytes);
  if (begin_ >= end_) begin_ = end_ = 0;  // also when put() found the sink broken
  return begin_ == end_;
}

std::size_t Sink::put(std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = put_once(bytes.substr(done));
    if (written > 0) {
      done += static_cast<std::size_t>(written);
      continue;
    }
    if (written < 0 && errno == EINTR) continue;
    problem_ = written < 0 ? errno : EAGAIN;
    if (passes(problem_)) return done;
    // The reader is gone for good, or the descriptor is: nothing to keep lines for.
    count_dropped(count_lines(bytes.substr(done)));
    return bytes.size();
  }
  problem_ = 0;
  return done;
}

ssize_t Sink::put_once(std::string_view bytes) const {
  const int fd = fd_.get();
  if (kind_ == Kind::socket) {
    return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  if (kind_ == Kind::file) return ::write(fd, bytes.data(), bytes.size());
  // Whole lines where possible, so that those of several processes do not mix: a pipe takes up to
  // PIPE_BUF in one piece or not at all.
  std::size_t size = std::min(bytes.size(), kPipeChunk);
  if (const auto newline = bytes.substr(0, size).rfind('\n'); newline != bytes.npos) {
    size = newline + 1;
  }
  return kind_ == Kind::shared ? write_shared(fd, bytes.substr(0, size))
                               : ::write(fd, bytes.data(), size);
}

bool Sink::keep(std::string_view bytes) {
  if (bytes.size() > kCapacity && begin_ == end_ && rest_.empty()) {
    rest_ = bytes;
    return true;
  }
  if (kCapacity - end_ < bytes.size() && begin_ > 0) {
    std::memmove(kept_.data(), kept_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (kCapacity - end_ < bytes.size()) {
    count_dropped(1);
    return false;
  }
  std::memcpy(kept_.data() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
  return true;
}

void Sink::count_dropped(std::uint64_t lines) {
  dropped_ += lines;
  drop_reason_ = problem_;
}

bool Sink::wait(std::chrono::milliseconds wait) const {
  return fd_ && problem_ == EAGAIN && ready(fd_.get(), static_cast<int>(wait.count()));
}

bool write_once(int fd, std::string_view line) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  ssize_t written = -1;
  if (S_ISSOCK(status.st_mode)) {
    written = ::send(fd, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (S_ISFIFO(status.st_mode) || ::isatty(fd) == 1) {
    written = write_shared(fd, line);
  } else {
    written = ::write(fd, line.data(), line.size());
  }
  return written == static_cast<ssize_t>(line.size());
}

int named_descriptor(std::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/proc/self/fd/", "/dev/fd/"}) {
    if (path.substr(0, folder.size()) != folder) continue;
    const std::string_view digits = path.substr(folder.size());
    int number = -1;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
    if (error == std::errc{} && end == digits.end()) return number;
  }
  return -1;
}

os::Result<os::UniqueFd> second_descriptor(int fd) {
  struct stat status {};
  const bool may_block =
      ::fstat(fd, &status) == 0 &&
      (S_ISFIFO(status.st_mode) || (S_ISCHR(status.st_mode) && ::isatty(fd) == 1));
  if (may_block) {
    // Opened by way of /proc, the pipe or terminal gets an open file of our own: O_NONBLOCK set on
    // the inherited one would reach the shell and everyone else who has it.
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    constexpr int kFlags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    os::UniqueFd own(::open(path.c_str(), kFlags));
    if (own) return own;
    // After su(1) the terminal belongs to another user, but it is still the controlling one.
    own.reset(::open("/dev/tty", kFlags));
    if (own && same_terminal(own.get(), fd)) return own;
  }
  return os::duplicate(fd);
}

os::Result<os::UniqueFd> open_for_log(const std::string& path) {
  if (const int number = named_descriptor(path); number >= 0) return second_descriptor(number);
  // O_NONBLOCK matters to FIFOs and devices only.
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  os::UniqueFd fd(::open(path.c_str(), flags, 0600));
  if (!fd) return os::last_error("open " + path);
  return fd;
}

bool same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

}  // namespace fpm::log
