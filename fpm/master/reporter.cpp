#include "fpm/master/reporter.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/master/guarded.hpp"
#include "fpm/master/reporter_news.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/new_program.hpp"
#include "fpm/policy/backoff.hpp"

namespace fpm::master {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

/// A round of news takes the loop's time: at most a tenth of it, and not more often than this.
constexpr milliseconds kBetweenRounds{50};
/// A process that has lived so long was no failed start.
constexpr std::chrono::seconds kLongLife{10};
/// Lines that one process may put into the log.
constexpr int kMostLines = 32;

bool try_again(int code) {
  return code == EAGAIN || code == ETOOMANYREFS || code == ENOBUFS || code == ENOMEM ||
         code == EMFILE || code == ENFILE;
}

/// The second argument of the program.
std::string who(const ReporterParts& parts) {
  return parts.identity ? fmt::format("{}:{}", parts.identity->uid, parts.identity->gid) : "-";
}

std::string how(const os::Exit& exit) {
  if (exit.signaled()) {
    return fmt::format("on signal {} ({})", exit.signal(), os::signal_name(exit.signal()));
  }
  return fmt::format("with code {}", exit.code());
}

}  // namespace

class Reporter::Impl {
 public:
  Impl(asio::io_context& io, Pools pools)
      : pools_(std::move(pools)), channel_(io), round_(io), restart_(io) {}
  ~Impl();

  void use(ReporterParts parts);
  const ReporterParts& parts() const { return parts_; }
  void changed();
  bool reap(const os::Exit& exit);
  bool is(pid_t pid) const { return pid_ == pid; }
  void stop();

 private:
  void start();
  bool open_channel(os::UniqueFd& theirs);
  void start_later(milliseconds delay);
  void listen();
  void take_words();
  void tell();
  void tell_at(Clock::time_point when);
  void tell_when_writable();
  void run_round();
  os::Result<void> send(const ReporterPacket& packet);

  const Pools pools_;
  ReporterParts parts_;
  ReporterNews news_;
  asio::posix::stream_descriptor channel_;
  asio::steady_timer round_;
  asio::steady_timer restart_;
  policy::Backoff backoff_;
  pid_t pid_ = 0;  // 0: there is none
  Clock::time_point started_{};
  int lines_ = 0;
  bool stopping_ = false;
  bool replaced_ = false;  // ended by us, the next one is to follow at once
  bool unknown_ = false;   // the process has not been told everything
  bool waiting_ = false;   // for the moment of the next round, or for the process to read
  Clock::time_point next_round_{};
};

Reporter::Impl::~Impl() {
  stopping_ = true;
  if (pid_ != 0 && !os::end_child(pid_, std::chrono::seconds(1))) {
    log::warning("the reporter, pid {}, does not end", pid_);
  }
}

void Reporter::Impl::use(ReporterParts parts) {
  const bool other_user = who(parts) != who(parts_);
  parts_ = std::move(parts);
  if (pid_ != 0 && (other_user || parts_.places.empty())) {
    replaced_ = true;
    (void)os::send_signal(pid_, SIGKILL);
    return;
  }
  if (pid_ == 0) start();
  changed();
}

void Reporter::Impl::start() {
  if (stopping_ || parts_.places.empty()) return;
  restart_.cancel();
  os::UniqueFd theirs;
  if (!open_channel(theirs)) return start_later(backoff_.failed());
  const auto pid = os::start_this_program(os::title_program(), {reporter::kOption, who(parts_)},
                                          theirs.get());
  if (!pid) {
    const milliseconds delay = backoff_.failed();
    if (backoff_.worth_a_line()) log::warning("the reporter: {}", pid.error().text());
    return start_later(delay);
  }
  pid_ = *pid;
  started_ = Clock::now();
  lines_ = 0;
  news_.forget();
  log::debug("the reporter is pid {}", pid_);
  listen();
  changed();
}

bool Reporter::Impl::open_channel(os::UniqueFd& theirs) {
  error_code failure;
  if (channel_.is_open()) channel_.close(failure);
  auto ends = os::make_packet_pair();
  if (!ends) return false;
  channel_.assign(ends->first.get(), failure);
  if (failure) return false;
  (void)ends->first.release();
  theirs = std::move(ends->second);
  return true;
}

void Reporter::Impl::start_later(milliseconds delay) {
  restart_.expires_after(delay);
  restart_.async_wait([this](const error_code& cancelled) {
    if (!cancelled) guarded([this] { start(); });
  });
}

/// What it says before it ends is the reason.
void Reporter::Impl::listen() {
  channel_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& failure) {
    if (failure || !channel_.is_open()) return;
    guarded([this] {
      take_words();
      if (channel_.is_open()) listen();
    });
  });
}

void Reporter::Impl::take_words() {
  std::array<char, 1024> buffer{};
  while (true) {
    const auto packet = os::receive_packet(channel_.native_handle(), buffer);
    if (!packet && packet.error().code == EMSGSIZE) continue;
    if (!packet) return;
    if (packet->size == 0) {  // it has ended, or is about to: SIGCHLD says how
      error_code ignored;
      channel_.close(ignored);
      return;
    }
    if (++lines_ > kMostLines) continue;
    std::string_view line(buffer.data(), packet->size);
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    log::warning("the reporter, pid {}, says: {}", pid_, log::printable(line));
  }
}

void Reporter::Impl::changed() {
  unknown_ = true;
  news_.restart();
  if (pid_ == 0 || waiting_) return;
  tell_at(std::max(Clock::now(), next_round_));
}

void Reporter::Impl::tell_at(Clock::time_point when) {
  waiting_ = true;
  round_.expires_at(when);
  round_.async_wait([this](const error_code& cancelled) {
    if (cancelled) return;
    waiting_ = false;
    guarded([this] { tell(); });
  });
}

void Reporter::Impl::tell_when_writable() {
  waiting_ = true;
  channel_.async_wait(asio::posix::stream_descriptor::wait_write, [this](const error_code& failure) {
    waiting_ = false;
    if (!failure && channel_.is_open()) guarded([this] { tell(); });
  });
}

void Reporter::Impl::tell() {
  if (pid_ == 0 || !channel_.is_open() || !unknown_) return;
  const auto began = Clock::now();
  unknown_ = false;
  const auto told = news_.go_on(pools_(), parts_, [this](const auto& packet) {
    return send(packet);
  });
  const auto now = Clock::now();
  next_round_ = now + std::max<Clock::duration>(kBetweenRounds, 9 * (now - began));
  if (told) return;
  unknown_ = true;
  if (told.error().code == EAGAIN) return tell_when_writable();
  if (try_again(told.error().code)) return tell_at(now + milliseconds(200));
  if (told.error().code == EPIPE || told.error().code == ECONNRESET) return;  // it ends
  log::error("cannot tell the reporter of the pools: {}", told.error().text());
}

os::Result<void> Reporter::Impl::send(const ReporterPacket& packet) {
  const std::string bytes = reporter::encode(packet.message);
  if (bytes.size() > reporter::kMostBytes) return os::Error(EMSGSIZE, "a packet");
  const int fd = packet.owned ? packet.owned.get() : packet.borrowed;
  return os::send_packet(channel_.native_handle(), bytes,
                         fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1));
}

bool Reporter::Impl::reap(const os::Exit& exit) {
  if (pid_ == 0 || exit.pid != pid_) return false;
  if (channel_.is_open()) take_words();
  error_code ignored;
  if (channel_.is_open()) channel_.close(ignored);
  round_.cancel();
  waiting_ = false;
  pid_ = 0;
  const bool replaced = std::exchange(replaced_, false);
  if (stopping_) return true;
  if (replaced) {
    start();
    return true;
  }
  if (Clock::now() - started_ > kLongLife) backoff_.succeeded();
  const milliseconds delay = backoff_.failed();
  if (backoff_.worth_a_line()) {
    log::warning("the reporter, pid {}, exited {}; a new one is started in {} ms", exit.pid,
                 how(exit), delay.count());
  }
  start_later(delay);
  return true;
}

void Reporter::Impl::stop() {
  stopping_ = true;
  restart_.cancel();
}

Reporter::Reporter(asio::io_context& io, Pools pools)
    : impl_(std::make_unique<Impl>(io, std::move(pools))) {}
Reporter::~Reporter() = default;
void Reporter::use(ReporterParts parts) { impl_->use(std::move(parts)); }
const ReporterParts& Reporter::parts() const { return impl_->parts(); }
void Reporter::changed() { impl_->changed(); }
bool Reporter::reap(const os::Exit& exit) { return impl_->reap(exit); }
bool Reporter::is(pid_t pid) const { return impl_->is(pid); }
void Reporter::stop() { impl_->stop(); }

}  // namespace fpm::master
