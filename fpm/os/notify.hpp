// What a service manager wants to hear from a service: systemd's protocol, spoken by hand.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// Sends datagrams to the socket that NOTIFY_SOCKET named, or does nothing. Never blocks: what the
/// manager does not take now is lost, and what is repeated (STATUS, WATCHDOG) arrives later.
/// Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) Type=notify-reload.
class Notifier {
 public:
  Notifier() = default;

  /// What this process's environment says, and takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID
  /// out of it, so that no child speaks for us. Once, before the first fork, one thread only.
  /// A socket's name begins with '/' or '@' (abstract); another is taken for none.
  static Notifier from_environment();

  /// Somebody listens.
  explicit operator bool() const { return static_cast<bool>(socket_); }

  /// How often watchdog() has to be called: half of what WATCHDOG_USEC allows; nothing: no
  /// watchdog, or one that another process (WATCHDOG_PID) answers.
  std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

  /// READY=1 with MAINPID, which differs from the started process after Daemon::detach().
  void ready(pid_t main_pid, std::string_view status) const;
  /// One line that `systemctl status` shows.
  void status(std::string_view text) const;
  void watchdog() const;
  /// RELOADING=1 with MONOTONIC_USEC; ready() ends it.
  void reloading() const;
  void stopping() const;

 private:
  void send(std::string_view message) const;

  std::string address_;  // a sockaddr_un, as long as it has to be
  UniqueFd socket_;
  std::optional<std::chrono::microseconds> watchdog_;
};

/// Sums over all pools, for the line below.
struct Activity {
  int active = 0;
  int idle = 0;
  std::uint64_t requests = 0;
  std::uint64_t slow = 0;
};

/// "Processes active: 1, idle: 3, Requests: 42, slow: 0, Traffic: 4.20req/sec", php-fpm's line.
/// `requests_before` were counted one `interval` ago.
std::string activity_line(const Activity& now, std::uint64_t requests_before,
                          std::chrono::milliseconds interval);

}  // namespace fpm::os
