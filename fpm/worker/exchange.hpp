// One request on a Wire, as a handler sees it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fpm/handlers/handler.hpp"
#include "fpm/log/slow_log.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/worker/script_output.hpp"
#include "fpm/worker/wire.hpp"

namespace fpm::worker {

class LateRequests;

/// A complete answer of our own: a status and one sentence for the visitor. Made in memory of its own.
class Page {
 public:
  Page(int status, std::string_view sentence);
  int status() const { return status_; }
  std::string_view header() const { return {head_.data(), head_length_}; }
  std::string_view body() const { return {body_.data(), body_length_}; }

 private:
  int status_;
  std::array<char, 1024> body_;
  std::size_t body_length_;
  std::array<char, 256> head_;
  std::size_t head_length_;
};

/// A request from the end of its parameters to the last byte of its answer. Reused from request to
/// request; allocates nothing.
class Exchange final : public handlers::Exchange {
 public:
  /// `late`, borrowed, tells slow and overdue requests; null: nobody does.
  Exchange(const config::Pool& pool, Wire& wire, scoreboard::Pen pen, LateRequests* late = nullptr);

  /// The handler wants FCGI_DATA of filters.
  void pass_data(bool wanted) { pass_data_ = wanted; }
  /// A request's parameters are complete.
  void start(std::uint16_t id, fcgi::Role role, std::chrono::steady_clock::time_point began,
             bool keep_conn = false);

  fcgi::Role role() const override { return role_; }
  const fcgi::Params& params() const override { return wire_.parser().params(); }
  std::span<const char> body() const override { return {body_.data(), body_.size()}; }
  void consume_body(std::size_t bytes) override;
  std::optional<std::size_t> move_body(int pipe) override;
  bool body_is_data() const override { return body_is_data_; }
  bool body_ended() const override {
    return finished_ || (body_.empty() && wire_.parser().input_ended());
  }
  bool aborted() const override { return (aborted_ || gone_) && !finished_; }
  int fd() const override { return wire_.fd(); }
  short events() const override;
  void pump() override;
  void pump(short ready) override;
  std::size_t room() const override;
  bool likes_one_piece() const override { return keep_conn_ && wire_.is_tcp(); }
  void begin(int status, std::string_view header_block) override;
  bool begun() const override { return begun_; }
  void write(std::span<const char> bytes) override;
  std::size_t write_from(int pipe, std::size_t most) override;
  std::size_t write_through(std::span<const char> bytes) override;
  void write_error(std::string_view text) override;
  void answer(int status, std::string_view reason) override;
  bool finish_answer(int app_status) override;
  std::chrono::steady_clock::time_point deadline() const override;
  std::chrono::steady_clock::time_point slow_at() const override;
  void tell_slow(std::span<const std::string> frames) override;
  void tell_overdue(std::string_view where) override;
  void set_usage(const handlers::Usage& usage) override { usage_ = usage; }
  void set_script(std::string_view path) override;
  bool output(std::string_view bytes) override;
  std::string pool_status() override { return pool_status_ ? pool_status_() : "{}"; }
  void log(log::Level level, std::string_view text) override;

  /// Writes all of a text that may be longer than room(), blocking while the client reads. For the
  /// answers that the worker gives itself.
  void write_all(std::string_view text);
  /// Reads over what has arrived of a body that nobody wanted.
  void discard_body();
  /// END_REQUEST goes into the buffer; what the application left of its answer is cut.
  void end(std::uint32_t app_status);
  /// Sends the rest. @return the client took it.
  bool send_all() { return wire_.send_all(deadline()); }
  /// The handler has completed the answer by finish_answer().
  bool finished() const { return finished_; }
  /// What the application has printed to the end of its last line, after END_REQUEST.
  void end_output();

  /// The request asks for a page of the worker's own.
  void executes_nothing() { executes_ = false; }
  /// What pool_status() gives.
  void use_status(std::function<std::string()> status) { pool_status_ = std::move(status); }

  // For the access log and the scoreboard.
  int status() const { return status_; }
  std::uint64_t body_bytes() const { return body_bytes_; }
  const handlers::Usage& usage() const { return usage_; }
  /// The file that executes, else the one that the front named; empty for a page of the worker's own.
  std::string_view script() const;
  /// The pool's door has sent it, and writes its line of the access log.
  bool from_door() const { return !params().last_non_empty("FPM_DOOR").empty(); }
  std::string_view uri() const { return {uri_.data(), uri_length_}; }
  std::chrono::steady_clock::time_point began() const { return began_; }
  std::uint16_t id() const { return id_; }
  bool head_only() const { return head_only_; }
  /// What logs say of a late request. Async-signal-safe within handle(), as are deadline(), slow_at(),
  /// begun(), finished(), id(), fd() and request_id().
  log::LateRequest late_request() const;
  /// Another process tells that it is slow.
  void note_slow();
  /// The handler itself ends it for its time.
  bool ends_overdue() const { return told_overdue_; }
  /// REQUEST_ID, else HTTP_X_REQUEST_ID; empty if the front sends none.
  std::string_view request_id() const;
  /// A header of the answer by its exact name, as php-fpm looks it up; nothing if there is none.
  std::optional<std::string_view> response_header(std::string_view name) const;

 private:
  void parse();
  void compose_uri();
  void mark_answer_begun();

  const config::Pool& pool_;
  ScriptOutput output_;
  Wire& wire_;
  scoreboard::Pen pen_;
  LateRequests* late_;
  std::function<std::string()> pool_status_;

  std::uint16_t id_ = 0;
  fcgi::Role role_ = fcgi::Role::responder;
  std::chrono::steady_clock::time_point began_{};
  bool pass_data_ = false;
  bool keep_conn_ = false;
  std::string_view body_;
  bool body_is_data_ = false;
  bool moving_ = false;   // the last record of the body was moved into a pipe
  bool aborted_ = false;  // ABORT_REQUEST
  bool gone_ = false;     // the connection has ended
  bool begun_ = false;
  bool finished_ = false;  // answered completely, while the handler works on
  bool told_slow_ = false;
  bool told_overdue_ = false;
  bool head_only_ = false;
  bool executes_ = true;
  int status_ = 0;
  std::uint64_t body_bytes_ = 0;
  handlers::Usage usage_;
  std::array<char, 512> script_{};
  std::size_t script_length_ = 0;
  std::array<char, 512> uri_{};
  std::size_t uri_length_ = 0;
  std::array<char, 4096> held_error_{};  // STDERR that waits for the header block
  std::size_t held_error_length_ = 0;
  std::array<char, 4096> header_{};  // the header block, cut, for the access log
  std::size_t header_length_ = 0;
};

/// "504 Gateway Timeout" for 504: the status codes that this program gives by itself.
std::string_view status_text(int status);

}  // namespace fpm::worker
