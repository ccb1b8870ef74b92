// A connection to a web server: its socket, what has been read from it and what waits to be sent.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <memory>
#include <span>
#include <string_view>

#include "fcgi/parser.hpp"
#include "fcgi/writer.hpp"
#include "fpm/os/fd.hpp"
#include "fpm/worker/piped_records.hpp"

namespace fpm::worker {

/// One connection after the other, with buffers that are made once. Management records are
/// answered here, at any moment.
class Wire {
 public:
  Wire();

  /// Takes a new connection; the one before is closed.
  void open(os::UniqueFd socket, const sockaddr_storage& peer);
  bool is_open() const { return static_cast<bool>(socket_); }
  int fd() const { return socket_.get(); }
  bool is_tcp() const { return tcp_; }
  /// The peer's address as the access log shows it, "-" for UNIX sockets.
  const char* peer() const { return peer_; }

  enum class Received {
    bytes,        ///< there is something new to parse
    nothing,      ///< not now (only without waiting), or a signal came
    end,          ///< the peer closed its side, or reading failed
  };
  /// One recv(2) of at most so many bytes. Blocks if `wait`. Only after next() has given need_more: what
  /// was received before is overwritten.
  Received receive(bool wait, std::size_t most = kBuffer);
  /// Moves what has arrived of parser().body_left() into a pipe, without a copy. Does not block while the
  /// connection's socket does not (TCP heeds no SPLICE_F_NONBLOCK). @return bytes; 0: the pipe is full or
  /// nobody reads it, or nothing is there; -1: the connection has ended, or the system cannot do it.
  /// Source: splice(2).
  ssize_t move_body(int pipe);
  /// The next event of what was received; get_values, unknown_type and second_begin are
  /// answered and not returned.
  fcgi::Event next();

  /// Whether next() has more to say than need_more.
  bool has_unparsed() const { return !unparsed_.empty(); }
  /// Moves `more` to the end of `bytes`; both are of events of what was received last, in this order. @return
  /// both in one piece.
  std::string_view join(std::string_view bytes, std::string_view more);

  fcgi::RequestParser& parser() { return parser_; }
  const fcgi::RequestParser& parser() const { return parser_; }
  fcgi::ResponseWriter& writer() { return writer_; }

  enum class Sent {
    all,      ///< nothing waits any more
    partly,   ///< the peer does not take more now
    failed,   ///< the peer is gone
  };
  /// Sends what waits, as far as it goes without blocking.
  Sent send();
  /// Something waits to be sent.
  bool has_output() const { return !piped_.empty() || !writer_.pending().empty(); }
  /// Moves up to `most` bytes that lie in a pipe into STDOUT records of request `id`, behind all that was
  /// written before, and sends. @return bytes taken; 0: what waits has to leave first, or PipedRecords
  /// cannot do it.
  std::size_t write_from(int pipe, std::size_t most, std::uint16_t id);
  /// Sends all that waits, and `bytes` in STDOUT records of request `id` from where they are, blocking
  /// until the kernel has them. @return false: the peer is gone.
  bool send_through(std::uint16_t id, std::string_view bytes);
  /// Sends all that waits, blocking in poll(2) until `deadline` at the latest. @return success.
  bool send_all(std::chrono::steady_clock::time_point deadline);
  /// What is sent from now on is the last of this connection, and close() follows at once: over TCP
  /// the end of the answer and the end of the connection then arrive together, so that no front sends
  /// another request meanwhile, which it would lose. Source: send(2) MSG_MORE. UNIX sockets cannot do
  /// that: there nothing is taken in from now on, so that who sends another request learns from its
  /// send that nothing of it has arrived, and may repeat it. Source: shutdown(2), unix(7).
  /// `next_possible`: the peer may take the connection for one that stays.
  void send_last(bool next_possible);
  /// A send has failed: the peer is gone.
  bool failed() const { return failed_; }

  /// The peer has all it gets: closes if all its input has been read, else only for writing, and
  /// close() is to follow, when there is time for it.
  void end();
  /// Closes. If the peer is still sending, its input is drained first (2 s of silence, 5 s or 64 MB
  /// in all): a close with unread input makes it lose the response (fronts.md rule 9).
  void close();
  /// Closes at once.
  void drop();

 private:
  /// A plain close loses nothing.
  bool all_was_read() const { return failed_ || (parser_.input_ended() && unparsed_.empty()); }
  void drain();
  bool send_parts(std::span<iovec> parts);

  // As much as a UNIX socket holds, so that a large body takes few calls; pages that nothing was received
  // into cost nothing.
  static constexpr std::size_t kBuffer = 256 * 1024;
  // One full record and the largest header block beside it.
  static constexpr std::size_t kOutput = 160 * 1024;

  os::UniqueFd socket_;
  char peer_[46] = "-";
  bool failed_ = false;
  bool tcp_ = false;
  bool last_ = false;
  std::unique_ptr<char[]> input_;
  std::string_view unparsed_;  // of input_
  std::unique_ptr<char[]> output_;
  fcgi::RequestParser parser_;
  PipedRecords piped_;  // before what waits in writer_
  fcgi::ResponseWriter writer_;
};

}  // namespace fpm::worker
