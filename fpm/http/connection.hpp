// One browser's connection: from its first byte to its last, one request after the other.
//   connection.cpp         its life: waiting, deadlines, closing
//   connection_in.cpp      the head and the body of a request
//   connection_route.cpp   what answers it: a file, the pool, a page of our own
//   connection_answer.cpp  an answer of the pool, made HTTP
//   connection_out.cpp     what goes out
#pragma once

#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fpm/http/chunks.hpp"
#include "fpm/http/exchange.hpp"
#include "fpm/http/head.hpp"
#include "fpm/http/parameters.hpp"
#include "fpm/http/script_head.hpp"
#include "fpm/http/server.hpp"
#include "fpm/http/spool.hpp"
#include "fpm/http/target.hpp"

namespace fpm::http {

/// Kept alive by the server's table and by what it waits for. Never pins a worker: the whole request is
/// read before one is taken, and the answer is taken off it as fast as it comes.
class Connection final : public ExchangeOwner, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server& server, std::uint64_t id, std::size_t slot, os::UniqueFd socket,
             const sockaddr_storage& peer);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  /// At once, whatever it does.
  void close();
  /// The server ends: what is under way is finished.
  void finish();
  /// Its deadline, or the moment at which more may go out, has come.
  bool is_due(Clock::time_point now) const { return now >= deadline_ || now >= paused_until_; }
  void on_time(Clock::time_point now);
  /// What it stood in the row for: it has one now.
  void descriptor_free();
  /// It has left the queue: it has a place in the pool; or nothing, after too long.
  void place_free();
  void waited_too_long();

  bool take_output(std::string_view bytes) override;
  void take_errors(std::string_view bytes) override;
  void caught_up() override;
  void exchange_ended(ExchangeEnd end, const std::string& reason) override;

 private:
  /// What bytes from the client are.
  enum class Phase { head, body, answer, drain, closed };
  /// What a descriptor is awaited for.
  enum class Need { nothing, route, body_file, exchange, send_file };
  /// How the end of an answer is told.
  enum class Framing { none, length, chunked, until_close };

  // connection.cpp
  void enter(scoreboard::DoorState state);
  void set_deadline(std::int64_t milliseconds);
  void wait_to_read();
  void on_readable();
  void client_left();
  const Endpoint& local();
  bool has_input();
  void drain_and_close();
  void release_everything();

  // connection_in.cpp
  void advance();
  bool take_head();
  bool refuse_head(int status);
  void begin_request(std::size_t head_size);
  void begin_body();
  bool take_body();
  bool take_chunks();
  bool keep_body(std::string_view bytes);
  void body_complete();

  // connection_route.cpp
  bool wants_own_page() const;
  void choose();
  void route();
  void answer_found(Found found);
  void redirect_to_folder();
  void pass(std::string script_path, std::string path_info);
  void enter_queue();
  void start_exchange();
  void set_passed(Passed& passed);
  void serve_file(os::UniqueFd file, const FileFacts& facts, const std::string& path,
                  const ScriptHead* script);
  void send_script_file();
  void refuse(int status, std::string_view fields = {});

  // connection_answer.cpp
  void take_script_head(std::string_view rest);
  void redirect_locally();
  void begin_answer(std::optional<std::uint64_t> total);
  bool add_body(std::string_view bytes);
  void answer_failed(int status, log::RequestEnd end, const std::string& why);
  bool may_repeat() const;
  bool retry();
  void leave_pool();

  // connection_out.cpp
  void begin_head(int status, std::string_view reason);
  void add_field(std::string_view name, std::string_view value);
  void add_number(std::string_view name, std::uint64_t value);
  void end_head();
  void pump();
  bool send_head_bytes(std::size_t& allowed);
  bool send_spool(std::size_t& allowed);
  bool send_file(std::size_t& allowed);
  bool sent(ssize_t count, std::size_t& allowed);
  std::size_t allowance();
  void wait_to_write();
  void answer_complete();
  void write_access_line(int status);
  bool has_output() const;

  // For its whole life.
  Server& server_;
  const std::uint64_t id_;
  const std::size_t slot_;
  boost::asio::posix::stream_descriptor socket_;
  Endpoint peer_;
  Endpoint local_;  // once a request was passed on
  Phase phase_ = Phase::head;
  scoreboard::DoorState state_ = scoreboard::DoorState::reading;
  bool counted_ = false;  // its state is in the server's numbers
  std::string in_;        // received and not looked at
  HeadFinder finder_;
  bool reading_ = false;  // waits for bytes
  bool writing_ = false;  // waits for room
  bool advancing_ = false;
  std::uint64_t requests_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
  RateLimit rate_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point paused_until_ = Clock::time_point::max();
  Clock::time_point drain_until_{};

  // Of the request under way.
  std::shared_ptr<Service> service_;
  std::string head_bytes_;
  Head head_;
  bool head_read_ = false;
  Target target_;
  std::string request_path_;  // of the target, before any redirect
  Endpoint client_;
  std::string_view method_;
  Spool body_;
  std::uint64_t body_left_ = 0;  // of Content-Length
  std::uint64_t body_size_ = 0;
  ChunkReader chunks_;
  bool body_read_ = true;
  Need need_ = Need::nothing;
  bool holds_route_ = false;  // a descriptor for a file
  bool holds_file_ = false;   // for the body's file
  bool holds_place_ = false;  // in the pool
  bool holds_exchange_ = false;  // a descriptor for its connection
  bool queued_ = false;
  std::string script_path_;
  std::string path_info_;
  int redirects_ = 0;
  bool retried_ = false;
  std::shared_ptr<Exchange> exchange_;
  std::chrono::system_clock::time_point began_{};
  Clock::time_point began_steady_{};
  std::chrono::system_clock::time_point ready_{};
  Clock::time_point ready_steady_{};
  std::optional<std::chrono::microseconds> queue_wait_;

  // Of its answer.
  std::string script_bytes_;  // of the header block, until that is complete
  std::size_t script_seen_ = 0;
  bool script_head_read_ = false;
  ScriptHead script_;
  std::string early_;      // body bytes before the head went out
  bool head_out_ = false;  // the answer was begun
  int status_ = 0;
  Framing framing_ = Framing::none;
  bool sends_body_ = true;
  std::uint64_t length_left_ = 0;  // of the body, with Framing::length
  std::string out_;                // head, and small bodies
  std::size_t out_sent_ = 0;
  Spool spool_;  // the body of a script's answer
  os::UniqueFd file_;
  std::uint64_t file_offset_ = 0;
  std::uint64_t file_left_ = 0;
  bool complete_ = false;  // all of it is in out_, spool_ and file_
  bool broken_ = false;    // it cannot be completed: the client is to see that
  bool keep_ = true;       // the connection, after it
  bool spool_holds_file_ = false;
  std::uint64_t body_out_ = 0;
  std::string fields_out_;  // for the access log
  log::RequestEnd end_ = log::RequestEnd::ok;
};

}  // namespace fpm::http
