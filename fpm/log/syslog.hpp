// The log's way to the system logger. Not syslog(3), which waits for a daemon that does not read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "fpm/log/level.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::log {

/// error_log = syslog, with what openlog(3) would be told: LOG_PID and LOG_CONS are always on.
struct SyslogSettings {
  std::string ident = "php-fpm";
  int facility = 3 << 3;  ///< a LOG_ constant of syslog(3); this is LOG_DAEMON
  std::string socket = "/dev/log";
  /// Takes the lines that the daemon will not get; empty: nobody does.
  std::string console = "/dev/console";
};

/// A datagram socket to the daemon, connected again when that was restarted, and the lines that
/// the daemon did not take yet.
class Syslog {
 public:
  static constexpr std::size_t kCapacity = 64 * 1024;

  explicit Syslog(SyslogSettings settings);

  /// Sends `text`, without newline, with priority and time, or keeps or drops it. Does not block.
  void write(Level level, std::string_view text);
  /// Sends of what is kept as much as the daemon takes. @return nothing is kept.
  bool flush();
  /// Waits until the daemon has read something, at most `wait`. @return it has; false at once if
  /// there is no daemon.
  bool wait(std::chrono::milliseconds wait) const;
  /// Forgets the lines that were kept and those that were dropped.
  void forget();

  /// The socket, borrowed; -1 while there is no daemon.
  int fd() const { return socket_.get(); }
  /// Connects unless that is done. @return 0, or why not: an errno.
  int connect();

  // As Sink has them.
  bool recovered() const { return dropped_ > 0 && kept_.empty() && problem_ == 0; }
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }
  int drop_reason() const { return drop_reason_; }

 private:
  /// @return sent, or lost for good.
  bool send(const std::string& packet);
  void keep(std::string packet);
  void drop(const std::string& packet);

  SyslogSettings settings_;
  os::UniqueFd socket_;
  std::deque<std::string> kept_;
  std::size_t kept_bytes_ = 0;
  std::uint64_t dropped_ = 0;
  int drop_reason_ = 0;
  int problem_ = 0;  // errno of the last try, 0 if it went well
};

}  // namespace fpm::log
