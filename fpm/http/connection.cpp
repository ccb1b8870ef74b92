// The life of a connection.
#include "fpm/http/connection.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fpm/os/socket.hpp"

namespace fpm::http {

namespace asio = boost::asio;
using boost::system::error_code;
using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
/// What is kept of a client that sends on while its request is answered.
constexpr std::size_t kMostAhead = 64 * 1024;
/// A client that has connected, and said nothing yet, when the door ends.
constexpr Milliseconds kFirstRequest{1000};
/// A client that was told to go has so long to be silent, and to go.
constexpr Milliseconds kDrainSilence{2000};
constexpr Milliseconds kDrainTime{5000};

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Endpoint endpoint(const sockaddr_storage& address) {
  char text[46];
  if (address.ss_family == AF_INET) {
    os::peer_text(address, text);
    return {text, ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port)};
  }
  if (address.ss_family == AF_INET6) {
    os::peer_text(address, text);
    return {text, ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)};
  }
  return {"unix:", 0};
}

}  // namespace

Connection::Connection(Server& server, std::uint64_t id, std::size_t slot, os::UniqueFd socket,
                       const sockaddr_storage& peer)
    : server_(server), id_(id), slot_(slot), socket_(server.io()), peer_(endpoint(peer)) {
  error_code failure;
  socket_.assign(socket.get(), failure);
  if (!failure) (void)socket.release();
}

Connection::~Connection() = default;

/// Where the client has connected to; the kernel is asked once.
const Endpoint& Connection::local() {
  if (local_.address.empty()) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(socket_.native_handle(), reinterpret_cast<sockaddr*>(&address), &length);
    local_ = endpoint(address);
  }
  return local_;
}

void Connection::start() {
  if (auto* const slot = server_.slot(slot_)) {
    slot->opened_ns.store(monotonic_ns(), kRelaxed);
    for (auto* number : {&slot->bytes_in, &slot->bytes_out, &slot->requests}) {
      number->store(0, kRelaxed);
    }
    scoreboard::write_words(peer_.address, slot->remote.data(), slot->remote.size());
    scoreboard::write_words({}, slot->request.data(), slot->request.size());
  }
  enter(DoorState::reading);
  if (!socket_.is_open()) return close();
  service_ = server_.service();
  set_deadline(service_->settings.header_timeout);
  wait_to_read();
}

/// Its state, in the numbers of the door and in its own line.
void Connection::enter(DoorState state) {
  auto& numbers = server_.counters().connections;
  const auto change = [&](DoorState of, std::uint64_t by) {
    auto& number = numbers[static_cast<std::size_t>(of)];
    number.store(number.load(kRelaxed) + by, kRelaxed);  // one writer
  };
  if (counted_ && state == state_) return;
  if (counted_) change(state_, ~std::uint64_t{0});
  change(state, 1);
  counted_ = true;
  state_ = state;
  auto* const slot = server_.slot(slot_);
  if (slot == nullptr) return;
  slot->state.store(static_cast<std::uint64_t>(state) + 1, kRelaxed);
  slot->changed_ns.store(monotonic_ns(), kRelaxed);
}

/// 0: none.
void Connection::set_deadline(std::int64_t milliseconds) {
  deadline_ = milliseconds > 0 ? Clock::now() + Milliseconds(milliseconds)
                               : Clock::time_point::max();
}

void Connection::wait_to_read() {
  if (reading_ || phase_ == Phase::closed) return;
  reading_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const error_code& failure) {
                       self->reading_ = false;
                       if (!failure && self->phase_ != Phase::closed) self->on_readable();
                     });
}

void Connection::on_readable() {
  const std::span<char> buffer = server_.buffer();
  const ssize_t count = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return wait_to_read();
  if (count <= 0) return client_left();
  bytes_in_ += static_cast<std::uint64_t>(count);
  server_.counters().bytes_in.fetch_add(static_cast<std::uint64_t>(count), kRelaxed);
  if (auto* const slot = server_.slot(slot_)) slot->bytes_in.store(bytes_in_, kRelaxed);
  if (phase_ == Phase::drain) {
    deadline_ = std::min(drain_until_, Clock::now() + kDrainSilence);
    return wait_to_read();
  }
  in_.append(buffer.data(), static_cast<std::size_t>(count));
  advance();
  // One that sends ahead is heard out up to a limit.
  const bool wanted = phase_ == Phase::answer ? in_.size() < kMostAhead : need_ == Need::nothing;
  if (wanted) wait_to_read();
}

/// It has closed its side, or all of it: whatever runs for it is in vain.
void Connection::client_left() {
  if (phase_ == Phase::answer && !complete_) {
    server_.counters().aborted.fetch_add(1, kRelaxed);
    end_ = log::RequestEnd::abort;
    write_access_line(head_out_ ? status_ : 499);
  } else if (phase_ == Phase::answer) {
    return;  // half closed: it still reads
  }
  close();
}

void Connection::on_time(Clock::time_point now) {
  if (now >= paused_until_) {
    paused_until_ = Clock::time_point::max();
    pump();
  }
  if (phase_ == Phase::closed || now < deadline_) return;
  deadline_ = Clock::time_point::max();
  switch (phase_) {
    case Phase::head:
      if (state_ == DoorState::keepalive || in_.empty()) return close();
      refuse_head(408);
      return;
    case Phase::body:
      if (need_ != Need::nothing) return;  // it is us who let it wait
      keep_ = false;
      end_ = log::RequestEnd::timeout;
      refuse(408);
      return;
    case Phase::answer:
      if (!has_output()) return;
      server_.counters().aborted.fetch_add(1, kRelaxed);
      end_ = log::RequestEnd::timeout;
      write_access_line(status_);
      return close();
    default:
      close();
  }
}

void Connection::finish() {
  keep_ = false;
  if (phase_ != Phase::head || !in_.empty() || has_input()) return;
  if (requests_ > 0) return close();
  // Its first request may be on its way; a browser opens some in advance, so it is not waited for long.
  deadline_ = std::min(deadline_, Clock::now() + kFirstRequest);
}

/// Something has arrived that nobody has read yet, be it the end.
bool Connection::has_input() {
  char byte = 0;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/// A close with unread input would make the client lose the answer: its side is read to the end first,
/// within limits.
void Connection::drain_and_close() {
  release_everything();
  ::shutdown(socket_.native_handle(), SHUT_WR);
  in_ = std::string();
  phase_ = Phase::drain;
  need_ = Need::nothing;
  enter(DoorState::closing);
  drain_until_ = Clock::now() + kDrainTime;
  deadline_ = Clock::now() + kDrainSilence;
  wait_to_read();
}

/// What the request holds goes back.
void Connection::release_everything() {
  if (exchange_) std::exchange(exchange_, nullptr)->abort();
  leave_pool();
  if (need_ != Need::nothing) server_.descriptors().leave(id_);
  need_ = Need::nothing;
  file_.reset();
  body_.clear();
  spool_.clear();
  for (bool* holds : {&holds_route_, &holds_file_, &holds_exchange_, &spool_holds_file_}) {
    if (std::exchange(*holds, false)) server_.descriptors().give_back();
  }
  server_.hand_on();
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  const auto self = shared_from_this();
  phase_ = Phase::closed;
  release_everything();
  error_code ignored;
  if (socket_.is_open()) socket_.close(ignored);
  if (counted_) {
    auto& number = server_.counters().connections[static_cast<std::size_t>(state_)];
    number.store(number.load(kRelaxed) - 1, kRelaxed);
  }
  if (auto* const slot = server_.slot(slot_)) slot->state.store(0, kRelaxed);
  server_.closed(id_, slot_);
}

}  // namespace fpm::http
