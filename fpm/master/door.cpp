#include "fpm/master/door.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <exception>
#include <list>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/new_program.hpp"
#include "fpm/policy/backoff.hpp"

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

/// What is thrown in a handler (memory) is logged, and the master goes on.
template <class Work>
void guarded(Work work) {
  try {
    work();
  } catch (const std::exception& failure) {
    log::error("internal error: {}", failure.what());
  }
}

/// The second argument of the program. Who may connect to the pool's socket by its group may do so as
/// the door as well.
std::string who(const DoorParts& parts, const Listener& pool) {
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

std::size_t slots_wanted(const config::Pool& config) {
  const std::uint64_t files = config.rlimit_files.value_or(os::file_limit());
  return static_cast<std::size_t>(config.http_max_connections
                                      ? static_cast<std::uint64_t>(*config.http_max_connections)
                                      : files / 2);
}

}  // namespace

/// One process, and the next one if that ends by itself.
class Door {
 public:
  Door(asio::io_context& io, std::shared_ptr<const DoorParts> parts,
       std::shared_ptr<Listener> pool)
      : parts_(std::move(parts)),
        pool_(std::move(pool)),
        channel_(io),
        restart_(io),
        again_(io),
        patience_(io) {}
  ~Door() {
    if (pid_ != 0) (void)os::end_child(pid_, milliseconds(500));
  }

  const std::string& pool() const { return parts_->config.name; }
  bool alive() const { return pid_ != 0 || (!finishing_ && started_once_); }
  bool finishing() const { return finishing_; }
  const scoreboard::DoorBoard& board() const { return board_; }
  scoreboard::DoorBoard take_board() { return std::move(board_); }
  void use_board(scoreboard::DoorBoard board) { board_ = std::move(board); }

  void start();
  void use(std::shared_ptr<const DoorParts> parts, std::shared_ptr<Listener> pool);
  void new_log() { unsent_log_ = true; tell(); }
  void finish(milliseconds patience);
  void kill() {
    finishing_ = true;
    restart_.cancel();
    if (pid_ != 0) (void)os::send_signal(pid_, SIGKILL);
  }
  bool reap(const os::Exit& exit);
  bool is(pid_t pid) const { return pid_ != 0 && pid_ == pid; }

 private:
  bool open_channel(os::UniqueFd& theirs);
  void start_later(milliseconds delay);
  void tell();
  os::Result<void> send_settings();
  os::Result<void> send(const http::Message& message, std::span<const int> fds);
  void listen();
  void take_words();

  std::shared_ptr<const DoorParts> parts_;
  std::shared_ptr<Listener> pool_;
  asio::posix::stream_descriptor channel_;
  asio::steady_timer restart_;
  asio::steady_timer again_;
  asio::steady_timer patience_;
  scoreboard::DoorBoard board_;
  policy::Backoff backoff_;
  pid_t pid_ = 0;  // 0: there is none
  Clock::time_point started_{};
  bool started_once_ = false;
  bool first_ = true;  // the process has not been told anything
  bool unsent_settings_ = false;
  bool unsent_log_ = false;
  bool unsent_finish_ = false;
  bool finishing_ = false;
  int lines_ = 0;
  Clock::time_point lines_since_{};
};

void Door::start() {
  if (finishing_) return;
  started_once_ = true;
  restart_.cancel();
  os::UniqueFd theirs;
  if (!board_) {
    auto board = scoreboard::DoorBoard::create(slots_wanted(parts_->config));
    if (board) board_ = std::move(*board);
  }
  if (!board_ || !open_channel(theirs)) return start_later(backoff_.failed());
  const auto& limit = parts_->config.rlimit_files;
  const auto pid = os::start_this_program(
      os::title_program(), {http::kOption, who(*parts_, *pool_), limit ? fmt::format("{}", *limit) : "-"},
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
  constexpr int kRoom = 1 << 20;
  error_code failure;
  if (channel_.is_open()) channel_.close(failure);
  auto ends = os::make_socketpair(SOCK_SEQPACKET);
  if (!ends || os::set_nonblocking(ends->first.get(), true).has_error() ||
      os::set_nonblocking(ends->second.get(), true).has_error()) {
    return false;
  }
  ::setsockopt(ends->first.get(), SOL_SOCKET, SO_SNDBUF, &kRoom, sizeof kRoom);
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

void Door::finish(milliseconds patience) {
  if (std::exchange(finishing_, true)) return;
  restart_.cancel();
  unsent_finish_ = true;
  tell();
  // Its own copy of the listening socket is the last one now: it closes it when all are accepted.
  if (!first_ && parts_.use_count() == 1 && parts_->listener.use_count() == 1) {
    parts_->listener->close();
  }
  patience_.expires_after(patience);
  patience_.async_wait([this](const error_code& cancelled) {
    if (cancelled || pid_ == 0) return;
    log::in_pool(log::Level::warning, pool(), "the door, pid {}, has not finished: it is ended", pid_);
    (void)os::send_signal(pid_, SIGKILL);
  });
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
    done = send(http::Finish(), {});
    if (done) unsent_finish_ = false;
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
  if (finishing_) return true;
  if (Clock::now() - started_ > kLongLife) backoff_.succeeded();
  const milliseconds delay = backoff_.failed();
  if (backoff_.worth_a_line()) {
    log::in_pool(log::Level::warning, pool(), "the door, pid {}, exited {}; a new one is started in {} ms",
                 exit.pid, how(exit), delay.count());
  }
  start_later(delay);
  return true;
}

class Doors::Impl {
 public:
  explicit Impl(asio::io_context& io) : io_(io) {}

  void use(DoorParts parts, std::shared_ptr<Listener> pool);
  void finish(const std::string& pool, milliseconds patience, std::function<void()> then);
  void finish_all(milliseconds patience, std::function<void()> then);
  void kill_all();
  bool reap(const os::Exit& exit);
  bool is(pid_t pid) const;
  bool any() const;
  bool reopen_logs();
  std::shared_ptr<Listener> listener(const config::Address& address) const;
  std::vector<const scoreboard::DoorBoard*> boards(const std::string& pool) const;

 private:
  /// The doors of one pool that serve.
  struct Serving {
    std::shared_ptr<DoorParts> parts;
    std::string who;
    std::vector<std::unique_ptr<Door>> doors;
  };
  struct Waiting {
    std::string pool;  ///< empty: all
    std::function<void()> then;
  };

  static void close_address(const Serving& serving);
  void retire(Serving& serving, std::size_t keep, milliseconds patience);
  void bury(std::unique_ptr<Door> door);
  void tell_ended();
  bool has_any(const std::string& pool) const;

  asio::io_context& io_;
  std::map<std::string, Serving> serving_;
  std::list<std::unique_ptr<Door>> finishing_;
  std::list<Waiting> waiting_;
};

void Doors::Impl::use(DoorParts parts, std::shared_ptr<Listener> pool) {
  const std::string name = parts.config.name;
  const auto wanted = static_cast<std::size_t>(parts.config.http_workers);
  const auto patience = milliseconds(parts.config.http_write_timeout.count() + 30'000);
  Serving& serving = serving_[name];
  const std::string identity = fmt::format(
      "{} {}", who(parts, *pool),
      parts.config.rlimit_files ? fmt::format("{}", *parts.config.rlimit_files) : "-");
  const bool moved = serving.parts && serving.parts->listener != parts.listener;
  if (moved || serving.who != identity) retire(serving, 0, patience);
  serving.parts = std::make_shared<DoorParts>(std::move(parts));
  serving.who = identity;
  retire(serving, wanted, patience);
  for (const auto& door : serving.doors) door->use(serving.parts, pool);
  log::in_pool(log::Level::notice, name, "the door listens at {}",
               door_address(*serving.parts->listener));
  while (serving.doors.size() < wanted) {
    serving.doors.push_back(std::make_unique<Door>(io_, serving.parts, pool));
    serving.doors.back()->start();
  }
}

/// No new client gets into the queue; the doors accept what is in it. Another pool may be about to
/// take the address over.
void Doors::Impl::close_address(const Serving& serving) {
  if (serving.parts->listener.use_count() > 1) return;
  serving.parts->listener->close_queue();
}

/// All but the first `keep` finish.
void Doors::Impl::retire(Serving& serving, std::size_t keep, milliseconds patience) {
  while (serving.doors.size() > keep) {
    serving.doors.back()->finish(patience);
    finishing_.push_back(std::move(serving.doors.back()));
    serving.doors.pop_back();
  }
}

void Doors::Impl::finish(const std::string& pool, milliseconds patience,
                         std::function<void()> then) {
  if (const auto found = serving_.find(pool); found != serving_.end()) {
    close_address(found->second);
    retire(found->second, 0, patience);
    serving_.erase(found);
  }
  if (then) waiting_.push_back({pool, std::move(then)});
  tell_ended();
}

void Doors::Impl::finish_all(milliseconds patience, std::function<void()> then) {
  for (auto& [name, serving] : serving_) {
    close_address(serving);
    retire(serving, 0, patience);
  }
  serving_.clear();
  if (then) waiting_.push_back({{}, std::move(then)});
  tell_ended();
}

void Doors::Impl::kill_all() {
  for (auto& [name, serving] : serving_) retire(serving, 0, milliseconds(0));
  serving_.clear();
  for (const auto& door : finishing_) door->kill();
}

bool Doors::Impl::is(pid_t pid) const {
  const auto matches = [pid](const auto& door) { return door->is(pid); };
  return std::any_of(finishing_.begin(), finishing_.end(), matches) ||
         std::any_of(serving_.begin(), serving_.end(), [&](const auto& serving) {
           const auto& doors = serving.second.doors;
           return std::any_of(doors.begin(), doors.end(), matches);
         });
}

bool Doors::Impl::reap(const os::Exit& exit) {
  for (auto& [name, serving] : serving_) {
    for (const auto& door : serving.doors) {
      if (door->reap(exit)) return true;
    }
  }
  for (auto door = finishing_.begin(); door != finishing_.end(); ++door) {
    if (!(*door)->reap(exit)) continue;
    bury(std::move(*door));
    finishing_.erase(door);
    tell_ended();
    return true;
  }
  return false;
}

bool Doors::Impl::has_any(const std::string& pool) const {
  if (pool.empty()) return any();
  return serving_.contains(pool) ||
         std::any_of(finishing_.begin(), finishing_.end(),
                     [&](const auto& door) { return door->pool() == pool && door->alive(); });
}

/// What its timers have put into the loop already comes first.
void Doors::Impl::bury(std::unique_ptr<Door> door) {
  asio::post(io_, [ended = std::move(door)] {});
}

/// Not from within the call that has made the last one end.
void Doors::Impl::tell_ended() {
  for (auto door = finishing_.begin(); door != finishing_.end();) {
    if ((*door)->alive()) {
      ++door;
      continue;
    }
    bury(std::move(*door));
    door = finishing_.erase(door);
  }
  for (auto one = waiting_.begin(); one != waiting_.end();) {
    if (has_any(one->pool)) {
      ++one;
      continue;
    }
    asio::post(io_, [then = std::move(one->then)] { guarded(then); });
    one = waiting_.erase(one);
  }
}

bool Doors::Impl::any() const { return !serving_.empty() || !finishing_.empty(); }

bool Doors::Impl::reopen_logs() {
  bool all = true;
  for (auto& [name, serving] : serving_) {
    const std::string& path = serving.parts->config.access_log;
    if (path.empty()) continue;
    if (auto opened = log::open_file(path)) {
      serving.parts->access_log = std::move(*opened);
      for (const auto& door : serving.doors) door->new_log();
    } else {
      log::in_pool(log::Level::error, name, "failed to reopen access log ({}): {}", path,
                   opened.error().text());
      all = false;
    }
  }
  return all;
}

std::shared_ptr<Listener> Doors::Impl::listener(const config::Address& address) const {
  for (const auto& [name, serving] : serving_) {
    if (serving.parts->listener->is_at(address)) return serving.parts->listener;
  }
  return nullptr;
}

std::vector<const scoreboard::DoorBoard*> Doors::Impl::boards(const std::string& pool) const {
  std::vector<const scoreboard::DoorBoard*> boards;
  if (const auto found = serving_.find(pool); found != serving_.end()) {
    for (const auto& door : found->second.doors) boards.push_back(&door->board());
  }
  for (const auto& door : finishing_) {
    if (door->pool() == pool) boards.push_back(&door->board());
  }
  return boards;
}

Doors::Doors(asio::io_context& io) : impl_(std::make_unique<Impl>(io)) {}
Doors::~Doors() = default;
void Doors::use(DoorParts parts, std::shared_ptr<Listener> pool) {
  impl_->use(std::move(parts), std::move(pool));
}
void Doors::finish(const std::string& pool, milliseconds patience, std::function<void()> then) {
  impl_->finish(pool, patience, std::move(then));
}
void Doors::finish_all(milliseconds patience, std::function<void()> then) {
  impl_->finish_all(patience, std::move(then));
}
void Doors::kill_all() { impl_->kill_all(); }
bool Doors::reap(const os::Exit& exit) { return impl_->reap(exit); }
bool Doors::is(pid_t pid) const { return impl_->is(pid); }
bool Doors::any() const { return impl_->any(); }
bool Doors::reopen_logs() { return impl_->reopen_logs(); }
std::shared_ptr<Listener> Doors::listener(const config::Address& address) const {
  return impl_->listener(address);
}
std::vector<const scoreboard::DoorBoard*> Doors::boards(const std::string& pool) const {
  return impl_->boards(pool);
}

}  // namespace fpm::master
