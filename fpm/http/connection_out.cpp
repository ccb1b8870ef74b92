// What goes out to the client.
#include <fmt/format.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "fpm/http/connection.hpp"

namespace fpm::http {

namespace asio = boost::asio;
using boost::system::error_code;
using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
/// At one go; then it is the others' turn.
constexpr std::size_t kMostAtOnce = 2 * 1024 * 1024;
/// Of an answer that waits: below this the script may go on.
constexpr std::uint64_t kResumeBelow = 64 * 1024;
/// How long a connection that has sent too much is silent.
constexpr Milliseconds kPause{50};

std::uint64_t steady_ns() {
  return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
}

}  // namespace

void Connection::begin_head(int status, std::string_view reason) {
  status_ = status;
  head_out_ = true;
  out_.clear();
  out_sent_ = 0;
  body_out_ = 0;
  fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\n", status, reason);
  if (!script_head_read_ || !script_.has_server) add_field("Server", "fpm");
  if (!script_head_read_ || !script_.has_date) add_field("Date", server_.date());
  // What of the request was not read cannot be told from the next one.
  if (server_.finishing() || !body_read_) keep_ = false;
}

void Connection::add_field(std::string_view name, std::string_view value) {
  out_.append(name).append(": ").append(value).append("\r\n");
}

void Connection::add_number(std::string_view name, std::uint64_t value) {
  const fmt::format_int digits(value);
  add_field(name, {digits.data(), digits.size()});
}

void Connection::end_head() {
  if (!keep_) {
    add_field("Connection", "close");
  } else if (head_.minor == 0) {
    add_field("Connection", "keep-alive");
  }
  out_.append("\r\n");
  enter(DoorState::writing);
  set_deadline(service_->settings.write_timeout);
  rate_.limit(service_->settings.rate_per_connection);
}

bool Connection::has_output() const {
  return out_sent_ < out_.size() || !spool_.empty() || file_left_ > 0;
}

/// What may go out now, of this connection and of all.
std::size_t Connection::allowance() {
  std::uint64_t allowed = kMostAtOnce;
  if (!rate_.limited() && !server_.rate().limited()) return allowed;
  const std::uint64_t now = steady_ns();
  if (rate_.limited()) allowed = std::min(allowed, rate_.allowance(now));
  if (server_.rate().limited()) allowed = std::min(allowed, server_.rate().allowance(now));
  return allowed;
}

/// Sends what there is, as far as client and limits allow.
void Connection::pump() {
  if (phase_ != Phase::answer || writing_) return;
  const auto self = shared_from_this();
  std::size_t allowed = allowance();
  while (has_output()) {
    if (allowed == 0) {
      if (rate_.limited() || server_.rate().limited()) {
        paused_until_ = Clock::now() + kPause;
      } else {
        wait_to_write();
      }
      return;
    }
    const bool went = out_sent_ < out_.size() ? send_head_bytes(allowed)
                      : !spool_.empty()       ? send_spool(allowed)
                                              : send_file(allowed);
    if (!went) return;
  }
  if (exchange_ && spool_.size() < kResumeBelow) exchange_->resume();
  if (complete_) {
    answer_complete();
  } else {
    set_deadline(0);  // it is the script that is awaited
  }
}

bool Connection::send_head_bytes(std::size_t& allowed) {
  const std::size_t size = std::min(out_.size() - out_sent_, allowed);
  const int more = !spool_.empty() || file_left_ > 0 ? MSG_MORE : 0;
  const ssize_t count =
      ::send(socket_.native_handle(), out_.data() + out_sent_, size, MSG_NOSIGNAL | more);
  if (!sent(count, allowed)) return false;
  out_sent_ += static_cast<std::size_t>(count);
  if (out_sent_ == out_.size()) {
    out_.clear();
    out_sent_ = 0;
  }
  return true;
}

bool Connection::send_spool(std::size_t& allowed) {
  ssize_t count = 0;
  if (const std::string_view bytes = spool_.in_memory(); !bytes.empty()) {
    count = ::send(socket_.native_handle(), bytes.data(), std::min(bytes.size(), allowed),
                   MSG_NOSIGNAL);
  } else {
    auto offset = static_cast<off_t>(spool_.file_offset());
    count = ::sendfile(socket_.native_handle(), spool_.file(), &offset,
                       std::min<std::uint64_t>(spool_.file_size(), allowed));
  }
  if (!sent(count, allowed)) return false;
  spool_.take(static_cast<std::uint64_t>(count));
  return true;
}

bool Connection::send_file(std::size_t& allowed) {
  auto offset = static_cast<off_t>(file_offset_);
  const ssize_t count = ::sendfile(socket_.native_handle(), file_.get(), &offset,
                                   std::min<std::uint64_t>(file_left_, allowed));
  if (count == 0) {  // the file has become shorter
    file_left_ = 0;
    broken_ = true;
    return true;
  }
  if (!sent(count, allowed)) return false;
  file_offset_ += static_cast<std::uint64_t>(count);
  file_left_ -= static_cast<std::uint64_t>(count);
  return true;
}

/// Judges what a system call has sent. @return false: no more now.
bool Connection::sent(ssize_t count, std::size_t& allowed) {
  if (count < 0 && errno == EINTR) return false;
  if (count < 0 && errno == EAGAIN) {
    wait_to_write();
    return false;
  }
  if (count < 0) {
    server_.counters().aborted.fetch_add(1, kRelaxed);
    end_ = log::RequestEnd::abort;
    write_access_line(status_);
    close();
    return false;
  }
  const auto bytes = static_cast<std::uint64_t>(count);
  allowed -= static_cast<std::size_t>(count);
  bytes_out_ += bytes;
  server_.counters().bytes_out.fetch_add(bytes, kRelaxed);
  if (rate_.limited()) rate_.spend(bytes);
  if (server_.rate().limited()) server_.rate().spend(bytes);
  if (auto* const slot = server_.slot(slot_)) slot->bytes_out.store(bytes_out_, kRelaxed);
  set_deadline(service_->settings.write_timeout);
  return true;
}

void Connection::wait_to_write() {
  if (writing_) return;
  writing_ = true;
  if (deadline_ == Clock::time_point::max()) set_deadline(service_->settings.write_timeout);
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const error_code& failure) {
                       self->writing_ = false;
                       if (!failure && self->phase_ != Phase::closed) self->pump();
                     });
}

/// All of it has gone out: the next request, or the end.
void Connection::answer_complete() {
  write_access_line(status_);
  server_.counters().requests.fetch_add(1, kRelaxed);
  const auto hundreds = static_cast<std::size_t>(std::clamp(status_ / 100, 1, 5)) - 1;
  server_.counters().statuses[hundreds].fetch_add(1, kRelaxed);
  if (broken_) return close();
  const bool unread = !body_read_ || !in_.empty();
  if (!keep_ || server_.finishing()) return unread ? drain_and_close() : close();
  release_everything();
  phase_ = Phase::head;
  head_out_ = complete_ = script_head_read_ = retried_ = false;
  redirects_ = 0;
  end_ = log::RequestEnd::ok;
  queue_wait_.reset();
  fields_out_.clear();
  enter(DoorState::keepalive);
  set_deadline(service_->settings.keepalive_timeout);
  if (!in_.empty()) advance();
  wait_to_read();
}

void Connection::write_access_line(int status) {
  if (!server_.has_log()) return;
  Served served;
  served.pool = service_->settings.pool;
  served.head = head_read_ ? &head_ : nullptr;
  served.remote = client_.address.empty() ? peer_.address : client_.address;
  served.uri = request_path_;
  served.query = head_read_ ? std::string_view(target_.query) : std::string_view();
  served.script = script_path_;
  const std::string user = head_read_ ? basic_user(head_) : std::string();
  served.user = user;
  served.fields = fields_out_;
  served.status = status;
  served.body_in = body_size_;
  served.body_out = body_out_;
  served.began = began_;
  served.ended = std::chrono::system_clock::now();
  served.duration =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_steady_);
  served.queue_wait = queue_wait_;
  served.end = end_;
  if (is_suppressed(service_->settings.access_suppress, served)) return;
  server_.write_log(service_->access_line.render(served));
}

}  // namespace fpm::http
