// One request to the pool, over a connection that nobody else uses meanwhile.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/response_parser.hpp"
#include "fpm/http/pool_links.hpp"
#include "fpm/http/service.hpp"
#include "fpm/http/spool.hpp"

namespace fpm::http {

/// How an exchange has ended.
enum class ExchangeEnd {
  complete,   ///< END_REQUEST has come
  broken,     ///< the connection ended before that
  refused,    ///< the pool could not be reached, or it refused the request
  malformed,  ///< what came is no FastCGI
};

/// Who made the exchange. Called from the loop, never from within a call to the exchange but abort().
class ExchangeOwner {
 public:
  virtual ~ExchangeOwner() = default;
  /// Bytes of STDOUT. @return false: no more of them is wanted now, until resume().
  virtual bool take_output(std::string_view bytes) = 0;
  virtual void take_errors(std::string_view bytes) = 0;
  /// All that had come was handed over, and more is awaited.
  virtual void caught_up() = 0;
  /// Nothing follows. The exchange may be destroyed here. `reason`: for the log.
  virtual void exchange_ended(ExchangeEnd end, const std::string& reason) = 0;
};

/// Connects, sends the parameters and the body, and receives meanwhile. A pool whose queue is full, or
/// that changes its address, is tried again for a second.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  using CurrentService = std::function<std::shared_ptr<Service>()>;

  /// `body` is borrowed, and taken out. `buffer`: of the loop, for receiving, used between two waits.
  Exchange(boost::asio::io_context& io, CurrentService service, ExchangeOwner& owner,
           PoolLinks& links, std::span<char> buffer);
  ~Exchange();

  /// `kept`: over a connection that is there already, if there is one, and that stays there afterwards.
  /// Its worker may be about to close it, so only for what may be asked twice.
  void start(const fcgi::Params& params, Spool& body, bool kept);
  /// Output is wanted again.
  void resume();
  /// Ends it: the worker sees that its client has gone. The owner hears no more.
  void abort();
  /// So many bytes of STDOUT have come.
  std::uint64_t received() const { return received_; }
  bool connected() const { return connected_; }

 private:
  using Clock = std::chrono::steady_clock;

  void connect();
  void connect_later(int code);
  void send_some();
  bool fill();
  void wait_to_send();
  void wait_to_receive();
  void receive_some();
  bool take(std::string_view bytes);
  void use_link(PoolLinks::Link link);
  void end(ExchangeEnd how, const std::string& reason);

  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer again_;
  CurrentService service_;
  PoolLinks& links_;
  ExchangeOwner* owner_;  // nullptr: it does not want to hear any more
  std::span<char> buffer_;
  Spool* body_ = nullptr;
  bool body_ended_ = false;  // the empty STDIN record is in out_
  std::string out_;
  std::size_t sent_ = 0;  // of out_
  fcgi::ResponseParser parser_;
  std::string held_;  // received, and not wanted yet
  std::uint64_t received_ = 0;
  Clock::time_point began_{};
  bool kept_ = false;
  bool connected_ = false;
  bool paused_ = false;
  bool resuming_ = false;
  bool receiving_ = false;
};

}  // namespace fpm::http
