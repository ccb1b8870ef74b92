#include "fcgi/client.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace fcgi {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint16_t kRequestId = 1;  // as nginx: the only id that every application has seen

std::string errno_line(std::string_view what, int code) {
  char buffer[128];
  return std::string(what) + ": " + ::strerror_r(code, buffer, sizeof buffer);
}

/// "5 s", "0.25 s".
std::string seconds(milliseconds time) {
  std::string text = std::to_string(time.count() / 1000);
  if (const auto rest = time.count() % 1000; rest != 0) {
    std::string fraction = std::to_string(1000 + rest).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += "." + fraction;
  }
  return text + " s";
}

/// When something must have happened at the latest; never, for a limit of zero.
class Deadline {
 public:
  explicit Deadline(milliseconds limit) : limit_(limit) { restart(); }
  void restart() { end_ = Clock::now() + limit_; }
  bool passed() const { return limit_.count() > 0 && Clock::now() >= end_; }
  milliseconds limit() const { return limit_; }
  /// For poll(2): milliseconds rounded up, -1 without a limit.
  int poll_timeout() const {
    if (limit_.count() == 0) return -1;
    const auto left = std::chrono::ceil<milliseconds>(end_ - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
  }

 private:
  milliseconds limit_;
  Clock::time_point end_;
};

int sooner(int first, int second) {
  if (first < 0) return second;
  if (second < 0) return first;
  return std::min(first, second);
}

/// Connects a fresh socket within the limit. @return the socket, or -1 with errno set.
int connect_to(const sockaddr* address, socklen_t length, milliseconds limit) {
  const int fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const auto failed = [fd](int code) {
    ::close(fd);
    errno = code;
    return -1;
  };
  const Deadline deadline(limit);
  // A UNIX socket with a full queue answers EAGAIN and can not be polled for: ask again.
  while (::connect(fd, address, length) < 0) {
    if (errno == EISCONN) break;
    if (errno != EINPROGRESS && errno != EALREADY && errno != EAGAIN && errno != EINTR) {
      return failed(errno);
    }
    if (deadline.passed()) return failed(ETIMEDOUT);
    pollfd wait{fd, POLLOUT, 0};
    const bool full_queue = errno == EAGAIN;
    ::poll(&wait, full_queue ? 0 : 1, full_queue ? 10 : deadline.poll_timeout());
    int code = 0;
    socklen_t size = sizeof code;
    if (!full_queue && ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code != 0) {
      return failed(code);
    }
  }
  return fd;
}

int connect_unix(std::string_view path, milliseconds limit) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    errno = path.empty() ? EINVAL : ENAMETOOLONG;
    return -1;
  }
  path.copy(address.sun_path, path.size());
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path.front() == '@') {
    address.sun_path[0] = '\0';  // an abstract name, whose length counts
  } else {
    ++length;
  }
  return connect_to(reinterpret_cast<const sockaddr*>(&address), length, limit);
}

struct HostPort {
  std::string host;
  std::string port;
};

/// "host:port", "[::1]:port", ":port" and "port" (both 127.0.0.1).
std::optional<HostPort> split_address(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "" : address.substr(0, colon);
  const std::string_view port =
      colon == std::string_view::npos ? address : address.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  std::uint16_t number = 0;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || number == 0) {
    return std::nullopt;
  }
  return HostPort{host.empty() ? "127.0.0.1" : std::string(host), std::string(port)};
}

/// Tries every address of the name. @return the socket, or -1 and `error`.
int connect_tcp(const HostPort& where, milliseconds limit, std::string& error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found);
      code != 0) {
    error = ::gai_strerror(code);
    return -1;
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = connect_to(one->ai_addr, one->ai_addrlen, limit);
    if (fd < 0) continue;
    const int on = 1;  // a small last record must not wait for the acknowledgement of the first
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  char buffer[128];
  error = ::strerror_r(errno, buffer, sizeof buffer);
  return -1;
}

/// One request in both directions at once.
class Conversation {
 public:
  Conversation(int fd, const Request& request, const ClientTimeouts& timeouts)
      : fd_(fd), request_(request), idle_(timeouts.idle), total_(timeouts.total) {
    append_begin(output_, kRequestId, request.role, request.keep_conn);
    append_params(output_, kRequestId, request.params != nullptr ? *request.params : Params());
    // An authorizer gets no body: the server of the request keeps it.
    if (request.role == Role::authorizer) body_ended_ = true;
  }

  Reply run();
  bool reusable() const { return parser_.reusable() && body_ended_ && unsent().empty(); }

 private:
  static constexpr std::size_t kPiece = kMaxStdinRecord;

  std::string_view unsent() const { return std::string_view(output_).substr(sent_); }
  void fail(std::string error);
  void step();
  bool wants_body() const { return sending_ && !body_ended_ && unsent().size() < kPiece; }
  void fill();
  void end_body();
  void send();
  void receive();
  void take(std::string_view input);
  void apply(const ResponseEvent& event);

  int fd_;
  const Request& request_;
  Deadline idle_;
  Deadline total_;
  ResponseParser parser_{kRequestId};
  Reply reply_;
  std::string output_;
  std::size_t sent_ = 0;
  std::size_t body_at_ = 0;
  bool body_ended_ = false;
  bool sending_ = true;
  std::vector<char> buffer_ = std::vector<char>(65536);
};

Reply Conversation::run() {
  while (reply_.ok() && !parser_.ended()) step();
  return std::move(reply_);
}

void Conversation::fail(std::string error) {
  if (reply_.error.empty()) reply_.error = std::move(error);
}

/// Waits for whatever can move next and moves it.
void Conversation::step() {
  const bool polls_body = wants_body() && request_.body.read && request_.body.fd >= 0;
  if (wants_body() && !polls_body) fill();
  if (!reply_.ok()) return;

  pollfd waits[2] = {{fd_, POLLIN, 0}, {request_.body.fd, POLLIN, 0}};
  if (sending_ && !unsent().empty()) waits[0].events |= POLLOUT;
  const int timeout = sooner(idle_.poll_timeout(), total_.poll_timeout());
  const int ready = ::poll(waits, polls_body ? 2 : 1, timeout);
  if (ready < 0 && errno != EINTR) return fail(errno_line("poll", errno));
  if (ready > 0) {
    idle_.restart();
    if (polls_body && waits[1].revents != 0) fill();
    if ((waits[0].revents & POLLOUT) != 0) send();
    if ((waits[0].revents & ~POLLOUT) != 0) receive();
  }
  if (parser_.ended()) return;
  if (total_.passed()) return fail("no complete answer within " + seconds(total_.limit()));
  if (idle_.passed()) return fail("nothing received for " + seconds(idle_.limit()));
}

/// Turns the next piece of the body into a record.
void Conversation::fill() {
  output_.erase(0, std::exchange(sent_, 0));  // less than a piece is left to move
  if (!request_.body.read) {
    const std::string_view piece = request_.body.bytes.substr(body_at_, kPiece);
    body_at_ += piece.size();
    append_stdin(output_, kRequestId, piece);
    if (body_at_ == request_.body.bytes.size()) end_body();
    return;
  }
  const std::ptrdiff_t got = request_.body.read(std::span(buffer_).first(kPiece));
  if (got < 0) return fail(errno_line("read the body", errno));
  append_stdin(output_, kRequestId, {buffer_.data(), static_cast<std::size_t>(got)});
  if (got == 0) end_body();
}

void Conversation::end_body() {
  append_stdin_end(output_, kRequestId);
  body_ended_ = true;
}

void Conversation::send() {
  const ssize_t sent = ::send(fd_, unsent().data(), unsent().size(), MSG_NOSIGNAL);
  if (sent >= 0) {
    sent_ += static_cast<std::size_t>(sent);
  } else if (errno != EAGAIN && errno != EINTR) {
    // The server reads no more. It may have answered before: that is still to be received.
    sending_ = false;
  }
}

void Conversation::receive() {
  const ssize_t got = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
  if (got > 0) return take({buffer_.data(), static_cast<std::size_t>(got)});
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return fail(errno_line("receive", errno));
  fail(reply_.out_bytes == 0 ? "the connection was closed without an answer"
                             : "the connection was closed before the end of the answer");
}

void Conversation::take(std::string_view input) {
  for (;;) {
    const ResponseEvent event = parser_.next(input);
    if (event.kind == ResponseEvent::Kind::need_more) return;
    if (event.kind == ResponseEvent::Kind::bad) {
      // What comes after END_REQUEST spoils the connection, not the answer.
      if (!parser_.ended()) fail("broken answer: " + std::string(event.reason));
      return;
    }
    apply(event);
  }
}

void Conversation::apply(const ResponseEvent& event) {
  switch (event.kind) {
    case ResponseEvent::Kind::out_bytes:
      reply_.out_bytes += event.bytes.size();
      if (request_.on_out) request_.on_out(event.bytes);
      break;
    case ResponseEvent::Kind::err_bytes:
      if (request_.on_err) request_.on_err(event.bytes);
      break;
    case ResponseEvent::Kind::end:
      reply_.app_status = event.app_status;
      reply_.protocol_status = event.protocol_status;
      break;
    default:
      break;
  }
}

}  // namespace

void Client::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::string Client::connect(std::string_view address) {
  close();
  std::string error;
  const std::string step = "connect " + std::string(address);
  if (address.starts_with("unix:") || address.starts_with("/")) {
    const std::string_view path = address.starts_with("/") ? address : address.substr(5);
    fd_ = connect_unix(path, timeouts_.connect);
    return fd_ >= 0 ? std::string() : errno_line(step, errno);
  }
  const std::optional<HostPort> where = split_address(address);
  if (!where) return step + ": expected unix:/path or host:port";
  fd_ = connect_tcp(*where, timeouts_.connect, error);
  return fd_ >= 0 ? std::string() : step + ": " + error;
}

Reply Client::request(const Request& request) {
  if (!connected()) {
    Reply reply;
    reply.error = "not connected";
    return reply;
  }
  Conversation conversation(fd_, request, timeouts_);
  Reply reply = conversation.run();
  if (!reply.ok() || !request.keep_conn || !conversation.reusable()) close();
  return reply;
}

std::string Client::get_values(const Params& names, Params& values) {
  values.clear();
  if (!connected()) return "not connected";
  std::string output;
  append_get_values(output, names);
  std::string_view unsent = output;
  ResponseParser parser(kRequestId);
  Deadline total(timeouts_.total.count() > 0 ? timeouts_.total : timeouts_.idle);
  const auto failed = [this](std::string error) {
    close();
    return error;
  };
  for (;;) {
    pollfd wait{fd_, static_cast<short>(POLLIN | (unsent.empty() ? 0 : POLLOUT)), 0};
    if (::poll(&wait, 1, total.poll_timeout()) < 0 && errno != EINTR) {
      return failed(errno_line("poll", errno));
    }
    if ((wait.revents & POLLOUT) != 0) {
      const ssize_t sent = ::send(fd_, unsent.data(), unsent.size(), MSG_NOSIGNAL);
      if (sent > 0) unsent.remove_prefix(static_cast<std::size_t>(sent));
    }
    if ((wait.revents & ~POLLOUT) != 0) {
      char buffer[4096];
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
      if (got == 0) return failed("the connection was closed without an answer");
      if (got < 0 && errno != EAGAIN && errno != EINTR) {
        return failed(errno_line("receive", errno));
      }
      std::string_view input(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
      const ResponseEvent event = parser.next(input);
      if (event.kind == ResponseEvent::Kind::unknown_type) return {};
      if (event.kind == ResponseEvent::Kind::get_values_result) {
        for (const Param param : parser.values()) values.add(param.name, param.value);
        return {};
      }
      if (event.kind != ResponseEvent::Kind::need_more) {
        return failed("broken answer to GET_VALUES");
      }
    }
    if (total.passed()) return failed("no answer within " + seconds(total.limit()));
  }
}

}  // namespace fcgi
