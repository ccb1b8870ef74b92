#include "fpm/handlers/fastcgi/relay.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "fcgi/request.hpp"
#include "fpm/handlers/cgi/say.hpp"

namespace fpm::handlers::fastcgi {

using Clock = std::chrono::steady_clock;
using cgi::HeaderParser;
using cgi::say;
using std::chrono::milliseconds;

namespace {

// How many bytes of the body lie between client and application at most.
constexpr std::size_t kMostOut = 64 * 1024;
// How long a body may stand still before an answer that waits for its end begins without it.
constexpr milliseconds kStall{200};
// How much of an answer is kept back while the body flows.
constexpr std::size_t kMostHeld = 1024 * 1024;

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

Relay::Relay(Exchange& exchange, const config::Pool& pool, Application& application,
             int connection, bool keep, Buffers& buffers)
    : exchange_(exchange),
      pool_(pool),
      application_(application),
      connection_(connection),
      keep_(keep),
      buffers_(buffers),
      since_(Clock::now()),
      body_moved_(since_),
      error_lines_([&exchange](std::string_view line) {
        say(exchange, log::Level::warning,
            fmt::format("application said into stderr: \"{}\"", line));
      }) {
  buffers_.held.clear();
}

Outcome Relay::go() {
  const os::SignalsBlocked blocked;
  waiting_mask_ = blocked.before();
  compose();
  for (;;) {
    if (!discard_ && exchange_.aborted()) abort();
    // As long as the application takes it: what waits here for room that is there already would wait
    // for ever.
    do {
      feed_body();
      if (!send()) deaf_ = true;
    } while (!exchange_.body().empty() && buffers_.out.empty());
    if (!pass_pending()) return malformed();
    if (pending_.empty() && !take_events()) {
      return header_.state() == HeaderParser::State::malformed ? malformed() : broken(reason_);
    }
    if (ended_ && pending_.empty()) return finish();
    const Due due = wait_for_events();
    if (due == Due::deadline) return timed_out();
    if (due == Due::body) return body_missing();
    if (!reason_.empty()) return broken(reason_);
  }
}

bool Relay::may_retry() const {
  if (any_bytes_ || had_body_ || !pool_.request_retry || exchange_.begun()) return false;
  const std::string_view method = exchange_.params().last_non_empty("REQUEST_METHOD");
  return method == "GET" || method == "HEAD";
}

// --- Towards the application --------------------------------------------------------------------

void Relay::compose() {
  buffers_.out.clear();
  fcgi::append_begin(buffers_.out, 1, exchange_.role(), keep_);
  fcgi::append_params(buffers_.out, 1, exchange_.params());
  // An authorizer has no body, and mod_authnz_fcgi sends no STDIN record whose end could be
  // waited for.
  if (exchange_.role() != fcgi::Role::authorizer) return;
  fcgi::append_stdin_end(buffers_.out, 1);
  stdin_ended_ = true;
}

void Relay::feed_body() {
  if (deaf_ || discard_ || stdin_ended_) {
    exchange_.consume_body(exchange_.body().size());
    return;
  }
  while (!exchange_.body().empty() && buffers_.out.size() - sent_ < kMostOut) {
    const auto body = exchange_.body();
    const std::size_t size = std::min<std::size_t>(body.size(), fcgi::kMaxStdinRecord);
    fcgi::append_stdin(buffers_.out, 1, {body.data(), size});
    exchange_.consume_body(size);
    had_body_ = true;
    body_moved_ = Clock::now();
  }
  if (!exchange_.body_ended()) return;
  fcgi::append_stdin_end(buffers_.out, 1);
  stdin_ended_ = true;
}

// @return false: the application reads no more.
bool Relay::send() {
  while (!deaf_ && sent_ < buffers_.out.size()) {
    const ssize_t got = ::send(connection_, buffers_.out.data() + sent_,
                               buffers_.out.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::size_t>(got);
  }
  buffers_.out.clear();
  sent_ = 0;
  return true;
}

/// The client is gone. The application is told, and what it still sends is read and dropped until it has
/// come to the end: only then it can take another request.
void Relay::abort() {
  discard_ = true;
  const bool goes_on = pool_.request_on_abort == config::OnAbort::go_on;
  if (!goes_on) fcgi::append_abort(buffers_.out, 1);
  if (!stdin_ended_) fcgi::append_stdin_end(buffers_.out, 1);
  stdin_ended_ = true;
}

// --- From the application -----------------------------------------------------------------------

/// @return false: `reason_` says what was wrong with what came.
bool Relay::receive() {
  const ssize_t got = ::recv(connection_, buffers_.in.data(), buffers_.in.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) {
    reason_ = any_bytes_ ? "closed the connection in the middle of its answer"
                         : "closed the connection without an answer";
    return false;
  }
  any_bytes_ = true;
  input_ = {buffers_.in.data(), static_cast<std::size_t>(got)};
  return true;
}

/// @return false: what came is bad, or the header is malformed.
bool Relay::take_events() {
  using Kind = fcgi::ResponseEvent::Kind;
  while (!input_.empty() && pending_.empty() && !ended_) {
    const fcgi::ResponseEvent event = parser_.next(input_);
    switch (event.kind) {
      case Kind::out_bytes:
        if (!pass_output(event.bytes)) return false;
        break;
      case Kind::err_bytes:
        if (discard_) break;
        exchange_.write_error(event.bytes);
        if (!exchange_.output(event.bytes)) error_lines_.feed(event.bytes);
        break;
      case Kind::end:
        ended_ = true;
        app_status_ = event.app_status;
        protocol_status_ = event.protocol_status;
        break;
      case Kind::bad:
        reason_ = event.reason;
        return false;
      default:
        break;
    }
  }
  return true;
}

bool Relay::pass_output(std::string_view bytes) {
  if (discard_) return true;
  if (header_.state() == HeaderParser::State::incomplete) bytes.remove_prefix(header_.feed(bytes));
  if (header_.state() == HeaderParser::State::malformed) return false;
  pending_ = bytes;
  return pass_pending();
}

/// nginx stops sending the body for good as soon as the answer's header reaches it, and a program that
/// prints a header and then reads would wait for the rest for ever. So the answer begins when the body
/// is in, is not wanted, or what the program prints meanwhile is too much.
/// @return when it begins though none of this has happened; min(): now, max(): not yet.
Clock::time_point Relay::held_until() const {
  const bool body_flows = !deaf_ && !ended_ && !stdin_ended_ && !exchange_.body_ended();
  if (!body_flows || buffers_.held.size() >= kMostHeld) return Clock::time_point::min();
  const bool stalled = !buffers_.held.empty() && exchange_.body().empty();
  return stalled ? body_moved_ + kStall : Clock::time_point::max();
}

bool Relay::begin_answer() {
  if (exchange_.begun()) return true;
  if (header_.state() != HeaderParser::State::complete || Clock::now() < held_until()) return false;
  exchange_.begin(header_.status(), header_.block());
  return true;
}

bool Relay::pass_pending() {
  if (discard_) {
    pending_ = {};
    return true;
  }
  if (!begin_answer()) {
    buffers_.held.append(pending_);
    pending_ = {};
    return true;
  }
  if (!buffers_.held.empty()) {
    const std::size_t size = std::min(exchange_.room(), buffers_.held.size());
    exchange_.write({buffers_.held.data(), size});
    buffers_.held.erase(0, size);
    if (!buffers_.held.empty()) return true;
  }
  const std::size_t size = std::min(exchange_.room(), pending_.size());
  if (size > 0) exchange_.write({pending_.data(), size});
  pending_.remove_prefix(size);
  return true;
}

// --- Waiting ------------------------------------------------------------------------------------

bool Relay::waits_for_body() const {
  return !deaf_ && !stdin_ended_ && !discard_ && pool_.request_body_timeout.count() > 0 &&
         exchange_.body().empty() && !exchange_.body_ended() && sent_ >= buffers_.out.size();
}

Clock::time_point Relay::wake_at() const {
  auto wake = std::min(exchange_.deadline(), exchange_.slow_at());
  const bool holding = header_.state() == HeaderParser::State::complete && !exchange_.begun();
  if (holding && !discard_) wake = std::min(wake, held_until());
  if (waits_for_body()) wake = std::min(wake, body_moved_ + pool_.request_body_timeout);
  return wake;
}

Relay::Due Relay::wait_for_events() {
  pollfd fds[3] = {{-1, 0, 0}, {connection_, 0, 0}, {application_.pidfd(), POLLIN, 0}};
  enum { client, application, process };
  if (const short events = exchange_.events(); events != 0) {
    fds[client] = {exchange_.fd(), events, 0};
  }
  const bool room = pending_.empty() && (buffers_.held.empty() || !exchange_.begun());
  if (room) fds[application].events |= POLLIN;
  if (!deaf_ && sent_ < buffers_.out.size()) fds[application].events |= POLLOUT;
  if (fds[application].events == 0) fds[application].fd = -1;  // else its end would wake us for ever
  // What it sent before its end is read first.
  if (!room) fds[process].fd = -1;

  const auto wake = wake_at();
  const bool limited = wake != Clock::time_point::max();
  const timespec time = limited ? time_until(wake) : timespec{};
  const int ready = ::ppoll(fds, std::size(fds), limited ? &time : nullptr, &waiting_mask_);
  const auto now = Clock::now();
  if (now >= exchange_.slow_at()) tell_slow();
  if (now >= exchange_.deadline()) return Due::deadline;
  if (ready == 0 && waits_for_body() && now >= body_moved_ + pool_.request_body_timeout) {
    return Due::body;
  }
  if (ready <= 0) return Due::nothing;
  if (fds[client].revents != 0) exchange_.pump();
  if ((fds[application].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && room) {
    (void)receive();
  } else if (fds[process].revents != 0) {
    // It is dead, and nothing of it is left to be read: what a child of it holds open is not its
    // answer.
    reason_ = "ended in the middle of the request";
  }
  return Due::nothing;
}

// --- Ends ---------------------------------------------------------------------------------------

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
