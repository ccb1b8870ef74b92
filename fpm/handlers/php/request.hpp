// The request that PHP executes just now: what the callbacks of the SAPI find behind
// SG(server_context). Knows nothing of PHP.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "fpm/config/config.hpp"
#include "fpm/handlers/blocking.hpp"
#include "fpm/handlers/php/env.hpp"

namespace fpm::handlers::php {

/// One object per worker, used for one request after the other.
class Request {
 public:
  explicit Request(const config::Pool& pool) : pool_(pool) {}

  void start(Exchange& exchange);
  void end() { exchange_ = nullptr; }

  Exchange& exchange() { return *exchange_; }
  Env& env() { return env_; }

  /// Some of the body: `out` is filled, unless the body ends. @return bytes.
  std::size_t read(std::span<char> out);
  /// What is not read by now is not wanted: read() gives nothing any more.
  void close_body() { body_closed_ = true; }

  /// The header block. What comes after a request was ended early is dropped.
  void begin(int status, std::string_view block);
  /// @return false: nobody takes it any more.
  bool write(std::string_view bytes);
  bool flush();

  /// The answer is complete for its client, and the script goes on. @return it was not before.
  bool finish();

  /// The time is over, the client stopped sending or the worker has to end: the script must not go on.
  /// Answers, once. @return that is so.
  bool must_stop();
  /// What became of the request.
  Outcome outcome();

  /// A message for the front's error log and for the pool's log, as php-fpm words it: `level` is
  /// "NOTICE", "ERROR" or "DEBUG", which does not reach the log, and PHP's own messages have `prefix` "PHP message: ".
  void tell(std::string_view level, std::string_view prefix, std::string_view text,
            bool to_front = true);

 private:
  bool may_write() const { return exchange_ != nullptr && !ended_ && !finished_; }
  bool keeps_for_nobody(std::size_t bytes);

  const config::Pool& pool_;
  Exchange* exchange_ = nullptr;
  std::optional<Blocking> io_;
  Env env_;
  bool body_closed_ = false;
  bool finished_ = false;  // by the script
  bool ended_ = false;     // by us
  bool told_ = false;      // the front has some error text
  std::size_t lost_ = 0;   // bytes that were written after finish() and not flushed
  Outcome outcome_;
  std::string line_;
};

}  // namespace fpm::handlers::php
