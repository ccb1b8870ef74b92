#include "fpm/log/syslog.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "fpm/log/sink.hpp"

namespace fpm::log {

namespace {

/// The message's own level decides; php-fpm takes the configured one.
int priority_of(Level level) {
  switch (level) {
    case Level::debug: return LOG_DEBUG;
    case Level::notice: return LOG_NOTICE;
    case Level::warning: return LOG_WARNING;
    case Level::error: return LOG_ERR;
    case Level::alert: return LOG_ALERT;
  }
  return LOG_ALERT;
}

/// The daemon may take it another time: there is one, and it is slow or the system short of memory.
bool is_full(int code) { return code == EAGAIN || code == ENOBUFS || code == ENOMEM; }

/// "Nov  2 05:10:12", in English whatever setlocale(3) was told. Source: RFC 3164 §4.1.2.
std::string packet_time() {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return fmt::format("{} {:2} {:02}:{:02}:{:02}", kMonths[parts.tm_mon % 12], parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

Syslog::Syslog(SyslogSettings settings) : settings_(std::move(settings)) {}

void Syslog::write(Level level, std::string_view text) {
  std::string packet = fmt::format("<{}>{} {}[{}]: {}", settings_.facility | priority_of(level),
                                   packet_time(), settings_.ident, ::getpid(), text);
  if (!flush() || !send(packet)) keep(std::move(packet));
}

bool Syslog::flush() {
  while (!kept_.empty() && send(kept_.front())) {
    kept_bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
  return kept_.empty();
}

int Syslog::connect() {
  if (socket_) return 0;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (settings_.socket.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, settings_.socket.data(), settings_.socket.size());
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // Does not wait: a datagram socket has no queue of connections.
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return errno;
  }
  socket_ = std::move(fd);
  return 0;
}

bool Syslog::send(const std::string& packet) {
  // The second try is for a daemon that was restarted: its old socket refuses.
  for (int tries = 0; tries < 2; ++tries) {
    problem_ = connect();
    if (problem_ != 0) return false;
    ssize_t sent = -1;
    do {
      sent = ::send(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    problem_ = sent < 0 ? errno : 0;
    if (problem_ == 0) return true;
    if (is_full(problem_)) return false;
    if (problem_ == EMSGSIZE) {
      drop(packet);
      problem_ = 0;
      return true;
    }
    socket_.reset();
  }
  return false;
}

void Syslog::keep(std::string packet) {
  if (kept_bytes_ + packet.size() > kCapacity) {
    drop(packet);
    return;
  }
  kept_bytes_ += packet.size();
  kept_.push_back(std::move(packet));
}

/// LOG_CONS: what the daemon will not get goes to the console, from the ident on.
void Syslog::drop(const std::string& packet) {
  ++dropped_;
  drop_reason_ = problem_;
  if (settings_.console.empty()) return;
  const os::UniqueFd console(
      ::open(settings_.console.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_APPEND | O_CLOEXEC));
  if (!console) return;
  const std::size_t head = packet.find('>') + 1 + std::strlen("Nov 22 05:10:12 ");
  write_once(console.get(), packet.substr(head) + "\r\n");
}

bool Syslog::wait(std::chrono::milliseconds wait) const {
  if (!socket_ || !is_full(problem_)) return false;
  pollfd entry{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
  return ::poll(&entry, 1, static_cast<int>(wait.count())) == 1;
}

void Syslog::forget() {
  kept_.clear();
  kept_bytes_ = 0;
  dropped_ = 0;
}

}  // namespace fpm::log
