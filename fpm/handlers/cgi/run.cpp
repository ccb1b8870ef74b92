#include "fpm/handlers/cgi/run.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <utility>

#include "fpm/handlers/cgi/say.hpp"

namespace fpm::handlers::cgi {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a body may stand still before an answer that waits for its end begins without it.
constexpr milliseconds kStall{200};

// How much of an answer is kept back while the body flows, see held_until().
constexpr std::size_t kMostHeld = 1024 * 1024;

// From here on bytes are moved from pipe to socket (splice(2)): below, a copy costs less.
constexpr std::size_t kBulk = 16 * 1024;
// What pipes of much hold: the script is stopped and woken less often. More would soon make the user's other
// pipes small (pipe(7), pipe-user-pages-soft).
constexpr std::size_t kWidePipe = 256 * 1024;

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

std::size_t waiting_in(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

Run::Run(Exchange& exchange, const config::Pool& pool, std::string path, Started started,
         std::vector<char>& buffer, Clock::time_point since)
    : exchange_(exchange),
      pool_(pool),
      path_(std::move(path)),
      since_(since),
      pid_(started.child.pid),
      pidfd_(std::move(started.child.pidfd)),
      in_(std::move(started.in)),
      out_(std::move(started.out)),
      err_(std::move(started.err)),
      buffer_(buffer),
      body_moved_(since),
      error_lines_([&exchange](std::string_view line) {
        say(exchange, log::Level::warning, fmt::format("script said into stderr: \"{}\"", line));
      }) {}

Outcome Run::go() {
  // An authorizer has no body, and mod_authnz_fcgi sends no STDIN record whose end could be
  // waited for.
  if (exchange_.role() == fcgi::Role::authorizer) in_.reset();
  const os::SignalsBlocked blocked;
  waiting_mask_ = blocked.before();
  for (;;) {
    if (!discard_ && exchange_.aborted()) {
      if (pool_.request_on_abort != config::OnAbort::go_on) return client_gone();
      discard_ = true;
    }
    feed_input();
    if (ended_) read_output();
    if (!pass_output()) return malformed();
    if (drained()) return finish();
    if (!ended_ && push_output()) continue;
    const Due due = wait_for_events();
    if (due == Due::deadline) return timed_out();
    if (due == Due::body) return body_missing();
  }
}

// --- Moving bytes -----------------------------------------------------------------------------

void Run::feed_input() {
  while (in_ && !exchange_.body().empty()) {
    const auto body = exchange_.body();
    const ssize_t written = ::write(in_.get(), body.data(), body.size());
    if (written > 0) {
      exchange_.consume_body(static_cast<std::size_t>(written));
      body_moved_ = Clock::now();
    } else if (written < 0 && errno == EINTR) {
      continue;
    } else if (written < 0 && errno == EAGAIN) {
      return;
    } else {
      in_.reset();  // EPIPE: the script does not want the rest, which is no error
    }
  }
  if (!in_) exchange_.consume_body(exchange_.body().size());
  if (exchange_.body_ended() || discard_) in_.reset();
}

// Large bodies go from the connection into the script's pipe past our memory. @return what is there needs
// no other reading now.
bool Run::move_input() {
  if (!in_) return false;
  const auto moved = exchange_.move_body(in_.get());
  if (!moved) return false;
  in_full_ = *moved == 0;
  if (in_full_) os::widen_pipe(in_.get(), kWidePipe);
  if (!in_full_) body_moved_ = Clock::now();
  return true;
}

// The script may still want some of the body, has all that came, and the client owes the rest.
bool Run::waits_for_body() const {
  return in_ && !in_full_ && pool_.request_body_timeout.count() > 0 && exchange_.body().empty() &&
         !exchange_.body_ended();
}

// When a wait ends though nothing happens.
Clock::time_point Run::wake_at() const {
  auto wake = std::min(exchange_.deadline(), exchange_.slow_at());
  const bool holding = header_.state() == HeaderParser::State::complete && !exchange_.begun();
  if (holding) wake = std::min(wake, held_until());
  if (waits_for_body()) wake = std::min(wake, body_moved_ + pool_.request_body_timeout);
  return wake;
}

Run::Due Run::wait_for_events() {
  pollfd fds[5] = {};
  enum { client, in, out, err, script };
  for (auto& entry : fds) entry.fd = -1;
  short events = exchange_.events();
  if (input_is_full()) events = static_cast<short>(events & ~POLLIN);
  if (events != 0) fds[client] = {exchange_.fd(), events, 0};
  if (in_ && (in_full_ || !exchange_.body().empty())) fds[in] = {in_.get(), POLLOUT, 0};
  // Much is left where it is until the client has what was moved before.
  const bool later = bulk_ && (events & POLLOUT) != 0;
  if (out_ && end_ < buffer_.size() && !later) fds[out] = {out_.get(), POLLIN, 0};
  if (err_) fds[err] = {err_.get(), POLLIN, 0};
  if (!ended_) fds[script] = {pidfd_.get(), POLLIN, 0};

  const auto wake = wake_at();
  const bool limited = wake != Clock::time_point::max();
  const timespec time = limited ? time_until(wake) : timespec{};
  // Signals come in here and nowhere else: one that moves the deadline (the worker is to end) is
  // not missed between the look at the deadline and the wait.
  const int ready = ::ppoll(fds, std::size(fds), limited ? &time : nullptr, &waiting_mask_);
  const auto now = Clock::now();
  if (now >= exchange_.slow_at()) tell_slow();
  if (now >= exchange_.deadline()) return Due::deadline;  // moved, perhaps, by a signal
  if (ready == 0 && waits_for_body() && now >= body_moved_ + pool_.request_body_timeout) {
    return Due::body;
  }
  if (ready <= 0) return Due::nothing;

  if (fds[in].revents != 0) in_full_ = false;
  if ((fds[in].revents & POLLERR) != 0) in_.reset();  // the script does not want the rest
  if (short told = fds[client].revents; told != 0) {
    if ((told & POLLIN) != 0 && move_input()) told = static_cast<short>(told & ~POLLIN);
    if (told != 0) exchange_.pump(told);
  }
  if (fds[err].revents != 0) read_errors();
  if (fds[script].revents != 0) {
    script_ended();
  } else if (fds[out].revents != 0) {
    read_output();
  }
  return Due::nothing;
}

// Much of an answer goes from the script's pipe to the client past our memory. @return some of it went.
bool Run::move_output() {
  if (!bulk_ || !out_ || discard_ || !exchange_.begun() || begin_ < end_) return false;
  const std::size_t lies = ended_ ? left_ : waiting_in(out_.get());
  if (lies < kBulk) return false;
  const std::size_t moved = exchange_.write_from(out_.get(), lies);
  if (ended_) left_ -= moved;
  return moved > 0;
}

void Run::read_output() {
  if (move_output()) return;
  const std::size_t space = buffer_.size() - end_;
  const std::size_t wanted = ended_ ? std::min(space, left_) : space;
  if (!out_ || (wanted == 0 && !ended_)) return;
  const ssize_t got = wanted == 0 ? 0 : ::read(out_.get(), buffer_.data() + end_, wanted);
  if (got > 0) {
    end_ += static_cast<std::size_t>(got);
    if (ended_) left_ -= static_cast<std::size_t>(got);
    if (!ended_ && !bulk_ && static_cast<std::size_t>(got) >= kBulk) {
      bulk_ = true;
      os::widen_pipe(out_.get(), kWidePipe);
    }
  }
  make_room();
  const bool closed = got == 0 && wanted > 0;
  if (closed || (ended_ && left_ == 0)) out_.reset();
  if (got < 0 && errno != EAGAIN && errno != EINTR) out_.reset();
}

// A script that prints much before it reads its body: see held_until().
void Run::make_room() {
  const bool holding = in_ && !ended_ && !exchange_.begun() && !exchange_.body_ended();
  if (holding && end_ == buffer_.size() && end_ < kMostHeld) buffer_.resize(2 * end_);
}

void Run::read_errors() {
  char text[4096];
  const ssize_t got = ::read(err_.get(), text, sizeof text);
  if (got > 0) {
    const std::string_view piece(text, static_cast<std::size_t>(got));
    if (!answered_) exchange_.write_error(piece);
    if (!exchange_.output(piece)) error_lines_.feed(piece);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    err_.reset();
  }
}

// What the script itself has written lies in its pipes now. A child of it may hold them open and
// go on writing: only what is there at this moment belongs to the response.
void Run::script_ended() {
  ended_ = true;
  pidfd_.reset();
  in_.reset();
  left_ = out_ ? waiting_in(out_.get()) : 0;
  for (std::size_t left = err_ ? waiting_in(err_.get()) : 0; err_ && left > 0;) {
    read_errors();
    left -= std::min<std::size_t>(left, 4096);
  }
  err_.reset();
}

// nginx stops sending the body for good as soon as the answer's header reaches it, and a script
// that prints a header and then reads (git http-backend does) would wait for the rest for ever. So
// the answer begins when the body is in, is not wanted, or what the script prints meanwhile is more
// than kMostHeld. @return when it begins though none of this has happened; min(): now, max(): not yet.
Clock::time_point Run::held_until() const {
  const bool body_flows = in_ && !ended_ && !exchange_.body_ended();
  if (!body_flows || end_ == buffer_.size()) return Clock::time_point::min();
  // A script in conversation with its client prints more than a header and waits for the next
  // piece, which the client sends when it has seen the answer to the last.
  const bool stalled = begin_ < end_ && !in_full_ && exchange_.body().empty();
  return stalled ? body_moved_ + kStall : Clock::time_point::max();
}

// Sends without asking poll whether that is possible; what ends an answer is sent with its end. @return
// there is more to do before the next wait.
bool Run::push_output() {
  exchange_.pump(POLLOUT);
  if (exchange_.aborted()) return !discard_;
  return exchange_.begun() && begin_ < end_ && exchange_.room() > 0;
}

// @return false if the script's header block is malformed.
bool Run::pass_output() {
  if (discard_) begin_ = end_ = 0;
  if (begin_ < end_ && header_.state() == HeaderParser::State::incomplete) {
    begin_ += header_.feed({buffer_.data() + begin_, end_ - begin_});
  }
  if (header_.state() == HeaderParser::State::malformed) return false;
  const bool ready = header_.state() == HeaderParser::State::complete && !exchange_.begun();
  if (ready && Clock::now() >= held_until()) exchange_.begin(header_.status(), header_.block());
  if (exchange_.begun()) {
    const std::size_t size = std::min(exchange_.room(), end_ - begin_);
    if (size > 0) exchange_.write(std::span<const char>(buffer_.data() + begin_, size));
    begin_ += size;
  }
  if (begin_ == end_) begin_ = end_ = 0;
  return true;
}

}  // namespace fpm::handlers::cgi
