// How many connections and open files a door has, and when it stops to accept. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace fpm::http {

/// Open files: connections take them when they are accepted; files, temporary files and connections to
/// the pool ask first, and wait in a row when none is left.
class Descriptors {
 public:
  using Ticket = std::uint64_t;

  /// Kept free for what the process itself needs: a log that was opened anew, the master's packets.
  static constexpr std::size_t kReserve = 16;

  /// `limit`: RLIMIT_NOFILE; `base`: open without any connection.
  Descriptors(std::size_t limit, std::size_t base) : limit_(limit), used_(base) {}

  std::size_t limit() const { return limit_; }
  std::size_t used() const { return used_; }
  std::size_t waiting() const { return row_.size(); }

  /// One for a connection, which is there already.
  void accepted() { ++used_; }
  /// One for a file or the pool. @return false: none is left, or others wait already; the ticket stands
  /// in the row now.
  bool take(Ticket ticket);
  /// The same without the row: for what can do without.
  bool try_take();
  void give_back() { --used_; }
  /// Out of the row: the request has gone.
  void leave(Ticket ticket);
  /// The next in the row, which has one now; 0: nobody waits, or none is left.
  Ticket next();

 private:
  bool is_free() const { return used_ + kReserve < limit_; }

  std::size_t limit_;
  std::size_t used_;
  std::deque<Ticket> row_;
};

/// Whether new connections are accepted, with a line for the log whenever that changes.
class AcceptGate {
 public:
  /// Above nine tenths of the open files or at the most connections: no; below eight tenths and nine
  /// tenths: yes again. @return the line, if something has changed.
  std::vector<std::string> look(std::size_t open_files, std::size_t file_limit,
                                std::size_t connections, std::size_t most_connections);
  bool open() const { return !too_many_files_ && !too_many_connections_; }

 private:
  bool too_many_files_ = false;
  bool too_many_connections_ = false;
};

/// Bytes that may go out: so many a second, with at most a quarter of a second's worth at once.
class RateLimit {
 public:
  /// `bytes_per_second`: 0: no limit.
  void limit(std::uint64_t bytes_per_second) { rate_ = bytes_per_second; }
  bool limited() const { return rate_ != 0; }
  /// What may go out at that moment (nanoseconds of any steady clock).
  std::uint64_t allowance(std::uint64_t now_ns);
  void spend(std::uint64_t bytes) { credit_ = bytes > credit_ ? 0 : credit_ - bytes; }

 private:
  std::uint64_t rate_ = 0;
  std::uint64_t credit_ = 0;
  std::uint64_t last_ns_ = 0;
};

}  // namespace fpm::http
