// The border between the master and a worker: what a new process is handed, and what it reports.
// master/ knows nothing of worker/; cli/ puts the two together.
#pragma once

#include <signal.h>

#include <cstdint>
#include <functional>

#include "fpm/config/config.hpp"
#include "fpm/os/fd.hpp"
#include "fpm/os/identity.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/ledger.hpp"

namespace fpm::master {

/// What a worker may use of its process. The references are the master's objects as fork copied
/// them: read, never destroyed, since the worker ends in _exit.
struct WorkerStart {
  const config::Pool& pool;
  const os::Identity* identity;  ///< to change to; null: stay who we are
  scoreboard::Board& board;
  scoreboard::Totals& totals;
  int slot = 0;
  pid_t master_pid = 0;

  // Borrowed: the only descriptors above 2 that are still open when the entry is called.
  int listener = -1;
  int channel = -1;     ///< SOCK_SEQPACKET; reports go up, its end of file is the worker's end
  int access_log = -1;  ///< -1: none
  int slow_log = -1;    ///< -1: none
  int wakeup = -1;      ///< eventfd: the last spare worker has been taken
  int log = -1;         ///< the master's log, when the worker's output is not captured
  /// This very process is the pool's one worker (--single), in the foreground: called when it has
  /// served, in place of what a master would clean up.
  std::function<void()> on_end;
  /// For preload_all alone: takes what belongs to other pools out of a process that is for one pool.
  std::function<void(const config::Pool&)> forget_others{};
  bool stand_in = false;  ///< the application cannot be loaded: answer 503 in its place
  std::uint32_t log_generation = 0;  ///< of the logs above, Pulse::log_generation before the fork
};

/// Becomes the worker; does not return. Called in the child with default signal dispositions,
/// stdin on /dev/null, stdout and stderr on their pipes (or /dev/null).
using WorkerEntry = void (*)(const WorkerStart& start);

/// What new processes of the master become.
struct Entries {
  WorkerEntry worker = nullptr;
  /// A template: its start is that of a worker without a slot, and its channel speaks template_entry.hpp.
  WorkerEntry preload = nullptr;
  /// The process that loads what the pools share (template = shared): its start is that of a template, of
  /// whichever pool, without that pool's descriptors; its channel speaks template_entry.hpp.
  WorkerEntry preload_all = nullptr;
};

/// What a worker tells through its channel, in one packet: that a step of its set-up failed. The other
/// packets it sends are log::LateReport.
struct SetupFailure {
  std::uint32_t magic = 0x46505346;  // "FPSF"
  std::int32_t code = 0;  ///< errno; 0: the step tells all
  char step[504] = {};    ///< "chdir /srv/www", cut
};

/// Exit status of a worker that could not be set up, as php-fpm has it (sysexits EX_SOFTWARE).
inline constexpr int kExitSetupFailed = 70;

/// Signals from the master to a worker, besides QUIT (finish the request, then end) and TERM (end
/// the request with an answer, then end): wake from reading. By function, since SIGRTMIN is none
/// of the compiler's constants.
inline int wake_signal() { return SIGRTMIN + 4; }
/// To a worker whose code runs inside it (config::runs_inside): look at the time of the request.
/// It reports by log::LateReport and wakes the master.
inline int time_signal() { return SIGRTMIN + 3; }

}  // namespace fpm::master
