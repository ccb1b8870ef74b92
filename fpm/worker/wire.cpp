#include "fpm/worker/wire.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "fpm/os/socket.hpp"
#include "fpm/worker/signals.hpp"

namespace fpm::worker {

using std::chrono::steady_clock;

namespace {

/// poll(2) of one descriptor until `deadline`. A signal returns early. @return it is ready.
bool wait_for(int fd, short events, steady_clock::time_point deadline) {
  const auto left = deadline == steady_clock::time_point::max()
                        ? std::chrono::milliseconds(1000)
                        : std::chrono::ceil<std::chrono::milliseconds>(deadline -
                                                                       steady_clock::now());
  if (left.count() <= 0) return false;
  pollfd one{fd, events, 0};
  const auto bounded = std::min<long long>(left.count(), 1000);
  return ::poll(&one, 1, static_cast<int>(bounded)) > 0;
}

}  // namespace

Wire::Wire()
    : input_(new char[kBuffer]),
      output_(new char[kOutput]),
      writer_(std::span<char>(output_.get(), kOutput)) {}

void Wire::open(os::UniqueFd socket, const sockaddr_storage& peer) {
  socket_ = std::move(socket);
  os::peer_text(peer, peer_);
  failed_ = false;
  tcp_ = peer.ss_family != AF_UNIX;
  last_ = false;
  reading_is_open();
  unparsed_ = {};
  piped_.close();
  parser_.reset();
  writer_.reset();
}

Wire::Received Wire::receive(bool wait, std::size_t most) {
  assert(unparsed_.empty() && most <= kBuffer);
  const ssize_t got = ::recv(socket_.get(), input_.get(), most, wait ? 0 : MSG_DONTWAIT);
  if (got > 0) {
    unparsed_ = {input_.get(), static_cast<std::size_t>(got)};
    return Received::bytes;
  }
  const bool later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  return later ? Received::nothing : Received::end;
}

ssize_t Wire::move_body(int pipe) {
  assert(unparsed_.empty());
  const ssize_t moved = ::splice(socket_.get(), nullptr, pipe, nullptr, parser_.body_left(),
                                 SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (moved > 0) {
    parser_.body_taken(static_cast<std::size_t>(moved));
    return moved;
  }
  return moved < 0 && (errno == EAGAIN || errno == EINTR || errno == EPIPE) ? 0 : -1;
}

fcgi::Event Wire::next() {
  for (;;) {
    const fcgi::Event event = parser_.next(unparsed_);
    switch (event.kind) {
      case fcgi::Event::Kind::get_values:
        writer_.get_values_result(parser_.asked(), {});
        break;
      case fcgi::Event::Kind::unknown_type:
        writer_.unknown_type(event.type);
        break;
      case fcgi::Event::Kind::second_begin:
        writer_.cant_mpx(event.id);
        break;
      default:
        return event;
    }
  }
}

std::string_view Wire::join(std::string_view bytes, std::string_view more) {
  char* const end = input_.get() + (bytes.data() + bytes.size() - input_.get());
  std::memmove(end, more.data(), more.size());
  return {bytes.data(), bytes.size() + more.size()};
}

void Wire::send_last(bool next_possible) {
  last_ = true;
  if (next_possible && !tcp_) ::shutdown(socket_.get(), SHUT_RD);
}

Wire::Sent Wire::send() {
  if (failed_) return Sent::failed;
  if (!piped_.empty()) {
    failed_ = !piped_.send(socket_.get());
    if (failed_) return Sent::failed;
    if (!piped_.empty()) return Sent::partly;
  }
  const std::string_view pending = writer_.pending();
  if (pending.empty()) return Sent::all;
  const int more = last_ && tcp_ ? MSG_MORE : 0;
  const ssize_t sent =
      ::send(socket_.get(), pending.data(), pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL | more);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return Sent::partly;
    failed_ = true;
    return Sent::failed;
  }
  const auto bytes = static_cast<std::size_t>(sent);
  writer_.sent(bytes);
  return bytes == pending.size() ? Sent::all : Sent::partly;
}

std::size_t Wire::write_from(int pipe, std::size_t most, std::uint16_t id) {
  if (send() != Sent::all) return 0;
  std::size_t total = 0;
  while (total < most) {
    const std::size_t taken = piped_.take(pipe, most - total, id);
    if (taken == 0) break;
    total += taken;
  }
  if (total > 0) (void)send();  // what fails shows at the next one
  return total;
}

bool Wire::send_through(std::uint16_t id, std::string_view bytes) {
  constexpr std::size_t kRecords = 32;
  char heads[kRecords][fcgi::kHeaderSize];
  std::array<iovec, 2 * kRecords + 1> parts;
  while (!failed_ && (!bytes.empty() || !writer_.pending().empty())) {
    const std::string_view waits = writer_.pending();
    std::size_t count = 0;
    if (!waits.empty()) parts[count++] = {const_cast<char*>(waits.data()), waits.size()};
    for (std::size_t i = 0; i < kRecords && !bytes.empty(); ++i) {
      const std::string_view piece = bytes.substr(0, fcgi::kMaxContent);
      bytes.remove_prefix(piece.size());
      fcgi::encode_record_header(fcgi::RecordType::stdout_stream, id, piece.size(), heads[i]);
      parts[count++] = {heads[i], fcgi::kHeaderSize};
      parts[count++] = {const_cast<char*>(piece.data()), piece.size()};
    }
    failed_ = !send_parts({parts.data(), count});
    writer_.sent(waits.size());
  }
  return !failed_;
}

/// Blocks until the kernel has all of them. @return false: the peer is gone.
bool Wire::send_parts(std::span<iovec> parts) {
  while (!parts.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return false;
    auto left = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    while (!parts.empty() && left >= parts.front().iov_len) {
      left -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (parts.empty()) break;
    parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + left;
    parts.front().iov_len -= left;
  }
  return true;
}

bool Wire::send_all(steady_clock::time_point deadline) {
  for (;;) {
    const Sent sent = send();
    if (sent != Sent::partly) {
      piped_.close();
      return sent == Sent::all;
    }
    if (terminate_asked() && deadline == steady_clock::time_point::max()) return false;
    if (deadline != steady_clock::time_point::max() && steady_clock::now() >= deadline) {
      return false;
    }
    wait_for(socket_.get(), POLLOUT, deadline);
  }
}

void Wire::drain() {
  constexpr std::size_t kMost = 64 * 1024 * 1024;
  const auto end = steady_clock::now() + std::chrono::seconds(5);
  ::shutdown(socket_.get(), SHUT_WR);
  std::size_t total = 0;
  while (total < kMost && steady_clock::now() < end) {
    const ssize_t got = ::recv(socket_.get(), input_.get(), kBuffer, MSG_DONTWAIT);
    if (got == 0) return;
    if (got > 0) {
      total += static_cast<std::size_t>(got);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return;
    const auto silence = steady_clock::now() + std::chrono::seconds(2);
    if (terminate_asked()) return;
    while (!wait_for(socket_.get(), POLLIN, std::min(end, silence))) {
      if (steady_clock::now() >= std::min(end, silence) || terminate_asked()) return;
    }
  }
}

void Wire::end() {
  if (all_was_read()) {
    drop();
  } else {
    ::shutdown(socket_.get(), SHUT_WR);
  }
}

void Wire::close() {
  if (is_open() && !all_was_read()) drain();
  drop();
}

void Wire::drop() { socket_.reset(); }

}  // namespace fpm::worker
