// A line of the access log, written by the door.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/http/head.hpp"
#include "fpm/log/access_format.hpp"

namespace fpm::http {

/// A request that is over. Views are borrowed for the time of the call.
struct Served {
  std::string_view pool;
  const Head* head = nullptr;  ///< nullptr: there was none that could be read
  std::string_view remote;
  std::string_view uri;    ///< decoded path
  std::string_view query;
  std::string_view script;
  std::string_view user;
  std::string_view fields;  ///< of the answer, "Name: value\r\n" each
  int status = 0;
  std::uint64_t body_in = 0;
  std::uint64_t body_out = 0;
  std::chrono::system_clock::time_point began{};
  std::chrono::system_clock::time_point ended{};
  std::chrono::microseconds duration{};
  std::optional<std::chrono::microseconds> queue_wait;
  log::RequestEnd end = log::RequestEnd::ok;
};

/// access.format for the door: combined (the default), json, or php-fpm's tokens.
class AccessLine {
 public:
  /// `format` was checked by the configuration; empty: combined.
  explicit AccessLine(const std::string& format);

  /// The line with its newline, in memory that the next call uses again; empty: nothing to log.
  std::string_view render(const Served& served);

 private:
  bool combined_;
  log::AccessFormat format_;
  std::string text_;
  std::array<char, 8192> buffer_{};
  std::int64_t second_ = -1;
  std::string time_;  // of that second, as combined has it
};

/// The user of Basic authorization (RFC 7617); empty: there is none.
std::string basic_user(const Head& head);

/// access.suppress_path[] names it, and it is a GET or HEAD without query and body that went well.
bool is_suppressed(const std::vector<std::string>& paths, const Served& served);

}  // namespace fpm::http
