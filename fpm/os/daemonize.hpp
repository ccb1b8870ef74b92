// Going into the background, with the caller's shell told how the start went.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// The pipe between the process that a shell started and the daemon that it left behind.
class Daemon {
 public:
  /// Forks twice and returns in two processes: the one that was called (is_starter()), which has
  /// only to wait() and to end with that status, and the daemon. The daemon belongs to no terminal
  /// and cannot get one (a session of its own that it does not lead), ignores TTOU, TTIN, TSTP and
  /// HUP until handlers are set, is in /, and has /dev/null for stdin and stdout. It keeps stderr,
  /// so that refusals are seen, until keep_stderr_in(). The file mode creation mask stays as it
  /// is: scripts depend on it. Relative paths are to be made absolute before. One thread only.
  /// @return an Error, in the caller, if no process could be made. Source: daemon(7), setsid(2).
  static Result<Daemon> detach();

  /// This is the process that the shell waits for.
  bool is_starter() const { return starter_; }

  /// In the starter: blocks until the daemon has reported or ended, at most `limit`; after the
  /// report of a failure until it has ended, so that all it held is free for another try.
  /// @return the exit status that it reported; nothing: it ended or kept silent.
  std::optional<int> wait(std::chrono::milliseconds limit) const;

  /// In the daemon: how the start went, 0: it serves now, else it is about to end. The first call
  /// counts. Does not block.
  void report(int exit_status);

 private:
  Daemon(UniqueFd pipe, bool starter) : pipe_(std::move(pipe)), starter_(starter) {}

  UniqueFd pipe_;
  bool starter_;
  bool reported_ = false;
};

/// The descriptors above 2 that are open now, those that the process was started with if it has
/// opened none of its own. A daemon must not keep them: whoever reads such a pipe would wait for
/// its end. Nothing where /proc is missing. Source: daemon(7).
std::vector<int> open_descriptors();

/// stderr leads to the open file of `fd` from now on, with -1 to /dev/null: what a library prints
/// is found in the log and the shell's terminal is left alone. To be called again when the log has
/// been reopened. Keeps stderr as it is if neither is possible.
void keep_stderr_in(int fd);

}  // namespace fpm::os
