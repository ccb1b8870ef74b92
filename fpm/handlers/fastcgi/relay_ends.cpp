// How a relayed request ends: each function says it to the log and to the client.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "fcgi/request.hpp"
#include "fpm/handlers/cgi/say.hpp"
#include "fpm/handlers/fastcgi/relay.hpp"

namespace fpm::handlers::fastcgi {

using Clock = std::chrono::steady_clock;
using cgi::HeaderParser;
using cgi::say;

namespace {

// How often is looked whether a connection has been accepted.
constexpr std::chrono::milliseconds kLook{10};

}  // namespace

std::string Relay::name() const {
  return fmt::format("application {} (pid {})", pool_.fastcgi_command, application_.pid());
}

Outcome Relay::finish() {
  left_ = Left::idle;
  error_lines_.end();
  const int status = static_cast<int>(app_status_);
  if (discard_) return {.end = End::abort, .app_status = status};
  if (exchange_.begun()) return {.end = End::ok, .app_status = status};
  if (protocol_status_ == fcgi::ProtocolStatus::overloaded ||
      protocol_status_ == fcgi::ProtocolStatus::cant_mpx_conn) {
    say(exchange_, log::Level::warning, fmt::format("{} says that it is overloaded", name()));
    exchange_.answer(503, "The application is busy, please try again in a moment.");
    return {.end = End::failed, .app_status = status};
  }
  // Of a header without a body nothing was pending.
  if (header_.state() == HeaderParser::State::complete) {
    exchange_.begin(header_.status(), header_.block());
    return {.end = End::ok, .app_status = status};
  }
  say(exchange_, log::Level::error,
      fmt::format("{} ended the request {}", name(),
                  header_.begun() ? "before its header was complete" : "without an answer"));
  exchange_.answer(502, "The application gave no answer.");
  return {.end = End::failed, .app_status = status};
}

Outcome Relay::broken(std::string_view why) {
  left_ = Left::ended;
  error_lines_.end();
  const pid_t pid = application_.pid();
  const bool alive = application_.running();
  if (may_retry()) return {};
  say(exchange_, log::Level::error,
      fmt::format("application {} (pid {}) {}{}{}", pool_.fastcgi_command, pid, why,
                  alive ? "" : ": it ", alive ? "" : application_.last_end()));
  if (discard_) return {.end = End::abort};
  const bool begun = exchange_.begun();
  if (!begun) exchange_.answer(502, "The application failed.");
  return {.end = End::failed, .app_status = 0, .truncated = begun};
}

Outcome Relay::malformed() {
  error_lines_.end();
  say(exchange_, log::Level::error,
      fmt::format("{} gave no proper header: {}", name(), header_.problem()));
  exchange_.answer(502, "The application did not give a proper answer.");
  return {.end = End::failed, .app_status = 0, .truncated = false, .unfinished = true};
}

Outcome Relay::timed_out() {
  error_lines_.end();
  const std::string where = exchange_.room() == 0 ? "its client does not take the answer"
                                                  : os::whereabouts(application_.pid());
  if (exchange_.deadline() == Clock::time_point::min()) {
    say(exchange_, log::Level::warning,
        fmt::format("{} had to stop with its worker: {}", name(), where));
  } else {
    exchange_.tell_overdue(cgi::visible(fmt::format("{} is terminated: {}", name(), where)));
  }
  application_.begin_end(false);
  if (discard_) return {.end = End::abort, .app_status = 0, .truncated = false, .unfinished = true};
  const bool begun = exchange_.begun();
  if (!begun) exchange_.answer(504, "The application took too long to answer.");
  return {.end = End::timeout, .app_status = 0, .truncated = begun, .unfinished = true};
}

Outcome Relay::body_missing() {
  error_lines_.end();
  say(exchange_, log::Level::warning,
      fmt::format("its client sent nothing of the rest of the body for {:.3f} s, {} is terminated",
                  std::chrono::duration<double>(Clock::now() - body_moved_).count(), name()));
  application_.begin_end(false);
  const bool begun = exchange_.begun();
  if (!begun) exchange_.answer(408, "The request was not sent in time.");
  return {.end = End::timeout, .app_status = 0, .truncated = begun, .unfinished = true};
}

/// The client is gone, which the application hears as from any web server: ABORT_REQUEST, for those that
/// look for it, and the end of the connection, by which its reads and writes fail. It can take another
/// request when it accepts another connection.
Outcome Relay::abort() {
  error_lines_.end();
  fcgi::append_abort(buffers_.out, 1);
  (void)send();
  ::shutdown(connection_.get(), SHUT_RDWR);
  auto knocking = application_.knock();
  while (knocking && !application_.accepts_all()) {
    const auto now = Clock::now();
    if (now >= exchange_.slow_at()) tell_slow();
    if (now >= exchange_.deadline()) return timed_out();
    const auto wake = std::min({exchange_.deadline(), exchange_.slow_at(), now + kLook});
    const timespec time = time_until(wake);
    pollfd fds[2] = {{knocking->get(), POLLIN, 0}, {application_.pidfd(), POLLIN, 0}};
    const int ready = ::ppoll(fds, std::size(fds), &time, &waiting_mask_);
    if (ready > 0 && fds[1].revents != 0) return broken("ended after its client had gone");
    if (ready > 0) break;
  }
  if (knocking) left_ = Left::idle;
  connection_.reset();
  return {.end = End::abort};
}

void Relay::tell_slow() {
  std::vector<std::string> frames;
  for (const os::Place& place : os::places_of(application_.pid())) {
    // No stack, but a line that whoever reads php-fpm's slow logs takes for a frame.
    frames.push_back(cgi::visible(fmt::format("[0x0000000000000000] pid {} ({}) {}: {}", place.pid,
                                              place.name, place.waits, place.command)));
  }
  std::reverse(frames.begin(), frames.end());
  exchange_.tell_slow(frames);
}

}  // namespace fpm::handlers::fastcgi
