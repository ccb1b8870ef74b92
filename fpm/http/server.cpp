#include "fpm/http/server.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "fpm/http/connection.hpp"
#include "fpm/http/dates.hpp"
#include "fpm/os/process.hpp"

namespace fpm::http {

namespace asio = boost::asio;
using boost::system::error_code;
using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr Milliseconds kTick{100};
/// Connections taken in one go; then it is the others' turn.
constexpr int kAcceptsAtOnce = 64;
/// Lines of scripts' stderr in one second.
constexpr int kMostScriptLines = 100;

/// Open before the first connection: stdio, the channel, the loop's own, the listener and its copy, the
/// log, the pool's socket and the root of two generations.
constexpr std::size_t kBaseFiles = 16;

}  // namespace

Server::Server(asio::io_context& io, std::size_t file_limit, Say say)
    : io_(io),
      say_(std::move(say)),
      listener_(io),
      tick_(io),
      descriptors_(file_limit, kBaseFiles) {}

Server::~Server() {
  while (!connections_.empty()) connections_.begin()->second->close();
}

void Server::use(std::shared_ptr<Service> service) {
  service_ = std::move(service);
  const Settings& settings = service_->settings;
  queue_.limit(settings.max_children, settings.queue_max, Milliseconds(settings.queue_timeout));
  rate_.limit(settings.rate);
  links_.clear();  // they lead to the workers of before
  links_.limit(settings.max_children);
  look_at_gate();
  hand_on();
}

void Server::listen(os::UniqueFd listener) {
  error_code failure;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  unix_listener_ = address.ss_family == AF_UNIX;
  (void)os::set_nonblocking(listener.get(), true);
  listener_.assign(listener.release(), failure);
  wait_for_clients();
}

void Server::use_board(scoreboard::DoorBoard board) { board_ = std::move(board); }

void Server::use_log(os::UniqueFd log) {
  if (log_ && log) {
    log_.flush();  // lines of before belong to the old file
    log_.replace(std::move(log));
  } else {
    log_.use(std::move(log));
  }
}

void Server::finish(bool serve_queue) {
  if (finishing_) return;
  while (serve_queue && listener_.is_open() && accept_one()) {
  }
  finishing_ = true;
  error_code ignored;
  if (listener_.is_open()) listener_.close(ignored);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [id, connection] : connections_) all.push_back(connection);
  for (const auto& connection : all) connection->finish();
  if (connections_.empty()) io_.stop();
}

void Server::wait_for_clients() {
  if (waiting_ || finishing_ || starved_ || !listener_.is_open() || !gate_.open()) return;
  waiting_ = true;
  listener_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [this](const error_code& failure) {
                         waiting_ = false;
                         if (!failure && listener_.is_open()) accept_some();
                       });
}

void Server::accept_some() {
  for (int i = 0; i < kAcceptsAtOnce && gate_.open(); ++i) {
    if (!accept_one()) break;
  }
  wait_for_clients();
}

/// @return false: there is none; or nothing is left to make one of (descriptors, memory), then the tick
/// tries again.
bool Server::accept_one() {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  os::UniqueFd socket(::accept4(listener_.native_handle(), reinterpret_cast<sockaddr*>(&peer),
                                &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    const bool next = errno == EINTR || errno == ECONNABORTED;
    starved_ = !next && errno != EAGAIN;
    if (starved_ && !ticking_) tick();
    return next;
  }
  open(std::move(socket), peer);
  return true;
}

void Server::open(os::UniqueFd socket, const sockaddr_storage& peer) {
  if (!unix_listener_) {
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  descriptors_.accepted();
  const std::uint64_t id = ++last_id_;
  const auto connection =
      std::make_shared<Connection>(*this, id, take_slot(), std::move(socket), peer);
  connections_.emplace(id, connection);
  counters().accepted.fetch_add(1, kRelaxed);
  look_at_gate();
  if (!ticking_) tick();
  connection->start();
}

std::size_t Server::take_slot() {
  if (!free_slots_.empty()) {
    const std::size_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  const std::size_t slot = used_slots_++;
  if (slot < board_.slots()) counters().used_slots.store(used_slots_, kRelaxed);
  return slot;
}

scoreboard::DoorBoard::Slot* Server::slot(std::size_t index) {
  return index < board_.slots() ? &board_.slot(index) : nullptr;
}

std::size_t Server::most_connections() const {
  const std::size_t wanted = service_ ? service_->settings.max_connections : 0;
  return wanted > 0 ? wanted : std::max<std::size_t>(descriptors_.limit() / 2, 1);
}

void Server::look_at_gate() {
  for (const std::string& line : gate_.look(descriptors_.used(), descriptors_.limit(),
                                            connections_.size(), most_connections())) {
    say_(gate_.open() ? log::Level::notice : log::Level::warning, line);
  }
  wait_for_clients();
}

void Server::closed(std::uint64_t id, std::size_t slot) {
  connections_.erase(id);
  free_slots_.push_back(slot);
  descriptors_.give_back();
  look_at_gate();
  hand_on();
  if (finishing_ && connections_.empty()) io_.stop();
}

Connection* Server::find(std::uint64_t id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Server::hand_on() {
  if (handing_on_ || (queue_.waiting() == 0 && descriptors_.waiting() == 0)) return;
  handing_on_ = true;
  asio::post(io_, [this] {
    handing_on_ = false;
    hand_on_now();
  });
}

void Server::hand_on_now() {
  if (descriptors_.waiting() > 0) links_.clear();
  while (const auto id = descriptors_.next()) {
    if (Connection* const connection = find(id)) {
      connection->descriptor_free();
    } else {
      descriptors_.give_back();
    }
  }
  while (const auto id = queue_.next()) {
    if (Connection* const connection = find(id)) {
      connection->place_free();
    } else {
      queue_.release();
    }
  }
}

/// While there is anything to look at: doors without clients sleep.
void Server::tick() {
  ticking_ = true;
  tick_.expires_after(kTick);
  tick_.async_wait([this](const error_code& cancelled) {
    if (cancelled) return;
    const auto now = Clock::now();
    links_.expire(now);
    for (const Queue::Ticket id : queue_.expire(now)) {
      if (Connection* const connection = find(id)) connection->waited_too_long();
    }
    // A connection that closes takes itself out of the table: not while that is walked.
    std::vector<std::shared_ptr<Connection>> due;
    for (const auto& [id, connection] : connections_) {
      if (connection->is_due(now)) due.push_back(connection);
    }
    for (const auto& connection : due) connection->on_time(now);
    if (log_) log_.flush();
    look_at_gate();
    hand_on();
    ticking_ = false;
    if (std::exchange(starved_, false)) wait_for_clients();
    if (!connections_.empty() || !links_.empty()) tick();
  });
}

void Server::say_of_script(const std::string& line) {
  const std::int64_t second = ::time(nullptr);
  if (second != script_second_) {
    script_second_ = second;
    script_lines_ = 0;
  }
  if (++script_lines_ <= kMostScriptLines) say_(log::Level::warning, line);
}

void Server::write_log(std::string_view line) { log_.write(line); }

const std::string& Server::date() {
  const std::int64_t second = ::time(nullptr);
  if (second != date_second_) {
    date_second_ = second;
    date_ = http_date(second);
  }
  return date_;
}

}  // namespace fpm::http
