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

/// Moves body, response and standard error between a client and a script, all together, so that
/// neither side can make the other wait for ever, until the script's own process has ended and what
/// it left in its pipes is read, or the request's time is up, or its client is gone. Whatever
/// happens, no process is left unwaited for; with the exceptions of cgi.background = leave and of
/// processes that left the script's process group, none is left running.
class Run {
 public:
  /// `path` names the script in the log. `buffer` holds response bytes on their way; its size does
  /// not matter for correctness. All are borrowed.
  Run(Exchange& exchange, const config::Pool& pool, const std::string& path, Started started,
      std::vector<char>& buffer, std::chrono::steady_clock::time_point since);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Blocks until the request is over. Called once.
  Outcome go();

 private:
  void feed_input();
  bool wait_for_events();
  void read_output();
  void read_errors();
  void script_ended();
  std::chrono::steady_clock::time_point held_until() const;
  bool pass_output();

  Outcome finish();
  Outcome client_gone();
  Outcome timed_out();
  Outcome malformed();
  Outcome no_header(const os::Ended& ended);

  os::Ended end_script();
  void take_usage(const os::Ended& ended);
  bool drained() const { return ended_ && !out_ && begin_ == end_; }

  const os::SignalsBlocked signals_blocked_;
  Exchange& exchange_;
  const config::Pool& pool_;
  const std::string& path_;
  const std::chrono::steady_clock::time_point since_;

  pid_t pid_;           // until it is reaped; then -1
  os::UniqueFd pidfd_;  // open while the script runs
  os::UniqueFd in_, out_, err_;
  void make_room();

  std::vector<char>& buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of buffer_ waits for the client
  std::size_t left_ = 0;             // of what an ended script left in its pipe
  bool ended_ = false;               // the script's own process
  bool discard_ = false;             // the client is gone and the script goes on
  std::chrono::steady_clock::time_point body_moved_;  // when the script last took some of it
  HeaderParser header_;
  ErrorLines error_lines_;
};

}  // namespace fpm::handlers::cgi
