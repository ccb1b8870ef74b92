// One running script: its pipes, its process group, its end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include <string_view>

#include "fpm/handlers/cgi/error_lines.hpp"
#include "fpm/handlers/cgi/header.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/os/child.hpp"
#include "fpm/os/process.hpp"

namespace fpm::handlers::cgi {

/// A started script and our ends of its pipes, all non-blocking.
struct Started {
  os::Child child;
  os::UniqueFd in;   ///< we write the body
  os::UniqueFd out;  ///< we read the response
  os::UniqueFd err;  ///< we read its standard error
};

/// Bytes that lie in a pipe; 0 if that cannot be known.
std::size_t waiting_in(int fd);

/// Moves body, response and standard error between a client and a script, all together, so that
/// neither side can make the other wait for ever, until the script's own process has ended and what
/// it left in its pipes is read, or the request's time is up, or its client is gone or stands still.
/// A script that has to go gets TERM with its whole process group at once; the rest of its end is
/// conclude()'s, so that no client waits for it. After that, with the exceptions of cgi.background =
/// leave and of processes that left the group, none is left running.
class Run {
 public:
  /// `path` names the script in the log. `buffer` holds response bytes on their way; its size does
  /// not matter for correctness. Borrowed, but for `path`.
  Run(Exchange& exchange, const config::Pool& pool, std::string path, Started started,
      std::vector<char>& buffer, std::chrono::steady_clock::time_point since);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Blocks until the request is over. Called once.
  Outcome go();
  /// After an outcome that says `unfinished`, called once: waits request_terminate_grace for the
  /// group to go and KILLs what stays. A group that was not told to go, which is in the background
  /// with request_terminate_timeout_track_finished, first has until the request's deadline.
  void conclude();

 private:
  /// What a wait ended with.
  enum class Due { nothing, deadline, body };

  void feed_input();
  bool move_input();
  Due wait_for_events();
  bool waits_for_body() const;
  std::chrono::steady_clock::time_point wake_at() const;
  void tell_slow();
  bool move_output();
  void read_output();
  void read_errors();
  void script_ended();
  std::chrono::steady_clock::time_point held_until() const;
  bool pass_output();
  bool push_output();

  Outcome finish();
  Outcome client_gone();
  Outcome timed_out();
  Outcome body_missing();
  Outcome malformed();
  Outcome no_header(const os::Ended& ended);

  void terminate();
  void read_last_errors();
  template <class Limit>
  bool group_gone_by(Limit limit);
  void take_usage(const os::Ended& ended);
  bool input_is_full() const { return in_ && in_full_; }
  bool drained() const { return ended_ && !out_ && begin_ == end_; }

  Exchange& exchange_;
  const config::Pool& pool_;
  const std::string path_;
  const std::chrono::steady_clock::time_point since_;

  sigset_t waiting_mask_{};  // of signals, in waits only
  pid_t pid_;                // and its group; -1 when nothing of that is left
  os::UniqueFd pidfd_;  // open while the script runs
  os::UniqueFd in_, out_, err_;
  void make_room();

  std::vector<char>& buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of buffer_ waits for the client
  bool in_full_ = false;             // bytes of the body were moved into in_ until it took no more
  bool bulk_ = false;                // the script prints much
  std::size_t left_ = 0;             // of what an ended script left in its pipe
  bool ended_ = false;               // the script's own process
  bool discard_ = false;             // the client is gone and the script goes on
  bool answered_ = false;            // the front takes no error text any more
  std::optional<std::chrono::steady_clock::time_point> terminated_;  // when the group got TERM
  std::chrono::steady_clock::time_point body_moved_;  // when the script last took some of it
  HeaderParser header_;
  ErrorLines error_lines_;
};

}  // namespace fpm::handlers::cgi
