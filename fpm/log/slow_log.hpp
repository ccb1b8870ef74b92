// What logs say of requests that take too long, in the log and in the slow log.
//
// The slow log: where requests were that took longer than request_slowlog_timeout, as php-fpm
// writes it:
//
//   (an empty line)
//   [22-Nov-2026 05:10:19]  [pool www] pid 28454
//   script_filename = /srv/www/a.php
//   [0x00007f6a516131a0] usleep() /srv/www/a.php:1
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "fpm/log/sink.hpp"

namespace fpm::log {

/// A request that is slow, or whose time is up. The views are borrowed for the call.
struct LateRequest {
  pid_t pid = 0;  ///< of the worker
  std::string_view script{};
  std::string_view method{};
  std::string_view uri{};
  std::string_view query{};
  std::chrono::microseconds taken{};  ///< since its first byte
};

/// What follows for it.
enum class Lateness { slow, overdue };

/// The line in the log, in php-fpm's words, for which tools look: `child 12, script '/srv/a.php'
/// (request: "GET /a.php?x") executing too slow (1.234567 sec), logging`, or for an overdue one
/// `... execution timed out (2.003000 sec), terminating`. Made printable.
std::string late_line(const LateRequest& request, Lateness lateness);

/// An entry of the slow log. The views are borrowed for the call.
struct SlowEntry {
  std::string_view pool{};
  pid_t pid = 0;             ///< of the worker
  std::string_view script{};
  std::span<const std::string> frames{};  ///< the innermost first; lines without line feeds
};

/// The entry as it is written at this moment, with at most `depth` frames.
std::string render_slow(const SlowEntry& entry, int depth);

/// A pool's slow log, in a worker.
class SlowLog {
 public:
  /// `fd`: opened by the master with O_APPEND, taken over; -1: there is none. `depth`:
  /// request_slowlog_trace_depth.
  SlowLog(int fd, int depth) : depth_(depth) { sink_.use(os::UniqueFd(fd)); }

  explicit operator bool() const { return static_cast<bool>(sink_); }
  /// One entry, in one write. Does not wait for a log that nobody reads: what it does not take is
  /// kept (64 KiB), then dropped.
  void write(const SlowEntry& entry) {
    if (sink_) sink_.write(render_slow(entry, depth_));
  }
  /// The file was reopened: this is the new one. Without a log nothing happens.
  void use(os::UniqueFd fd) {
    if (sink_) sink_.replace(std::move(fd));
  }

 private:
  int depth_;
  Sink sink_;
};

}  // namespace fpm::log
