// The reporter's connections: accepting, limits of time and number, closing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <vector>

#include "fpm/reporter/talk.hpp"
#include "fpm/reporter/view.hpp"

namespace fpm::reporter {

class Session;

/// How long a client may take.
struct Patience {
  std::chrono::milliseconds request{5'000};  ///< from connecting, or its first byte, to its end
  std::chrono::milliseconds send{10'000};    ///< in which it takes nothing of its answer
  std::chrono::milliseconds kept{75'000};    ///< between two requests
  std::chrono::milliseconds drain{2'000};    ///< to close its side
};

/// Answers at the places of a View. One thread, nothing waits.
class Server {
 public:
  /// Connections at once. One more ends the one that has been silent for longest.
  static constexpr std::size_t kMostSessions = 512;
  /// Bytes of answers that wait for their clients, over all of them; then 503.
  static constexpr std::size_t kMostHeld = 128 * 1024 * 1024;

  Server(boost::asio::io_context& io, View& view, Patience patience = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// The view's places may have changed: accepts at the new ones, and no longer at those that have
  /// gone. Connections that were made there are served on.
  void use_places();

 private:
  friend class Session;

  struct Door {
    Door(boost::asio::io_context& io, std::shared_ptr<const Place> at);
    std::shared_ptr<const Place> place;
    boost::asio::posix::stream_descriptor listener;
    boost::asio::steady_timer again;  // when there are no descriptors left
  };
  using Sessions = std::list<std::shared_ptr<Session>>;

  void watch(const std::shared_ptr<Door>& door);
  void accept_some(const std::shared_ptr<Door>& door);
  void open(const Place& place, os::UniqueFd socket);
  Page answer(const std::string& pool, const Ask& ask);

  boost::asio::io_context& io_;
  View& view_;
  const Patience patience_;
  std::vector<std::shared_ptr<Door>> doors_;
  Sessions sessions_;  // the one that has been silent for longest first
};

}  // namespace fpm::reporter
