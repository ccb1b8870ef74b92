#include "fpm/http/exchange.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "fcgi/request.hpp"

namespace fpm::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::uint16_t kId = 1;
/// How long a pool that cannot be reached is tried, and how often.
constexpr std::chrono::milliseconds kPatience{1000};
constexpr std::chrono::milliseconds kAgain{20};
/// Then it is the others' turn.
constexpr int kReadsAtOnce = 16;
constexpr std::size_t kBodyAtOnce = 64 * 1024;

/// It may be better in a moment: the queue is full, or a new generation is about to take over.
bool may_pass(int code) { return code == EAGAIN || code == ECONNREFUSED || code == ENOENT; }

}  // namespace

Exchange::Exchange(asio::io_context& io, CurrentService service, ExchangeOwner& owner,
                   PoolLinks& links, std::span<char> buffer)
    : socket_(io),
      again_(io),
      service_(std::move(service)),
      links_(links),
      owner_(&owner),
      buffer_(buffer),
      parser_(kId) {}

Exchange::~Exchange() = default;

void Exchange::start(const fcgi::Params& params, Spool& body, bool kept) {
  body_ = &body;
  kept_ = kept;
  fcgi::append_begin(out_, kId, fcgi::Role::responder, kept);
  fcgi::append_params(out_, kId, params);
  (void)fill();
  began_ = Clock::now();
  if (auto link = kept ? links_.take() : std::nullopt) return use_link(std::move(*link));
  connect();
}

void Exchange::use_link(PoolLinks::Link link) {
  socket_ = std::move(link);
  connected_ = true;
  send_some();
  wait_to_receive();
}

void Exchange::connect() {
  const auto service = service_();
  os::UniqueFd fd(::socket(service->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return connect_later(errno);
  const int done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&service->address),
                             service->address_size);
  const int code = done < 0 ? errno : 0;
  if (code != 0 && code != EINPROGRESS) return connect_later(code);
  error_code failure;
  socket_.assign(fd.get(), failure);
  if (failure) return connect_later(failure.value());
  (void)fd.release();
  connected_ = code == 0;
  if (connected_) {
    send_some();
    if (owner_ != nullptr && socket_.is_open()) wait_to_receive();
  } else {
    wait_to_send();
  }
}

void Exchange::connect_later(int code) {
  if (!may_pass(code) || Clock::now() - began_ > kPatience) {
    return asio::post(socket_.get_executor(), [self = shared_from_this(), code] {
      self->end(ExchangeEnd::refused, os::Error(code, "connect to the pool").text());
    });
  }
  again_.expires_after(kAgain);
  again_.async_wait([self = shared_from_this()](const error_code& cancelled) {
    if (!cancelled && self->owner_ != nullptr) self->connect();
  });
}

/// The next piece of the body into out_. @return there is something to send.
bool Exchange::fill() {
  out_.erase(0, sent_);
  sent_ = 0;
  if (body_ended_) return !out_.empty();
  if (const std::string_view bytes = body_->in_memory(); !bytes.empty()) {
    fcgi::append_stdin(out_, kId, bytes);
    body_->take(bytes.size());
  } else if (body_->file_size() > 0) {
    std::string piece(std::min<std::uint64_t>(body_->file_size(), kBodyAtOnce), '\0');
    const ssize_t count = ::pread(body_->file(), piece.data(), piece.size(),
                                  static_cast<off_t>(body_->file_offset()));
    if (count <= 0) return false;  // a disk that fails: the worker waits, and its time limit holds
    fcgi::append_stdin(out_, kId, std::string_view(piece).substr(0, static_cast<std::size_t>(count)));
    body_->take(static_cast<std::uint64_t>(count));
  }
  if (body_->empty()) {
    fcgi::append_stdin_end(out_, kId);
    body_ended_ = true;
  }
  return true;
}

void Exchange::send_some() {
  while (sent_ < out_.size() || fill()) {
    const ssize_t count = ::send(socket_.native_handle(), out_.data() + sent_, out_.size() - sent_,
                                 MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return wait_to_send();
    // A pool that does not read the body any more may well have answered: that is received.
    if (count < 0) return;
    sent_ += static_cast<std::size_t>(count);
    if (sent_ == out_.size() && body_ended_) return;
  }
}

void Exchange::wait_to_send() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const error_code& failure) {
                       if (failure || self->owner_ == nullptr) return;
                       if (!self->connected_) {
                         int code = 0;
                         socklen_t size = sizeof code;
                         ::getsockopt(self->socket_.native_handle(), SOL_SOCKET, SO_ERROR, &code, &size);
                         if (code != 0) {
                           error_code ignored;
                           self->socket_.close(ignored);
                           return self->connect_later(code);
                         }
                         self->connected_ = true;
                         self->wait_to_receive();
                       }
                       self->send_some();
                     });
}

void Exchange::wait_to_receive() {
  if (receiving_) return;
  receiving_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const error_code& failure) {
                       self->receiving_ = false;
                       if (!failure && self->owner_ != nullptr) self->receive_some();
                     });
}

void Exchange::receive_some() {
  for (int i = 0; i < kReadsAtOnce && !paused_; ++i) {
    const ssize_t count = ::recv(socket_.native_handle(), buffer_.data(), buffer_.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return end(ExchangeEnd::broken, os::last_error("receive from the pool").text());
    if (count == 0) return end(ExchangeEnd::broken, "the worker has closed its connection");
    if (!take({buffer_.data(), static_cast<std::size_t>(count)})) return;
    if (static_cast<std::size_t>(count) < buffer_.size()) break;  // that was all
  }
  owner_->caught_up();
  if (owner_ != nullptr && !paused_) wait_to_receive();
}

/// @return false: it has ended.
bool Exchange::take(std::string_view bytes) {
  const auto self = shared_from_this();
  while (true) {
    const fcgi::ResponseEvent event = parser_.next(bytes);
    using Kind = fcgi::ResponseEvent::Kind;
    switch (event.kind) {
      case Kind::need_more:
        return true;
      case Kind::out_bytes:
        received_ += event.bytes.size();
        if (!owner_->take_output(event.bytes)) paused_ = true;
        if (owner_ == nullptr) return false;
        if (paused_) {
          held_ = bytes;
          return true;
        }
        break;
      case Kind::err_bytes:
        owner_->take_errors(event.bytes);
        break;
      case Kind::end:
        if (event.protocol_status == fcgi::ProtocolStatus::request_complete) {
          if (kept_ && bytes.empty() && body_ended_ && sent_ == out_.size()) links_.give(std::move(socket_));
          end(ExchangeEnd::complete, {});
        } else {
          end(ExchangeEnd::refused, "the pool has refused the request");
        }
        return false;
      case Kind::bad:
        end(ExchangeEnd::malformed, std::string(event.reason));
        return false;
      default:
        break;
    }
  }
}

void Exchange::resume() {
  if (!paused_ || resuming_ || owner_ == nullptr) return;
  resuming_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->resuming_ = self->paused_ = false;
    if (self->owner_ == nullptr) return;
    const std::string held = std::exchange(self->held_, {});
    if (!held.empty() && !self->take(held)) return;
    self->owner_->caught_up();
    if (self->owner_ != nullptr && !self->paused_) self->wait_to_receive();
  });
}

void Exchange::abort() {
  owner_ = nullptr;
  error_code ignored;
  again_.cancel();
  if (socket_.is_open()) socket_.close(ignored);
}

void Exchange::end(ExchangeEnd how, const std::string& reason) {
  if (owner_ == nullptr) return;
  const auto self = shared_from_this();
  ExchangeOwner& owner = *owner_;
  abort();
  owner.exchange_ended(how, reason);
}

}  // namespace fpm::http
