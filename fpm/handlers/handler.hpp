// What executes a request, and the little that it may know of the worker round it.
//
// The worker has read the request's parameters before a handler sees it; the body comes as it
// arrives and is never spooled. A handler that waits for something of its own (a pipe, a socket)
// polls it together with Exchange::fd(), and calls Exchange::pump() when that is ready; so both
// directions always move and nothing can deadlock.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"
#include "fpm/config/config.hpp"
#include "fpm/os/error.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::handlers {

/// How a request ended.
enum class End {
  ok,         ///< answered completely
  timeout,    ///< its time was over, or its client's to send the body
  abort,      ///< the client went away or sent ABORT_REQUEST
  failed,     ///< the application failed before or while it answered
  rejected,   ///< not run: it had waited too long
};

/// What a handler returns of a request.
struct Outcome {
  End end = End::ok;
  /// END_REQUEST's appStatus: for CGI, the exit status of the script.
  int app_status = 0;
  /// The answer was begun and could not be completed: the connection is closed in a way that the
  /// front can notice, and never kept (fronts must not take half a page for a whole one).
  bool truncated = false;
  /// Something of the request still runs: the worker calls finish() when the client has its answer,
  /// and does not keep the connection.
  bool unfinished = false;
};

/// CPU time and memory that a request took where another process executed it.
struct Usage {
  std::chrono::microseconds user{};
  std::chrono::microseconds system{};
  std::size_t peak_bytes = 0;
};

/// One request and its answer, between the worker that owns the connection and a handler.
/// Nothing here blocks. Views stay valid until the next non-const call.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual fcgi::Role role() const = 0;
  virtual const fcgi::Params& params() const = 0;

  // The body.
  /// Bytes that have arrived and are not consumed.
  virtual std::span<const char> body() const = 0;
  virtual void consume_body(std::size_t bytes) = 0;
  /// Moves bytes of a large body from the connection straight into a pipe whose writing end does not block,
  /// instead of giving them as body(), when that is empty and fd() is readable. @return how many; 0: the pipe
  /// is full or has no reader: poll it; nothing: it cannot be done here and now, pump() reads what is there.
  virtual std::optional<std::size_t> move_body(int pipe) {
    (void)pipe;
    return std::nullopt;
  }
  /// body() is of FCGI_DATA, which follows the body proper; only in the role filter, for a handler that
  /// takes_data().
  virtual bool body_is_data() const { return false; }
  /// The body is complete and all of it consumed. CONTENT_LENGTH plays no part in this.
  virtual bool body_ended() const = 0;
  /// The client closed the connection or sent ABORT_REQUEST.
  virtual bool aborted() const = 0;

  // The connection.
  /// The client's socket, borrowed, for poll(2) only.
  virtual int fd() const = 0;
  /// What to poll fd() for: POLLIN while there is room for input, POLLOUT while output waits; 0
  /// when the client is gone (then leave fd() out of the poll).
  virtual short events() const = 0;
  /// Sends what waits and reads what has arrived, without blocking.
  virtual void pump() = 0;
  /// The same with what poll(2) has said of fd(): what would find nothing is left out. POLLOUT alone sends
  /// what waits, also unasked: a try costs less than the poll before it.
  virtual void pump(short ready) { pump(); }

  // The answer.
  /// How many bytes write() takes now. Grows again as pump() sends.
  virtual std::size_t room() const = 0;
  /// The whole header block as the front shall get it ("Status: 404 Not Found\r\nContent-Type:
  /// ...\r\n\r\n"), once and before the body. `status` is what the access log shows.
  virtual void begin(int status, std::string_view header_block) = 0;
  /// begin() was called.
  virtual bool begun() const = 0;
  /// The answer had better leave in one piece if it is complete in a moment: the connection is TCP, the
  /// front means to keep it, and it may be closed with this answer. nginx sees the end of a connection
  /// only with the first piece of what it reads at once, and loses the next POST on it otherwise.
  virtual bool likes_one_piece() const { return false; }
  /// Body bytes, at most room(). The caller checks room() first.
  virtual void write(std::span<const char> bytes) = 0;
  /// A large piece of the body straight from the caller's memory, after all that was written before:
  /// blocks until the kernel has taken it. Only for handlers that run inside the worker, which a signal
  /// stops at the deadline. @return how many of the bytes were taken: all; 0 if the client is gone, or it
  /// cannot be done here.
  virtual std::size_t write_through(std::span<const char> bytes) {
    (void)bytes;
    return 0;
  }
  /// At most so many body bytes of those that lie in a pipe, after all that was written before; sends them.
  /// Does not block. @return how many were taken; 0: none now, or it cannot be done here.
  virtual std::size_t write_from(int pipe, std::size_t most) {
    (void)pipe, (void)most;
    return 0;
  }
  /// Text for the front's error log (FCGI_STDERR), held back until the header block is out; what
  /// does not fit is dropped. Empty text does nothing.
  virtual void write_error(std::string_view text) = 0;
  /// A complete answer of our own with that status, a short readable page, only before begin().
  /// `reason` is one plain sentence for the visitor: no paths, no secrets.
  virtual void answer(int status, std::string_view reason) = 0;
  /// Completes the answer now and ends the connection, while the handler works on in the same request:
  /// the client is served. After begin() or answer(), once. Blocks while the client takes what waits, not
  /// longer than deadline(). From here on there is no more body, the client cannot go away, what is written
  /// is dropped, and the request has a deadline only with request_terminate_timeout_track_finished.
  /// @return the client took all of it.
  virtual bool finish_answer(int app_status) = 0;

  // The request's frame.
  /// When the request must be over; time_point::max() without a limit, time_point::min() once the
  /// worker itself has to end. A signal may bring it forward: a handler that waits blocks signals,
  /// looks here, and waits by ppoll(2) with the mask from before.
  virtual std::chrono::steady_clock::time_point deadline() const = 0;
  /// When the request begins to be slow (request_slowlog_timeout); time_point::max(): never, or it has
  /// been told already. A handler that waits wakes up then and calls tell_slow().
  virtual std::chrono::steady_clock::time_point slow_at() const = 0;
  /// Writes the request's entry of the slow log and its line in the log, once a request. `frames`:
  /// where it is, the innermost first, each in php-fpm's form "[0x00007f6a516131a0] function()
  /// file:line" where there is a stack; made of what strangers chose or not. Only so many are
  /// written as request_slowlog_trace_depth says.
  virtual void tell_slow(std::span<const std::string> frames) = 0;
  /// Says that the request's time is up and that it is being ended, with `where` it was stuck, and
  /// counts it. Once a request, by whoever ends it for its time.
  virtual void tell_overdue(std::string_view where) = 0;
  /// CPU and memory of another process that executed the request, for status and access log.
  virtual void set_usage(const Usage& usage) = 0;
  /// The file that executes, for status, access log and slow log (at most 511 bytes are kept).
  /// Empty: none does, whatever SCRIPT_FILENAME says.
  virtual void set_script(std::string_view path) = 0;
  /// What the application printed for the log (its stderr), as it came, in pieces of any size.
  /// @return false: the log wants it in no such form, and the handler may log() what it makes of it.
  virtual bool output(std::string_view) { return false; }
  /// The pool's status page with every worker, as JSON.
  virtual std::string pool_status() { return "{}"; }
  /// A line into the log with pool and request named. Called at most a few times a request.
  virtual void log(log::Level level, std::string_view text) = 0;
};

/// Executes requests, one at a time, in one worker process.
class Handler {
 public:
  virtual ~Handler() = default;

  // What the workers of a pool share (a loaded module, an interpreter).
  /// load() is to run once for all workers of the pool, which are forked from the process it ran in.
  virtual bool preloads() const { return false; }
  /// Loads what the workers share: once, before any start(), as the pool's user, in a process with one
  /// thread, which has no other after it. An Error, with the reason in it, ends that process.
  virtual os::Result<void> load() { return {}; }

  /// Loads what pools share, too, in a process that templates of pools are forked from (template = shared), as
  /// who started the program. load() follows in each of those, with another Handler.
  virtual os::Result<void> load_for_all() { return {}; }

  /// Once in each worker, as the pool's user, before the first request. An Error ends the worker
  /// and is told through its channel. May set the dispositions of SIGCHLD and SIGPIPE, which the
  /// worker then leaves alone.
  virtual os::Result<void> start() = 0;
  /// Executes one request. The handler has either called begin() or answer() when it returns, or
  /// the outcome says abort. Blocks until the request is over, in poll(2) and not longer than
  /// deadline() by more than some milliseconds. Does not throw.
  virtual Outcome handle(Exchange& exchange) = 0;
  /// The client has its answer, and the connection is closed for writing: ends what still runs of a
  /// request whose outcome said `unfinished`. The worker counts as busy meanwhile. Of `exchange` only
  /// deadline(), params() and what writes logs or usage may be called. Blocks for
  /// request_terminate_grace and a second at most, after deadline() with
  /// request_terminate_timeout_track_finished. Does not throw.
  virtual void finish(Exchange& exchange) { (void)exchange; }

  /// A filter's FCGI_DATA is wanted, as more of the body.
  virtual bool takes_data() const { return false; }
  /// Requests in the role filter are welcome; without takes_data() their second stream is dropped.
  virtual bool runs_filters() const { return takes_data(); }

  // What a handler has besides requests, such as a process that it owns.
  /// Asked before the worker waits in accept, and when a signal ended the wait: there is something to
  /// look after. Does not block; without a system call when there is nothing.
  virtual bool looks_after() { return false; }
  /// Looks after it. The worker is not counted as idle meanwhile. May block, until stop_asked().
  virtual void look_after() {}
  /// It could execute a request now. A worker that cannot leaves clients to others, as long as there are
  /// some, and has look_after() called again and again.
  virtual bool able() const { return true; }
  /// The worker ends in an orderly way. Blocks for request_terminate_grace at most; for some 100 ms when
  /// it was told to end at once.
  virtual void stop() {}
  /// stop() does something that matters: TERM of an idle worker has to come to it.
  virtual bool needs_stop() const { return false; }
  /// Bytes that pm.max_memory counts besides the worker's own. May block for some 100 us.
  virtual std::uint64_t memory() const { return 0; }
  /// A worker takes long to get ready: it serves on until its successor is there.
  virtual bool starts_slowly() const { return false; }

  // Code that runs in the worker itself and cannot be asked to stop.
  /// handle() runs such code: what a slow or an overdue request needs is done by signals meanwhile.
  virtual bool runs_inside() const { return false; }
  /// Where the request is, the innermost frame first, at most `depth` lines in php-fpm's form
  /// "[0x00007f6a516131a0] function() file:line\n". Called in the middle of handle() by a signal handler
  /// on a stack of its own: async-signal-safe, and memory is only read in ways that cannot fault.
  /// @return bytes written to `out`; 0: it cannot say.
  virtual std::size_t where(std::span<char> out, int depth) noexcept {
    (void)out, (void)depth;
    return 0;
  }

  /// Lines of header, each with its CR LF, that pages of the worker's own (ping, status) begin with.
  virtual std::string_view page_header() const { return {}; }

  /// The worker sets this before start(): it was told to end.
  void set_stop_asked(bool (*asked)()) { stop_asked_ = asked; }
  /// And this: it was told to end at once.
  void set_hurry_asked(bool (*asked)()) { hurry_asked_ = asked; }

 protected:
  bool stop_asked() const { return stop_asked_ != nullptr && stop_asked_(); }
  auto hurry_asked() const { return hurry_asked_; }

 private:
  bool (*stop_asked_)() = nullptr;
  bool (*hurry_asked_)() = nullptr;
};

/// The handler that a pool's configuration asks for. `pool` outlives it. `user` is whom the worker
/// runs as and gives HOME and USER; the default asks the name service, so a caller that has
/// resolved the pool's user already hands that over. @return nullptr for a kind of handler that
/// this build does not have.
std::unique_ptr<Handler> make_handler(const config::Pool& pool,
                                      const os::Identity& user = os::current_identity());

/// Finds the files that a pool's handler is made of, and notes them in `pool`. @return what is missing
/// and what would do, in one line; empty: nothing. Loads nothing.
std::string find_parts(config::Pool& pool);

}  // namespace fpm::handlers
