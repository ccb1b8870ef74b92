// The pool's access log, written by its workers: one write(2) a request.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/log/access_format.hpp"
#include "fpm/log/sink.hpp"
#include "fpm/worker/exchange.hpp"

namespace fpm::worker {

class AccessLog {
 public:
  /// `fd`: opened by the master with O_APPEND, taken over; -1 switches everything here off.
  AccessLog(const config::Pool& pool, int fd, pid_t master_pid);

  /// A request begins. Takes the time of day, if there is a log.
  void begin();
  /// The request is over: its line, in one write, unless access.suppress_path hides it or the pool's
  /// door, whose request it was, writes one. Does not
  /// wait for a log that nobody reads: lines are kept (64 KiB), then dropped, and the log is told
  /// at the first trouble and how many were lost when it is over.
  void write(const Exchange& exchange, const char* peer, log::RequestEnd end,
             std::uint64_t took_ns);
  void write(const Exchange& exchange, const char* peer, handlers::End end, std::uint64_t took_ns);
  /// Tries once more to write what is kept. @return nothing is kept.
  bool flush() { return !sink_ || sink_.flush(); }

  /// The file was reopened: this is the new one. Without a log nothing happens.
  void use(os::UniqueFd fd);
  /// The pool's name.
  std::string_view pool() const { return pool_.name; }
  /// A handler has to measure CPU time for the log's sake: access.format has %C.
  bool needs_cpu() const { return sink_ && format_.needs_cpu(); }

 private:
  void tell_trouble();

  const config::Pool& pool_;
  pid_t master_pid_;
  pid_t pid_;
  log::AccessFormat format_;
  bool failed_ = false;
  std::chrono::system_clock::time_point accepted_{};
  std::array<char, 8192> line_{};
  log::Sink sink_;
};

/// access.suppress_path[] has this request's URI, and it is one of those that it is meant for: GET
/// or HEAD without query and body, answered with 2xx.
bool is_suppressed(const std::vector<std::string>& paths, const log::AccessRecord& record);

/// The request's user: REMOTE_USER, else, as php-fpm has it, the user of Basic authorization
/// (RFC 7617), decoded into `buffer` and cut to it. Empty if there is none.
std::string_view user_of(const fcgi::Params& params, std::span<char> buffer);

/// CONTENT_LENGTH as a number; 0 if it is none.
std::uint64_t parse_length(std::string_view text);

/// CPU time as hundredths of a percent of the time a request took; 0 for no time at all.
std::uint64_t cpu_permyriad(const handlers::Usage& usage, std::uint64_t took_ns);

}  // namespace fpm::worker
