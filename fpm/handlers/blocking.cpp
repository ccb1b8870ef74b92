#include "fpm/handlers/blocking.hpp"

#include <algorithm>
#include <ctime>

#include "fpm/os/process.hpp"

namespace fpm::handlers {
namespace {

using Clock = std::chrono::steady_clock;

timespec time_until(Clock::time_point moment) {
  const auto now = Clock::now();  // compared first: time_point::min() - now does not fit
  const auto left = moment > now ? moment - now : Clock::duration::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  timespec time{};
  time.tv_sec = seconds.count();
  time.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
  return time;
}

}  // namespace

/// One wait for whatever the exchange waits for, and what comes of it. @return false: give up.
bool Blocking::await(bool for_body) {
  // Blocked until ppoll: a signal that moves the deadline (the worker has to end) is not missed
  // between the look at it and the wait.
  const os::SignalsBlocked blocked;
  const auto deadline = exchange_.deadline();
  auto wake = deadline;
  const bool limited = for_body && body_timeout_.count() > 0;
  const auto body_due = limited ? Clock::now() + body_timeout_ : Clock::time_point::max();
  wake = std::min(wake, body_due);
  pollfd client{exchange_.fd(), exchange_.events(), 0};
  const bool forever = wake == Clock::time_point::max();
  const timespec time = forever ? timespec{} : time_until(wake);
  const int ready = ::ppoll(&client, 1, forever ? nullptr : &time, &blocked.before());
  if (ready > 0) {
    exchange_.pump(client.revents);
    return true;
  }
  const auto now = Clock::now();
  if (now >= exchange_.deadline()) {  // moved, perhaps, by a signal
    stop_ = Stop::deadline;
  } else if (now >= body_due) {
    stop_ = Stop::body;
  }
  return stop_ == Stop::none;
}

bool Blocking::wait_for_body() {
  while (exchange_.body().empty()) {
    if (exchange_.body_ended() || stop_ != Stop::none) return false;
    exchange_.pump(POLLIN);  // what has arrived already costs no poll
    if (!exchange_.body().empty() || exchange_.body_ended()) continue;
    if (exchange_.aborted()) {
      stop_ = Stop::client;
    } else if (!await(true)) {
      return false;
    }
  }
  return true;
}

std::size_t Blocking::read(std::span<char> out) {
  if (out.empty() || !wait_for_body()) return 0;
  const std::span<const char> body = exchange_.body();
  const std::size_t size = std::min(out.size(), body.size());
  std::copy_n(body.data(), size, out.data());
  exchange_.consume_body(size);
  return size;
}

bool Blocking::skip_body() {
  while (wait_for_body()) exchange_.consume_body(exchange_.body().size());
  return exchange_.body_ended();
}

bool Blocking::write(std::span<const char> bytes) {
  // From here on a copy costs more than a system call.
  constexpr std::size_t kLarge = 32 * 1024;
  while (!bytes.empty()) {
    if (exchange_.aborted() && stop_ == Stop::none) stop_ = Stop::client;
    if (stop_ != Stop::none) return false;
    if (bytes.size() >= kLarge) {
      const std::size_t taken = exchange_.write_through(bytes);
      bytes = bytes.subspan(taken);
      if (taken > 0 || exchange_.aborted()) continue;
    }
    const std::size_t size = std::min(exchange_.room(), bytes.size());
    if (size > 0) {
      exchange_.write(bytes.first(size));
      bytes = bytes.subspan(size);
      continue;
    }
    exchange_.pump(POLLOUT);
    if (exchange_.room() == 0 && !exchange_.aborted() && !await(false)) return false;
  }
  return true;
}

bool Blocking::flush() {
  while (sends()) {
    if (stop_ != Stop::none) return false;
    exchange_.pump(POLLOUT);
    if (sends() && !exchange_.aborted() && !await(false)) return false;
  }
  if (exchange_.aborted() && stop_ == Stop::none) stop_ = Stop::client;
  return stop_ == Stop::none;
}

Outcome Blocking::conclude(std::string_view where) {
  const bool begun = exchange_.begun();
  switch (stop_) {
    case Stop::none:
      return {};
    case Stop::client:
      return {End::abort, 0, begun, false};
    case Stop::deadline:
      exchange_.tell_overdue(where);
      if (!begun) exchange_.answer(504, "The application took too long to answer.");
      break;
    case Stop::body:
      exchange_.log(log::Level::warning, "its client sent nothing of the rest of the body in time");
      if (!begun) exchange_.answer(408, "The request was not sent in time.");
      break;
  }
  return {End::timeout, 0, begun, false};
}

}  // namespace fpm::handlers
