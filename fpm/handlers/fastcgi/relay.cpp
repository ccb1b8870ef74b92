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
// How long an answer that should leave in one piece may take from its first byte to its last.
constexpr milliseconds kOnePiece{20};
// How much of an answer is kept back while the body flows.
constexpr std::size_t kMostHeld = 1024 * 1024;

}  // namespace

timespec time_until(Clock::time_point moment) {
  const auto now = Clock::now();  // compared first: time_point::min() - now does not fit
  const auto left = moment > now ? moment - now : Clock::duration::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  timespec time{};
  time.tv_sec = seconds.count();
  time.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
  return time;
}

Relay::Relay(Exchange& exchange, const config::Pool& pool, Application& application,
             os::UniqueFd& connection, bool keep, Buffers& buffers)
    : exchange_(exchange),
      pool_(pool),
      application_(application),
      connection_(connection),
      keep_(keep),
      buffers_(buffers),
      body_moved_(Clock::now()),
      error_lines_([&exchange](std::string_view line) {
        say(exchange, log::Level::warning,
            fmt::format("application said into stderr: \"{}\"", line));
      }) {
  buffers_.held.clear();
}

Outcome Relay::go() {
  compose();
  first_exchange();
  if (ended_ && passed_all()) return finish();
  const os::SignalsBlocked blocked;
  waiting_mask_ = blocked.before();
  for (;;) {
    if (exchange_.aborted() && !ended_) {
      discard_ = true;
      if (pool_.request_on_abort != config::OnAbort::go_on || body_is_cut()) return abort();
    }
    // As long as the application takes it: what waits here for room that is there already would wait
    // for ever.
    do {
      feed_body();
      if (!send()) deaf_ = true;
    } while (!exchange_.body().empty() && buffers_.out.empty());
    if (reason_.empty() && pass_pending() && pending_.empty()) (void)take_events();
    if (header_.state() == HeaderParser::State::malformed) return malformed();
    if (!reason_.empty()) return broken(reason_);
    if (ended_ && passed_all()) return finish();
    const Due due = wait_for_events();
    if (due == Due::deadline) return timed_out();
    if (due == Due::body) return body_missing();
  }
}

/// The common case without poll(2): a request without a body leaves in one write, and its answer comes soon
/// and in one read. recv blocks for kFirstWait at most: so long a signal or the client's end may wait.
void Relay::first_exchange() {
  feed_body();
  deaf_ = !send();
  if (deaf_ || !stdin_ended_ || !buffers_.out.empty()) return;
  const auto soon = Clock::now() + 2 * Application::kFirstWait;
  if (exchange_.deadline() < soon || exchange_.slow_at() < soon) return;
  if (receive(0)) (void)take_events();
}

bool Relay::may_retry() const {
  if (discard_ || any_bytes_ || had_body_ || !pool_.request_retry || exchange_.begun()) return false;
  const std::string_view method = exchange_.params().last_non_empty("REQUEST_METHOD");
  return method == "GET" || method == "HEAD";
}

// --- Towards the application --------------------------------------------------------------------

void Relay::compose() {
  buffers_.out.clear();
  data_ended_ = exchange_.role() != fcgi::Role::filter;
  fcgi::append_begin(buffers_.out, 1, exchange_.role(), keep_);
  fcgi::append_params(buffers_.out, 1, exchange_.params());
  // An authorizer has no body, and mod_authnz_fcgi sends no STDIN record whose end could be
  // waited for.
  if (exchange_.role() != fcgi::Role::authorizer) return;
  fcgi::append_stdin_end(buffers_.out, 1);
  stdin_ended_ = true;
}

void Relay::feed_body() {
  if (deaf_ || (stdin_ended_ && data_ended_)) {
    exchange_.consume_body(exchange_.body().size());
    return;
  }
  while (!exchange_.body().empty() && buffers_.out.size() - sent_ < kMostOut) {
    const bool data = exchange_.body_is_data();
    if (data) end_stdin();
    const auto body = exchange_.body();
    const std::size_t size = std::min<std::size_t>(body.size(), fcgi::kMaxStdinRecord);
    (data ? fcgi::append_data : fcgi::append_stdin)(buffers_.out, 1, {body.data(), size});
    exchange_.consume_body(size);
    had_body_ = true;
    body_moved_ = Clock::now();
  }
  if (!exchange_.body_ended()) return;
  end_stdin();
  if (!data_ended_) fcgi::append_data_end(buffers_.out, 1);
  data_ended_ = true;
}

void Relay::end_stdin() {
  if (!stdin_ended_) fcgi::append_stdin_end(buffers_.out, 1);
  stdin_ended_ = true;
}

// @return false: the application reads no more.
bool Relay::send() {
  while (!deaf_ && sent_ < buffers_.out.size()) {
    const ssize_t got = ::send(connection_.get(), buffers_.out.data() + sent_,
                               buffers_.out.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got < 0 && !any_sent_ && reconnect()) continue;
    if (got < 0) return false;
    any_sent_ = true;
    sent_ += static_cast<std::size_t>(got);
  }
  buffers_.out.clear();
  sent_ = 0;
  return true;
}

/// A kept connection that the application had closed before anything of this request was in it: once.
bool Relay::reconnect() {
  any_sent_ = true;
  auto made = application_.connect();
  if (made) connection_ = std::move(*made);
  return made.has_value();
}

/// The client has gone before all of its body was here: what came is not to be taken for the whole.
bool Relay::body_is_cut() const {
  return !(stdin_ended_ && data_ended_) && !exchange_.body_ended() && exchange_.body().empty();
}

// --- From the application -----------------------------------------------------------------------

/// @return false: `reason_` says what was wrong with what came.
bool Relay::receive(int flags) {
  const ssize_t got = ::recv(connection_.get(), buffers_.in.data(), buffers_.in.size(), flags);
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
  const bool body_flows =
      !deaf_ && !ended_ && !(stdin_ended_ && data_ended_) && !exchange_.body_ended();
  if (!body_flows || buffers_.held.size() >= kMostHeld) return Clock::time_point::min();
  const bool stalled = !buffers_.held.empty() && exchange_.body().empty();
  return stalled ? body_moved_ + kStall : Clock::time_point::max();
}

bool Relay::begin_answer() {
  if (exchange_.begun()) return true;
  if (header_.state() != HeaderParser::State::complete || Clock::now() < held_until()) return false;
  exchange_.begin(header_.status(), header_.block());
  if (exchange_.likes_one_piece()) one_piece_until_ = Clock::now() + kOnePiece;
  return true;
}

/// What was kept back goes out as well, now that the answer has ended.
bool Relay::passed_all() { return pass_pending() && pending_.empty() && buffers_.held.empty(); }

bool Relay::pass_pending() {
  if (discard_) {
    pending_ = {};
    buffers_.held.clear();
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
  return !deaf_ && !(stdin_ended_ && data_ended_) && !discard_ && pool_.request_body_timeout.count() > 0 &&
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
  pollfd fds[3] = {{-1, 0, 0}, {connection_.get(), 0, 0}, {application_.pidfd(), POLLIN, 0}};
  enum { client, application, process };
  const bool one_piece = exchange_.room() > 0 && Clock::now() < one_piece_until_;
  const int wanted = one_piece ? exchange_.events() & ~POLLOUT : exchange_.events();
  if (wanted != 0) fds[client] = {exchange_.fd(), static_cast<short>(wanted), 0};
  const bool room = pending_.empty() && (buffers_.held.empty() || !exchange_.begun());
  if (room) fds[application].events |= POLLIN;
  if (!deaf_ && sent_ < buffers_.out.size()) fds[application].events |= POLLOUT;
  if (fds[application].events == 0) fds[application].fd = -1;  // else its end would wake us for ever
  // What it sent before its end is read first.
  if (!room) fds[process].fd = -1;

  const auto wake = one_piece ? std::min(wake_at(), one_piece_until_) : wake_at();
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
  if (fds[client].revents != 0) exchange_.pump(fds[client].revents);
  if ((fds[application].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && room) {
    (void)receive(MSG_DONTWAIT);
  } else if (fds[process].revents != 0) {
    // It is dead, and nothing of it is left to be read: what a child of it holds open is not its
    // answer.
    reason_ = "ended in the middle of the request";
  }
  return Due::nothing;
}

}  // namespace fpm::handlers::fastcgi
