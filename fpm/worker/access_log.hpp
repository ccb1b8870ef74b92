// The pool's access log, written by its workers: one write(2) a request.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "fpm/log/access_format.hpp"
#include "fpm/worker/exchange.hpp"

namespace fpm::worker {

class AccessLog {
 public:
  /// `fd`: opened by the master with O_APPEND, borrowed; -1 switches everything here off.
  AccessLog(const config::Pool& pool, int fd, pid_t master_pid);

  /// A request begins. Takes the time of day, if there is a log.
  void begin();
  /// The request is over: its line, in one write. A log that does not take it is told once.
  void write(const Exchange& exchange, const char* peer, handlers::End end, std::uint64_t took_ns);

 private:
  const config::Pool& pool_;
  int fd_;
  pid_t master_pid_;
  pid_t pid_;
  log::AccessFormat format_;
  bool failed_ = false;
  std::chrono::system_clock::time_point accepted_{};
  std::array<char, 8192> line_{};
};

/// CONTENT_LENGTH as a number; 0 if it is none.
std::uint64_t parse_length(std::string_view text);

/// CPU time as hundredths of a percent of the time a request took; 0 for no time at all.
std::uint64_t cpu_permyriad(const handlers::Usage& usage, std::uint64_t took_ns);

}  // namespace fpm::worker
