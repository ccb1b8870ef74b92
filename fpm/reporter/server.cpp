#include "fpm/reporter/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "fpm/os/fd.hpp"
#include "fpm/reporter/session.hpp"

namespace fpm::reporter {

namespace asio = boost::asio;
using boost::system::error_code;

Server::Door::Door(asio::io_context& io, std::shared_ptr<const Place> at)
    : place(std::move(at)), listener(io), again(io) {}

Server::Server(asio::io_context& io, View& view, Patience patience)
    : io_(io), view_(view), patience_(patience) {}

Server::~Server() {
  while (!sessions_.empty()) sessions_.front()->close();
}

void Server::use_places() {
  std::vector<std::shared_ptr<Door>> doors;
  for (const auto& place : view_.places()) {
    const auto same = [&](const auto& door) { return door->place->socket == place->socket; };
    const auto known = std::find_if(doors_.begin(), doors_.end(), same);
    if (known != doors_.end()) {
      (*known)->place = place;
      doors.push_back(*known);
      continue;
    }
    // The loop closes its own copy; the view keeps the socket.
    auto copy = os::duplicate(place->socket->get());
    if (!copy || os::set_nonblocking(copy->get(), true).has_error()) continue;
    const auto door = std::make_shared<Door>(io_, place);
    error_code failure;
    door->listener.assign(copy->release(), failure);
    if (failure) continue;
    doors.push_back(door);
    watch(door);
  }
  for (const auto& door : doors_) {
    if (std::find(doors.begin(), doors.end(), door) != doors.end()) continue;
    door->listener.close();
    door->again.cancel();
  }
  doors_ = std::move(doors);
}

void Server::watch(const std::shared_ptr<Door>& door) {
  door->listener.async_wait(asio::posix::stream_descriptor::wait_read,
                            [this, door](const error_code& failure) {
                              if (!failure && door->listener.is_open()) accept_some(door);
                            });
}

void Server::accept_some(const std::shared_ptr<Door>& door) {
  constexpr int kAtOnce = 64;  // then it is others' turn
  for (int i = 0; i < kAtOnce; ++i) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    os::UniqueFd socket(::accept4(door->listener.native_handle(),
                                  reinterpret_cast<sockaddr*>(&peer), &length,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket && errno == EAGAIN) break;
    if (!socket && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
      door->again.expires_after(std::chrono::milliseconds(200));
      door->again.async_wait([this, door](const error_code& cancelled) {
        if (!cancelled && door->listener.is_open()) watch(door);
      });
      return;
    }
    if (socket && door->place->allowed.allows(peer)) open(*door->place, std::move(socket));
  }
  watch(door);
}

void Server::open(const Place& place, os::UniqueFd socket) {
  const int on = 1;  // no effect on UNIX sockets
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  while (sessions_.size() >= kMostSessions) sessions_.front()->close();
  const auto session = std::make_shared<Session>(*this, std::move(socket), place.pool);
  session->place = sessions_.insert(sessions_.end(), session);
  session->start();
}

Page Server::answer(const std::string& pool, const Ask& ask) {
  std::size_t held = 0;
  for (const auto& session : sessions_) held += session->held();
  if (held > kMostHeld) {
    return {.status = 503, .body = "Too many clients do not read their answers.\n"};
  }
  return pool.empty() ? general_page(view_, ask, View::Time::clock::now())
                      : pool_page(view_, pool, ask);
}

}  // namespace fpm::reporter
