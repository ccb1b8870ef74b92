// What a script writes to its standard error, as lines for the log.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace fpm::handlers::cgi {

/// Cuts a stream of text into lines and hands them on, bounded: a line of more than kLineLimit
/// bytes goes on in the next, and after kLines lines of one request the rest is only counted, so
/// that one script cannot fill the log. kLineLimit leaves room for what stands before a line, so
/// that the log's own limit (1024 by default) does not cut it.
class ErrorLines {
 public:
  static constexpr std::size_t kLineLimit = 512;
  static constexpr std::size_t kLines = 100;
  using Sink = std::function<void(std::string_view line)>;

  explicit ErrorLines(Sink sink) : sink_(std::move(sink)) {}

  void feed(std::string_view text);
  /// Hands on a last line without line feed, and how many lines were dropped. Called once.
  void end();

 private:
  void hand_on();

  Sink sink_;
  std::string line_;
  std::size_t count_ = 0;
};

}  // namespace fpm::handlers::cgi
