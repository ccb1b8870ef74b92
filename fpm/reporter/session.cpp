#include "fpm/reporter/session.hpp"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <exception>

namespace fpm::reporter {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr char kFastcgiVersion = 1;

}  // namespace

Session::Session(Server& server, os::UniqueFd socket, std::string pool)
    : server_(server),
      pool_(std::move(pool)),
      socket_(server.io_, socket.release()),
      timer_(server.io_) {}

/// A handler that keeps the session alive, does nothing once it is closed, and closes it when
/// something is thrown (memory): nobody else's connection is to suffer.
template <class Work>
auto Session::guarded(Work work) {
  return [self = shared_from_this(), work](const error_code& failure, std::size_t bytes) {
    if (self->closed_) return;
    try {
      work(*self, failure, bytes);
    } catch (const std::exception&) {
      self->close();
    }
  };
}

void Session::start() {
  in_request_ = true;
  limit(server_.patience_.request);
  read();
}

void Session::limit(std::chrono::milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    if (cancelled) return;
    const auto self = weak.lock();
    // It may have been set anew while this was on its way.
    if (self && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) self->close();
  });
}

void Session::close() {
  if (closed_) return;
  closed_ = true;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  const auto keep = shared_from_this();
  server_.sessions_.erase(place);
}

void Session::go_on() {
  if (talk_ && !talk_->pending().empty()) return write();
  if (talk_ && talk_->over()) return drain();
  // A request's time is not prolonged by every byte of it.
  const bool idle = talk_ && talk_->idle();
  if (idle) {
    in_request_ = false;
    limit(server_.patience_.kept);
  } else if (!in_request_) {
    in_request_ = true;
    limit(server_.patience_.request);
  }
  read();
}

void Session::read() {
  socket_.async_read_some(
      asio::buffer(buffer_),
      guarded([](Session& self, const error_code& failure, std::size_t bytes) {
        if (failure) return self.close();
        self.take({self.buffer_.data(), bytes});
        if (!self.closed_) self.go_on();
      }));
}

void Session::take(std::string_view bytes) {
  // Silent for longest is who sends nothing.
  server_.sessions_.splice(server_.sessions_.end(), server_.sessions_, place);
  if (!talk_) {
    const Answer answer = [this](const Ask& ask) { return server_.answer(pool_, ask); };
    const bool fastcgi = bytes.front() == kFastcgiVersion;
    if (!fastcgi && !pool_.empty()) return close();
    talk_ = fastcgi ? talk_fastcgi(answer) : talk_http(answer);
  }
  talk_->take(bytes);
}

void Session::write() {
  in_request_ = false;
  limit(server_.patience_.send);
  const std::string_view out = talk_->pending();
  socket_.async_write_some(
      asio::buffer(out.data(), out.size()),
      guarded([](Session& self, const error_code& failure, std::size_t bytes) {
        if (failure) return self.close();
        self.talk_->sent(bytes);
        self.go_on();
      }));
}

/// A close with unread input makes the peer lose the answer: the writing side first, and the rest
/// when the peer has closed too, or has had time to.
void Session::drain() {
  if (::shutdown(socket_.native_handle(), SHUT_WR) < 0) return close();
  limit(server_.patience_.drain);
  talk_.reset();
  drop_input();
}

void Session::drop_input() {
  socket_.async_read_some(
      asio::buffer(buffer_), guarded([](Session& self, const error_code& failure, std::size_t) {
        if (failure) return self.close();
        self.drop_input();
      }));
}

}  // namespace fpm::reporter
