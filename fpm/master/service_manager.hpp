// The service manager is kept informed: that we serve, what we do, that we still live.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>

#include "fpm/os/notify.hpp"

namespace fpm::master {

/// Repeats STATUS and WATCHDOG on the master's loop: a loop that hangs falls silent, and the
/// manager restarts the service. Does nothing without a manager.
class ServiceManager {
 public:
  /// `look` tells what STATUS shows; it is called each `interval` (systemd_interval, 0: never).
  ServiceManager(boost::asio::io_context& io, os::Notifier notifier,
                 std::chrono::milliseconds interval, std::function<os::Activity()> look);

  /// Workers serve, after a start or a reload. The first call starts the repetitions.
  void ready();
  void reloading() const { notifier_.reloading(); }
  /// A reload changed systemd_interval; counts from the next report on.
  void set_interval(std::chrono::milliseconds interval);
  /// Says so, and ends the reports; the watchdog goes on, since a stop may take long.
  void stopping();

 private:
  void repeat_status();
  void repeat_watchdog();

  os::Notifier notifier_;
  std::chrono::milliseconds interval_;
  std::function<os::Activity()> look_;
  boost::asio::steady_timer status_;
  boost::asio::steady_timer watchdog_;
  std::uint64_t requests_before_ = 0;
  bool started_ = false;
  bool stopping_ = false;
};

}  // namespace fpm::master
