// One connection of the reporter.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "fpm/reporter/server.hpp"

namespace fpm::reporter {

/// Reads, lets a Talk answer, writes; one of them at a time. Lives in the server's list until it
/// closes. Which language is spoken the first byte tells: no HTTP request begins with the 1 that
/// every FastCGI record has.
class Session : public std::enable_shared_from_this<Session> {
 public:
  /// `pool`: whose pm.status_listen it came to, where only FastCGI is spoken; empty: status.listen.
  Session(Server& server, os::UniqueFd socket, std::string pool);

  void start();
  /// Ends it at once.
  void close();
  std::size_t held() const { return talk_ ? talk_->held() : 0; }
  /// Its place in the server's list.
  Server::Sessions::iterator place;

 private:
  void go_on();
  void read();
  void write();
  void drain();
  void drop_input();
  void take(std::string_view bytes);
  void limit(std::chrono::milliseconds time);
  template <class Work>
  auto guarded(Work work);

  Server& server_;
  const std::string pool_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<Talk> talk_;  // nothing: the first byte has not come
  bool in_request_ = false;     // its time runs
  bool closed_ = false;
  std::array<char, 8192> buffer_{};
};

}  // namespace fpm::reporter
