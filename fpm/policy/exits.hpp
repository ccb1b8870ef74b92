// What the end of a worker means. Pure.
#pragma once

#include "fpm/log/level.hpp"

namespace fpm::policy {

/// How a worker came to its end, as far as the decision needs it.
struct WorkerEnd {
  int signal = 0;          ///< that ended it; 0: it exited
  int code = 0;            ///< exit status, when it exited
  bool was_ready = false;  ///< it reached accept at least once
  bool asked = false;      ///< the master had told it to go
};

struct ExitVerdict {
  log::Level level = log::Level::notice;
  /// It counts as a start that failed: the pool's next start waits longer.
  bool failed_start = false;
};

/// The one table of ends. A worker that was told to go is no news (debug); one that ended by
/// itself with status 0 or by QUIT is told (notice); anything else is a warning, as in php-fpm.
ExitVerdict judge_exit(const WorkerEnd& end);

}  // namespace fpm::policy
