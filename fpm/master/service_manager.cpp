#include "fpm/master/service_manager.hpp"

#include <unistd.h>

namespace fpm::master {

ServiceManager::ServiceManager(boost::asio::io_context& io, os::Notifier notifier,
                               std::chrono::milliseconds interval,
                               std::function<os::Activity()> look)
    : notifier_(std::move(notifier)),
      interval_(interval),
      look_(std::move(look)),
      status_(io),
      watchdog_(io) {}

void ServiceManager::ready() {
  notifier_.ready(::getpid(), "Ready to handle connections");
  if (started_ || !notifier_) return;
  started_ = true;
  repeat_status();
  repeat_watchdog();
}

void ServiceManager::set_interval(std::chrono::milliseconds interval) {
  const bool was_off = interval_.count() <= 0;
  interval_ = interval;
  if (was_off && started_) repeat_status();
}

void ServiceManager::stopping() {
  stopping_ = true;
  status_.cancel();
  notifier_.stopping();
}

void ServiceManager::repeat_status() {
  if (interval_.count() <= 0 || stopping_) return;
  status_.expires_after(interval_);
  status_.async_wait([this](const boost::system::error_code& failure) {
    if (failure || stopping_) return;
    const os::Activity now = look_();
    notifier_.status(os::activity_line(now, requests_before_, interval_));
    requests_before_ = now.requests;
    repeat_status();
  });
}

void ServiceManager::repeat_watchdog() {
  const auto interval = notifier_.watchdog_interval();
  if (!interval) return;
  notifier_.watchdog();
  watchdog_.expires_after(*interval);
  watchdog_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) repeat_watchdog();
  });
}

}  // namespace fpm::master
