// A door's connections together: accepting, limits, the queue for the pool, the clock.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "fpm/http/limits.hpp"
#include "fpm/http/pool_links.hpp"
#include "fpm/http/queue.hpp"
#include "fpm/http/service.hpp"
#include "fpm/log/level.hpp"
#include "fpm/log/sink.hpp"
#include "fpm/scoreboard/door_board.hpp"

namespace fpm::http {

class Connection;

using Say = std::function<void(log::Level, const std::string&)>;

/// One thread, nothing waits but for the disk.
class Server {
 public:
  /// `file_limit`: RLIMIT_NOFILE. `say`: a line for the master's log.
  Server(boost::asio::io_context& io, std::size_t file_limit, Say say);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// From now on; requests that have begun keep what they began with.
  void use(std::shared_ptr<Service> service);
  void listen(os::UniqueFd listener);
  void use_board(scoreboard::DoorBoard board);
  void use_log(os::UniqueFd log);
  /// No new connection; the loop is stopped when the last one has ended. `serve_queue`: those that the
  /// kernel has taken already are served, for nobody else will.
  void finish(bool serve_queue);

  // For its connections.
  boost::asio::io_context& io() { return io_; }
  const std::shared_ptr<Service>& service() const { return service_; }
  Queue& queue() { return queue_; }
  Descriptors& descriptors() { return descriptors_; }
  PoolLinks& links() { return links_; }
  RateLimit& rate() { return rate_; }
  bool finishing() const { return finishing_; }
  std::span<char> buffer() { return buffer_; }
  scoreboard::DoorBoard::Head& counters() { return board_.head(); }
  scoreboard::DoorBoard::Slot* slot(std::size_t index);
  void enter(std::size_t slot, scoreboard::DoorState state);
  void say(log::Level level, const std::string& line) { say_(level, line); }
  /// A line of a script's stderr: so many a second and no more.
  void say_of_script(const std::string& line);
  /// Writes a line of the access log, if there is one.
  bool has_log() const { return static_cast<bool>(log_); }
  void write_log(std::string_view line);
  /// "Sun, 06 Nov 1994 08:49:37 GMT", of now.
  const std::string& date();
  /// A place in the pool, or a descriptor, may be free: whoever waits goes on, in a pass of the loop of
  /// its own.
  void hand_on();
  void closed(std::uint64_t id, std::size_t slot);

 private:
  void wait_for_clients();
  void accept_some();
  bool accept_one();
  void open(os::UniqueFd socket, const struct sockaddr_storage& peer);
  void look_at_gate();
  void tick();
  void hand_on_now();
  std::size_t most_connections() const;
  std::size_t take_slot();
  Connection* find(std::uint64_t id);

  boost::asio::io_context& io_;
  Say say_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::steady_timer tick_;
  std::shared_ptr<Service> service_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::uint64_t last_id_ = 0;
  Queue queue_;
  Descriptors descriptors_;
  PoolLinks links_{descriptors_};
  AcceptGate gate_;
  RateLimit rate_;
  log::Sink log_;
  scoreboard::DoorBoard board_;
  std::vector<std::size_t> free_slots_;
  std::size_t used_slots_ = 0;
  bool waiting_ = false;   // for clients
  bool ticking_ = false;
  bool starved_ = false;   // no client could be accepted for lack of something
  bool handing_on_ = false;
  bool finishing_ = false;
  bool unix_listener_ = false;
  int script_lines_ = 0;   // in this second
  std::int64_t script_second_ = 0;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::array<char, 64 * 1024> buffer_;
};

}  // namespace fpm::http
