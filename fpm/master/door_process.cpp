#include "fpm/master/door_process.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/master/guarded.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/new_program.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

/// A process that has lived so long was no failed start.
constexpr std::chrono::seconds kLongLife{10};
/// News that the process does not take are tried again so much later.
constexpr milliseconds kTellAgain{50};
/// Lines of one process in one second.
constexpr int kMostLines = 200;

std::string how(const os::Exit& exit) {
  if (exit.signaled()) {
    return fmt::format("on signal {} ({})", exit.signal(), os::signal_name(exit.signal()));
  }
  return fmt::format("with code {}", exit.code());
}

std::size_t slots_wanted(const config::Pool& config) {
  const std::uint64_t files = config.rlimit_files.value_or(os::file_limit());
  return static_cast<std::size_t>(config.http_max_connections
                                      ? static_cast<std::uint64_t>(*config.http_max_connections)
                                      : files / 2);
}

}  // namespace

std::string door_identity(const DoorParts& parts, const Listener& pool) {
  if (!parts.identity) return "-";
  std::string text = fmt::format("{}:{}", parts.identity->uid, parts.identity->gid);
  for (const gid_t group : parts.identity->groups) text += fmt::format(",{}", group);
  struct stat status {};
  const std::string& path = pool.address().path;
  if (!path.empty() && ::stat(path.c_str(), &status) == 0) {
    text += fmt::format(",{}", status.st_gid);
  }
  return text;
}

Door::~Door() {
  if (pid_ != 0) (void)os::end_child(pid_, milliseconds(500));
}

void Door::start() {
  if (finishing_) return;
  started_once_ = true;
  restart_.cancel();
  os::UniqueFd theirs;
  if (!board_) {
    auto board = scoreboard::DoorBoard::create(slots_wanted(parts_->config));
    if (board) {
      board_ = std::move(*board);
      changed_();
    }
  }
  if (!board_ || !open_channel(theirs)) return start_later(backoff_.failed());
  const auto& limit = parts_->config.rlimit_files;
  const auto pid = os::start_this_program(
      os::title_program(), {http::kOption, door_identity(*parts_, *pool_), limit ? fmt::format("{}", *limit) : "-"},
      theirs.get());
  if (!pid) {
    const milliseconds delay = backoff_.failed();
    if (backoff_.worth_a_line()) {
      log::in_pool(log::Level::warning, pool(), "the door: {}", pid.error().text());
    }
    return start_later(delay);
  }
  pid_ = *pid;
  started_ = Clock::now();
  first_ = unsent_settings_ = true;
  unsent_log_ = false;
  log::in_pool(log::Level::debug, pool(), "the door is pid {}", pid_);
  listen();
  tell();
}

bool Door::open_channel(os::UniqueFd& theirs) {
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

void Door::start_later(milliseconds delay) {
  restart_.expires_after(delay);
  restart_.async_wait([this](const error_code& cancelled) {
    if (!cancelled) guarded([this] { start(); });
  });
}

void Door::use(std::shared_ptr<const DoorParts> parts, std::shared_ptr<Listener> pool) {
  parts_ = std::move(parts);
  pool_ = std::move(pool);
  unsent_settings_ = true;
  tell();
}

void Door::finish(bool serve_queue, milliseconds patience) {
  if (std::exchange(finishing_, true)) return;
  restart_.cancel();
  unsent_finish_ = true;
  serve_queue_ = serve_queue;
  if (pid_ == 0) let_parts_go();
  tell();
  patience_.expires_after(patience);
  patience_.async_wait([this](const error_code& cancelled) {
    if (cancelled || pid_ == 0) return;
    log::in_pool(log::Level::warning, pool(), "the door, pid {}, has not finished: it is ended", pid_);
    (void)os::send_signal(pid_, SIGKILL);
  });
}

void Door::kill() {
  finishing_ = true;
  restart_.cancel();
  if (pid_ != 0) (void)os::send_signal(pid_, SIGKILL);
}

/// Above all its listening socket: the address is free when the last door has closed its own copy.
void Door::let_parts_go() {
  parts_.reset();
  pool_.reset();
}

/// Sends what the process does not know yet.
void Door::tell() {
  if (pid_ == 0 || !channel_.is_open()) return;
  os::Result<void> done{};
  if (unsent_settings_) {
    done = send_settings();
    if (done) unsent_settings_ = unsent_log_ = first_ = false;
  }
  if (done && unsent_log_) {
    const int fd = parts_->access_log.get();
    if (fd >= 0) done = send(http::NewLog(), std::span<const int>(&fd, 1));
    if (done) unsent_log_ = false;
  }
  if (done && unsent_finish_) {
    done = send(http::Finish{.serve_queue = serve_queue_}, {});
    if (done) {
      unsent_finish_ = false;
      let_parts_go();
    }
  }
  if (done || done.error().code == EPIPE || done.error().code == ECONNRESET) return;
  again_.expires_after(kTellAgain);
  again_.async_wait([this](const error_code& cancelled) {
    if (!cancelled) guarded([this] { tell(); });
  });
}

os::Result<void> Door::send_settings() {
  http::Settings settings = door_settings(parts_->config, *pool_);
  auto place = pool_->open_place();
  if (!place) return place.error();
  std::array<int, os::kMostPassed> fds{};
  std::size_t count = 0;
  const auto add = [&](int fd) -> std::uint8_t {
    if (fd < 0) return 0;
    fds[count++] = fd;
    return 1;
  };
  if (first_) {
    settings.has_listener = add(parts_->listener->fd());
    settings.has_board = add(board_.memory().fd());
  }
  settings.has_place = add(place->get());
  settings.has_log = add(parts_->access_log.get());
  return send(settings, std::span<const int>(fds.data(), count));
}

os::Result<void> Door::send(const http::Message& message, std::span<const int> fds) {
  const std::string bytes = http::encode(message);
  if (bytes.size() > http::kMostBytes) return os::Error(EMSGSIZE, "a packet");
  return os::send_packet(channel_.native_handle(), bytes, fds);
}

void Door::listen() {
  channel_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& failure) {
    if (failure || !channel_.is_open()) return;
    guarded([this] {
      take_words();
      if (channel_.is_open()) listen();
    });
  });
}

/// Its lines, each with its level in front.
void Door::take_words() {
  std::array<char, 8192> buffer{};
  while (true) {
    const auto packet = os::receive_packet(channel_.native_handle(), buffer);
    if (!packet && packet.error().code == EMSGSIZE) continue;
    if (!packet) return;
    if (packet->size == 0) {  // it has ended, or is about to: SIGCHLD says how
      error_code ignored;
      channel_.close(ignored);
      return;
    }
    const auto now = Clock::now();
    if (now - lines_since_ > std::chrono::seconds(1)) {
      lines_since_ = now;
      lines_ = 0;
    }
    if (++lines_ > kMostLines) continue;
    std::string_view line(buffer.data(), packet->size);
    const int digit = line.front() - '0';
    auto level = log::Level::warning;
    if (digit >= 0 && digit <= static_cast<int>(log::Level::alert)) {
      level = static_cast<log::Level>(digit);
      line.remove_prefix(1);
    }
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    log::in_pool(level, pool(), "the door, pid {}: {}", pid_, log::printable(line));
  }
}

bool Door::reap(const os::Exit& exit) {
  if (pid_ == 0 || exit.pid != pid_) return false;
  if (channel_.is_open()) take_words();
  error_code ignored;
  if (channel_.is_open()) channel_.close(ignored);
  again_.cancel();
  patience_.cancel();
  pid_ = 0;
  board_.forget_connections();
  if (finishing_) {
    let_parts_go();
    return true;
  }
  if (Clock::now() - started_ > kLongLife) backoff_.succeeded();
  const milliseconds delay = backoff_.failed();
  if (backoff_.worth_a_line()) {
    log::in_pool(log::Level::warning, pool(), "the door, pid {}, exited {}; a new one is started in {} ms",
                 exit.pid, how(exit), delay.count());
  }
  start_later(delay);
  return true;
}

}  // namespace fpm::master
