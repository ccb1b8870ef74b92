#include "tools/fcgi_bench/load.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "fpm/os/fd.hpp"
#include "tools/fcgi_bench/address.hpp"
#include "tools/fcgi_bench/codec.hpp"
#include "tools/fcgi_bench/cpu.hpp"
#include "tools/fcgi_bench/waiter.hpp"

namespace fcgi_bench {

namespace {

volatile sig_atomic_t g_end = 0;

/// Ctrl-C ends the load and shows what was measured; a second one ends the program.
void end_when_asked() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_end = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

using Clock = std::chrono::steady_clock;
using fpm::os::UniqueFd;

constexpr std::chrono::milliseconds kTick{100};  // between two looks at what is late

/// A request that is due, or under way.
struct Request {
  Clock::time_point due;
  std::size_t kind = 0;
  bool again = false;
};

struct Client {
  UniqueFd fd;
  bool busy = false;
  bool used = false;        // the connection has had an answer before
  bool connecting = false;  // TCP: no byte could be sent so far
  std::size_t sent = 0;
  Request request;
  Clock::time_point began;
  Answer answer;
  std::unique_ptr<Reader> reader;
};

std::uint64_t total_of(const Options& options) {
  if (options.requests > 0 || options.rate <= 0) return options.requests;
  const double seconds = std::chrono::duration<double>(options.duration).count();
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(options.rate * seconds));
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        total_(total_of(options)),
        address_(resolve(options.address)),
        requests_(encode_requests(options)),
        clients_(options.clients),
        waiter_(options.clients, options.keep) {
    for (std::size_t kind = 0; kind < options.mix.size(); ++kind) {
      order_.insert(order_.end(), options.mix[kind].weight, kind);
    }
    for (Client& client : clients_) client.reader = make_reader(options);
    for (std::size_t i = clients_.size(); i > 0; --i) idle_.push_back(i - 1);
    // Memory that grows while it is measured shows as latency.
    report_.latencies_us.reserve(total_);
  }

  Report run();

 private:
  bool more_to_come() const {
    if (g_end != 0) return false;
    return total_ > 0 ? made_ < total_ : now_ < began_ + options_.duration;
  }
  void make_due();
  void start_some();
  void start(std::size_t index, const Request& request);
  bool connect(Client& client, std::size_t index);
  void send(std::size_t index);
  void receive(std::size_t index, bool ended);
  void broken(std::size_t index, int code);
  void send_again(std::size_t index);
  void finish(std::size_t index);
  void fail(std::size_t index, Failure failure, int code = 0);
  void release(std::size_t index, bool keep);
  void drop_connection(std::size_t index);
  void look_for_late_ones();
  std::chrono::nanoseconds longest_wait() const;
  void show_progress();

  const Options& options_;
  const std::uint64_t total_;  // requests; 0: as many as the time allows
  const Address address_;
  const std::vector<std::string> requests_;
  std::vector<std::size_t> order_;  // kinds, as often as their weights
  std::vector<Client> clients_;
  std::vector<std::size_t> idle_;
  std::deque<Request> due_;
  Waiter waiter_;
  Clock::time_point began_{}, now_{}, next_tick_{};
  std::uint64_t made_ = 0, shown_ = 0;
  std::size_t busy_ = 0;
  std::array<char, 262'144> buffer_{};  // as much as a UNIX socket holds
  Report report_;
};

Report Load::run() {
  const bool terminal = !options_.json && ::isatty(STDERR_FILENO) == 1;
  const double cpu = own_cpu_s();
  const double server_cpu = tree_cpu_s(options_.trees);
  began_ = now_ = Clock::now();
  next_tick_ = began_ + kTick;
  end_when_asked();
  while (more_to_come() || busy_ > 0 || !due_.empty()) {
    if (g_end != 0) due_.clear();
    make_due();
    start_some();
    for (const Waiter::Ready& ready : waiter_.wait(longest_wait())) {
      if (clients_[ready.client].busy && ready.out) send(ready.client);
      if (clients_[ready.client].fd && ready.in) receive(ready.client, ready.ended);
    }
    now_ = Clock::now();
    if (now_ < next_tick_) continue;
    next_tick_ = now_ + kTick;
    look_for_late_ones();
    if (terminal) show_progress();
  }
  report_.seconds = std::chrono::duration<double>(now_ - began_).count();
  report_.own_cpu_s = own_cpu_s() - cpu;
  report_.server_cpu_s = tree_cpu_s(options_.trees) - server_cpu;
  return std::move(report_);
}

/// Requests whose moment has come. At a fixed rate that depends on the clock alone: a server that
/// stands still is charged with all that should have been asked meanwhile.
void Load::make_due() {
  while (more_to_come()) {
    auto due = now_;
    if (options_.rate > 0) {
      const double at = static_cast<double>(made_) / options_.rate;
      due = began_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at));
      if (due > now_) return;
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
  client.answer.clear();
  client.began = Clock::now();
  const bool fresh = !client.fd;
  if (fresh && !connect(client, index)) return;
  client.reader->start(fresh);
  send(index);
}

/// Does not wait: over UNIX the connection is there at once, over TCP the handshake on this machine
/// is over when connect returns, and the first send shows it.
bool Load::connect(Client& client, std::size_t index) {
  client.fd.reset(::socket(address_.storage.ss_family,
                           SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  client.used = client.connecting = false;
  ++report_.connections;
  if (::connect(client.fd.get(), address_.get(), address_.length) == 0) return true;
  if (errno == EINPROGRESS) {
    client.connecting = true;
    return true;
  }
  const int code = errno;
  fail(index, code == EAGAIN ? Failure::backlog : Failure::refused, code);
  return false;
}

void Load::send(std::size_t index) {
  Client& client = clients_[index];
  const std::string& bytes = requests_[client.request.kind];
  while (client.sent < bytes.size()) {
    const ssize_t got = ::send(client.fd.get(), bytes.data() + client.sent,
                               bytes.size() - client.sent, MSG_NOSIGNAL);
    if (got < 0) {
      if (errno == EAGAIN || errno == ENOTCONN) return waiter_.watch(index, client.fd.get(), true);
      // Nothing of it has arrived, so it may be sent again, whatever it does: RFC 9110 §9.2.2.
      if (errno == EPIPE && client.used && client.sent == 0) return send_again(index);
      // The answer may have come before the whole body was wanted.
      return receive(index, true);
    }
    client.connecting = false;
    client.sent += static_cast<std::size_t>(got);
  }
  waiter_.watch(index, client.fd.get(), false);
}

/// @param ended the server has closed its side: nothing comes after what is there.
void Load::receive(std::size_t index, bool ended) {
  Client& client = clients_[index];
  for (;;) {
    const ssize_t got = ::recv(client.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (!client.busy) return drop_connection(index);  // an idle kept connection was closed
    if (got <= 0) return broken(index, got < 0 ? errno : 0);
    client.reader->feed({buffer_.data(), static_cast<std::size_t>(got)}, client.answer);
    if (client.answer.bad) return fail(index, Failure::wrong);
    if (client.answer.complete) {
      if (ended) client.answer.keep = false;
      return finish(index);
    }
    if (!ended && static_cast<std::size_t>(got) < buffer_.size()) return;
  }
}

/// The connection ended before the answer was complete.
void Load::broken(std::size_t index, int code) {
  Client& client = clients_[index];
  client.reader->end(client.answer);
  if (client.answer.complete) return finish(index);
  if (client.used && !client.answer.begun) {
    // As nginx does: what changes nothing is sent again when a kept connection was just being closed.
    const std::string& method = options_.mix[client.request.kind].method;
    if (method != "GET" && method != "HEAD") return fail(index, Failure::closed, code);
    return send_again(index);
  }
  if (code == ECONNREFUSED) return fail(index, Failure::refused, code);
  if (code != 0) return fail(index, Failure::reset, code);
  fail(index, client.answer.begun ? Failure::truncated : Failure::unanswered);
}

void Load::send_again(std::size_t index) {
  Client& client = clients_[index];
  ++report_.retried;
  Request again = client.request;
  again.again = true;
  drop_connection(index);
  client.busy = false;
  --busy_;
  start(index, again);
}

void Load::finish(std::size_t index) {
  Client& client = clients_[index];
  const Answer& answer = client.answer;
  const bool status_right = options_.status != 0 ? answer.status == options_.status
                                                 : answer.status > 0 && answer.status < 500;
  if (!status_right || answer.text.find(options_.expect) == answer.text.npos) {
    return fail(index, Failure::wrong);
  }
  const auto from = options_.rate > 0 ? client.request.due : client.began;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - from).count();
  report_.latencies_us.push_back(static_cast<std::uint32_t>(us));
  ++report_.answered;
  client.used = true;
  release(index, options_.keep && answer.keep);
}

void Load::fail(std::size_t index, Failure failure, int code) {
  report_.add(failure, code);
  release(index, false);
}

void Load::release(std::size_t index, bool keep) {
  if (!keep) drop_connection(index);
  clients_[index].busy = false;
  --busy_;
  idle_.push_back(index);
}

void Load::drop_connection(std::size_t index) {
  waiter_.forget(index);
  clients_[index].fd.reset();
}

void Load::look_for_late_ones() {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i].busy || now_ < clients_[i].began + options_.timeout) continue;
    // A full TCP queue does not refuse: it leaves the handshake unanswered.
    fail(i, clients_[i].connecting ? Failure::backlog : Failure::timeout);
  }
}

/// How long to wait for events: to the moment when the next request is due.
std::chrono::nanoseconds Load::longest_wait() const {
  if (options_.rate <= 0) return kTick;
  const double at = static_cast<double>(made_) / options_.rate;
  const auto due = began_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at));
  return std::clamp<std::chrono::nanoseconds>(due - Clock::now(), {}, kTick);
}

void Load::show_progress() {
  const double seconds = std::chrono::duration<double>(now_ - began_).count();
  const double share = total_ > 0
      ? static_cast<double>(report_.answered + report_.failed()) / static_cast<double>(total_)
      : seconds * 1e3 / static_cast<double>(options_.duration.count());
  fmt::print(stderr, "\r{:3.0f}%  {:.1f} s  {} answered, {} a second now, {} failed, {} under way\033[K",
             std::min(1.0, share) * 100, seconds, report_.answered, (report_.answered - shown_) * 10,
             report_.failed(), busy_ + due_.size());
  std::fflush(stderr);
  shown_ = report_.answered;
}

}  // namespace

Report run(const Options& options) { return Load(options).run(); }

}  // namespace fcgi_bench
