#include "fpm/os/notify.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace fpm::os {

namespace {

/// The variable's value, and out of the environment with it.
std::string take_variable(const char* name) {
  const char* const found = std::getenv(name);
  std::string value = found != nullptr ? found : "";
  ::unsetenv(name);
  return value;
}

std::optional<std::uint64_t> as_number(const std::string& text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (text.empty() || failure != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// The bytes of a sockaddr_un for a path or, with '@' first, an abstract name; empty: neither.
std::string address_bytes(const std::string& name) {
  sockaddr_un address{};
  const bool abstract = !name.empty() && name[0] == '@';
  if (name.size() < 2 || name.size() >= sizeof address.sun_path) return {};
  if (!abstract && name[0] != '/') return {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (abstract) address.sun_path[0] = '\0';
  // An abstract name ends where the length says, a path at its zero byte, unix(7).
  const std::size_t length =
      offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0U : 1U);
  return {reinterpret_cast<const char*>(&address), length};
}

std::optional<std::chrono::microseconds> half_of_watchdog(const std::string& limit,
                                                          const std::string& pid) {
  const auto micros = as_number(limit);
  if (!micros || *micros < 2 || *micros > 1'000'000'000'000U) return std::nullopt;
  if (!pid.empty() && as_number(pid) != static_cast<std::uint64_t>(::getpid())) {
    return std::nullopt;
  }
  return std::chrono::microseconds(*micros / 2);
}

}  // namespace

Notifier Notifier::from_environment() {
  Notifier notifier;
  const std::string name = take_variable("NOTIFY_SOCKET");
  const std::string limit = take_variable("WATCHDOG_USEC");
  const std::string pid = take_variable("WATCHDOG_PID");
  notifier.address_ = address_bytes(name);
  if (notifier.address_.empty()) return notifier;
  notifier.socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (notifier.socket_) notifier.watchdog_ = half_of_watchdog(limit, pid);
  return notifier;
}

void Notifier::send(std::string_view message) const {
  if (!socket_) return;
  (void)::sendto(socket_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(address_.data()),
                 static_cast<socklen_t>(address_.size()));
}

void Notifier::ready(pid_t main_pid, std::string_view status) const {
  send(fmt::format("READY=1\nSTATUS={}\nMAINPID={}", status, main_pid));
}

void Notifier::status(std::string_view text) const { send(fmt::format("STATUS={}", text)); }

void Notifier::watchdog() const { send("WATCHDOG=1"); }

void Notifier::reloading() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   static_cast<std::uint64_t>(now.tv_sec) * 1'000'000U +
                       static_cast<std::uint64_t>(now.tv_nsec) / 1000U));
}

void Notifier::stopping() const { send("STOPPING=1\nSTATUS=Stopping"); }

std::string activity_line(const Activity& now, std::uint64_t requests_before,
                          std::chrono::milliseconds interval) {
  const std::uint64_t new_ones = now.requests > requests_before ? now.requests - requests_before : 0;
  const double seconds = static_cast<double>(interval.count()) / 1000.0;
  return fmt::format("Processes active: {}, idle: {}, Requests: {}, slow: {}, Traffic: {:.2f}req/sec",
                     now.active, now.idle, now.requests, now.slow,
                     seconds > 0 ? static_cast<double>(new_ones) / seconds : 0.0);
}

}  // namespace fpm::os
