#include "tools/fcgi_bench/load.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <vector>

#include "fpm/os/fd.hpp"
#include "tools/fcgi_bench/codec.hpp"

namespace fcgi_bench {

namespace {

using Clock = std::chrono::steady_clock;
using fpm::os::UniqueFd;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  bool tcp = false;
};

Address resolve(const std::string& text) {
  Address address;
  if (text.find('/') != text.npos || text.find(':') == text.npos) {
    auto* const path = reinterpret_cast<sockaddr_un*>(&address.storage);
    path->sun_family = AF_UNIX;
    if (text.size() >= sizeof path->sun_path) throw std::runtime_error("the path is too long");
    text.copy(path->sun_path, sizeof path->sun_path - 1);
    address.length = sizeof *path;
    return address;
  }
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int code = ::getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found);
  if (code != 0) throw std::runtime_error(fmt::format("{}: {}", text, ::gai_strerror(code)));
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  address.tcp = true;
  ::freeaddrinfo(found);
  return address;
}

/// A request that is due, or under way.
struct Request {
  Clock::time_point due;
  std::size_t kind = 0;
  bool again = false;
};

struct Client {
  UniqueFd fd;
  bool busy = false;
  bool used = false;  // the connection has had an answer before
  std::size_t sent = 0;
  Request request;
  Clock::time_point began;
  Answer answer;
  std::unique_ptr<Reader> reader;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        address_(resolve(options.address)),
        requests_(encode_requests(options)),
        clients_(options.clients) {
    for (std::size_t kind = 0; kind < options.mix.size(); ++kind) {
      order_.insert(order_.end(), options.mix[kind].weight, kind);
    }
    for (Client& client : clients_) client.reader = make_reader(options);
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) throw std::runtime_error("epoll_create1");
    for (std::size_t i = clients_.size(); i > 0; --i) idle_.push_back(i - 1);
  }

  Report run();

 private:
  bool more_to_come() const {
    return options_.requests > 0 ? made_ < options_.requests
                                 : Clock::now() < began_ + options_.duration;
  }
  void make_due();
  void start_some();
  void start(std::size_t index, const Request& request);
  bool connect(Client& client, std::size_t index);
  void send(std::size_t index);
  void receive(std::size_t index);
  void finish(std::size_t index);
  void fail(std::size_t index, Failure failure);
  void broken(std::size_t index, int code);
  void release(std::size_t index, bool keep);
  void check_timeouts();
  timespec next_due() const;
  void progress();

  const Options& options_;
  const Address address_;
  const std::vector<std::string> requests_;
  std::vector<std::size_t> order_;  // kinds, as often as their weights
  std::vector<Client> clients_;
  std::vector<std::size_t> idle_;
  std::deque<Request> due_;
  UniqueFd epoll_;
  Clock::time_point began_{}, shown_{};
  std::uint64_t made_ = 0;
  std::size_t busy_ = 0;
  std::array<char, 65536> buffer_{};
  Report report_;
};

Report Load::run() {
  began_ = shown_ = Clock::now();
  const double cpu = own_cpu_s();
  const double server_cpu = tree_cpu_s(options_.trees);
  std::array<epoll_event, 256> events;
  while (more_to_come() || busy_ > 0 || !due_.empty()) {
    make_due();
    start_some();
    const timespec wait = next_due();
    const int ready = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                     &wait, nullptr);
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t index = events[static_cast<std::size_t>(i)].data.u64;
      const std::uint32_t what = events[static_cast<std::size_t>(i)].events;
      if (clients_[index].busy && (what & EPOLLOUT) != 0) send(index);
      if (clients_[index].fd && (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(index);
    }
    check_timeouts();
    progress();
  }
  report_.seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  report_.own_cpu_s = own_cpu_s() - cpu;
  report_.server_cpu_s = tree_cpu_s(options_.trees) - server_cpu;
  return std::move(report_);
}

/// Requests whose moment has come. At a fixed rate that depends on the clock alone: a server that
/// stands still is charged with all that should have been asked meanwhile.
void Load::make_due() {
  const auto now = Clock::now();
  while (more_to_come()) {
    auto due = now;
    if (options_.rate > 0) {
      const double at = static_cast<double>(made_) / options_.rate;
      due = began_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at));
      if (due > now) return;
    } else if (due_.size() >= idle_.size()) {
      return;
    }
    due_.push_back({due, order_[made_ % order_.size()], false});
    ++made_;
  }
}

void Load::start_some() {
  while (!due_.empty() && !idle_.empty()) {
    const std::size_t index = idle_.back();
    idle_.pop_back();
    const Request request = due_.front();
    due_.pop_front();
    start(index, request);
  }
}

void Load::start(std::size_t index, const Request& request) {
  Client& client = clients_[index];
  client.request = request;
  client.busy = true;
  ++busy_;
  if (!request.again) ++report_.sent;
  client.sent = 0;
  client.answer = {};
  client.began = Clock::now();
  const bool fresh = !client.fd;
  if (fresh && !connect(client, index)) return;
  client.reader->start(fresh);
  send(index);
}

bool Load::connect(Client& client, std::size_t index) {
  client.fd.reset(::socket(address_.storage.ss_family,
                           SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  client.used = false;
  ++report_.connections;
  const auto* const to = reinterpret_cast<const sockaddr*>(&address_.storage);
  const int on = 1;
  if (address_.tcp) {
    ::setsockopt(client.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(client.fd.get(), to, address_.length) < 0 && errno != EINPROGRESS) {
    fail(index, errno == EAGAIN ? Failure::backlog : Failure::refused);
    return false;
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.u64 = index;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.fd.get(), &event);
  return true;
}

void Load::send(std::size_t index) {
  Client& client = clients_[index];
  const std::string& bytes = requests_[client.request.kind];
  while (client.sent < bytes.size()) {
    const ssize_t got = ::send(client.fd.get(), bytes.data() + client.sent,
                               bytes.size() - client.sent, MSG_NOSIGNAL);
    if (got < 0) {
      if (errno == EAGAIN || errno == ENOTCONN) return;
      // The answer may have come before the whole body was wanted.
      return receive(index);
    }
    client.sent += static_cast<std::size_t>(got);
  }
}

void Load::receive(std::size_t index) {
  Client& client = clients_[index];
  for (;;) {
    const ssize_t got = ::recv(client.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (!client.busy) {  // an idle kept connection was closed
      client.fd.reset();
      return;
    }
    if (got <= 0) return broken(index, got < 0 ? errno : 0);
    client.reader->feed({buffer_.data(), static_cast<std::size_t>(got)}, client.answer);
    if (client.answer.bad) return fail(index, Failure::wrong);
    if (client.answer.complete) {
      finish(index);
      if (!client.fd || client.busy) return;
      continue;  // its end may have come together with the answer, and no other event tells
    }
    if (static_cast<std::size_t>(got) < buffer_.size()) return;
  }
}

/// The connection ended before the answer was complete.
void Load::broken(std::size_t index, int code) {
  Client& client = clients_[index];
  client.reader->end(client.answer);
  if (client.answer.complete) return finish(index);
  const std::string& method = options_.mix[client.request.kind].method;
  if (client.used && !client.answer.begun) {
    // As nginx does: what changes nothing is sent again when a kept connection was just being closed.
    if (method != "GET" && method != "HEAD") return fail(index, Failure::closed);
    ++report_.retried;
    Request again = client.request;
    again.again = true;
    client.fd.reset();
    client.busy = false;
    --busy_;
    return start(index, again);
  }
  if (code == ECONNREFUSED) return fail(index, Failure::refused);
  fail(index, code != 0 ? Failure::reset : Failure::truncated);
}

void Load::finish(std::size_t index) {
  Client& client = clients_[index];
  const Answer& answer = client.answer;
  const bool right = (options_.status != 0 ? answer.status == options_.status
                                           : answer.status > 0 && answer.status < 500) &&
                     (options_.expect.empty() || answer.text.find(options_.expect) != std::string::npos);
  if (!right) return fail(index, Failure::wrong);
  const auto from = options_.rate > 0 ? client.request.due : client.began;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - from).count();
  report_.latencies_us.push_back(static_cast<std::uint32_t>(us));
  ++report_.answered;
  client.used = true;
  release(index, options_.keep && answer.keep);
}

void Load::fail(std::size_t index, Failure failure) {
  ++report_.failures[static_cast<std::size_t>(failure)];
  release(index, false);
}

void Load::release(std::size_t index, bool keep) {
  Client& client = clients_[index];
  if (!keep) client.fd.reset();
  client.busy = false;
  --busy_;
  idle_.push_back(index);
}

void Load::check_timeouts() {
  const auto now = Clock::now();
  if (now < shown_ + std::chrono::milliseconds(100)) return;
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].busy && now > clients_[i].began + options_.timeout) fail(i, Failure::timeout);
  }
}

/// How long to wait for events, to the microsecond at a fixed rate.
timespec Load::next_due() const {
  constexpr double kLongest = 0.1;
  double wait = kLongest;
  if (options_.rate > 0) {
    const double now = std::chrono::duration<double>(Clock::now() - began_).count();
    wait = std::clamp(static_cast<double>(made_) / options_.rate - now, 0.0, kLongest);
  }
  return {.tv_sec = 0, .tv_nsec = static_cast<long>(wait * 1e9)};
}

void Load::progress() {
  const auto now = Clock::now();
  if (now < shown_ + std::chrono::milliseconds(200)) return;
  shown_ = now;
  if (options_.json || ::isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{} answered, {} failed, {} wait\033[K", report_.answered, report_.failed(),
             due_.size());
}

}  // namespace

Report run(const Options& options) { return Load(options).run(); }

}  // namespace fcgi_bench
