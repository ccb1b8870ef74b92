// A pool at one moment, copied out of shared memory: what status pages show and policy decides on.
// Plain values; strings may be torn or wrong when a worker damaged its memory, never unbounded.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/scoreboard/door_snapshot.hpp"
#include "fpm/scoreboard/histogram.hpp"
#include "fpm/scoreboard/stage.hpp"

namespace fpm::scoreboard {

/// Why a request was not run.
enum class Rejection : std::uint8_t {
  queue_timeout,  ///< it had waited longer than request_queue_timeout
  queue_full,     ///< the door's queue was full
};
inline constexpr std::size_t kRejections = 2;
constexpr std::string_view rejection_name(Rejection reason) {
  return reason == Rejection::queue_timeout ? "queue_timeout" : "queue_full";
}

/// Why a worker ended, as /metrics names it.
enum class ExitCause : std::uint8_t {
  done,     ///< by itself: pm.max_requests, pm.max_worker_lifetime, pm.max_memory
  idle,     ///< the pool had too many idle workers
  replaced, ///< a reload, or the stop of its pool or of the program
  timeout,  ///< killed, with a request that was overdue
  crash,    ///< a signal that nobody of ours sent, or an exit status other than 0
  setup,    ///< it never reached accept
};
inline constexpr std::size_t kExitCauses = 6;
constexpr std::string_view exit_cause_name(ExitCause cause) {
  constexpr std::array<std::string_view, kExitCauses> names{"done",    "idle",  "replaced",
                                                            "timeout", "crash", "setup"};
  return names[static_cast<std::size_t>(cause) % kExitCauses];
}

/// What the master is about to do with a pool.
enum class PoolState : std::uint32_t {
  starting,  ///< its first workers are not there yet
  serving,
  failing,   ///< its workers do not start
  drained,   ///< an operator took it out of service, or is about to
  stopping,  ///< the program ends, or the pool goes
};
constexpr std::string_view pool_state_name(PoolState state) {
  switch (state) {
    case PoolState::starting: return "starting";
    case PoolState::serving: return "serving";
    case PoolState::failing: return "failing";
    case PoolState::drained: return "drained";
    case PoolState::stopping: return "stopping";
  }
  return "unknown";  // a number that some worker scribbled over
}

struct WorkerSnapshot {
  pid_t pid = 0;
  Stage stage = Stage::vacant;
  std::chrono::system_clock::time_point started{};
  std::uint64_t requests = 0;  ///< with the one under way
  /// Of the request under way so far, else of the last one.
  std::chrono::microseconds request_duration{};
  std::string method;  ///< empty: none yet
  std::string uri;     ///< SCRIPT_NAME plus PATH_INFO, without the query
  std::string query;
  std::uint64_t content_length = 0;
  std::string user;
  std::string script;
  int slot = 0;
  bool of_old_generation = false;  ///< it drains
  std::uint64_t memory = 0;  ///< bytes it has for itself (resident less shared); 0: not looked yet
  std::string remote;      ///< the front's address, "-" for UNIX sockets
  std::string request_id;  ///< empty: none
  bool from_door = false;  ///< it came through the pool's door
  int status = 0;          ///< of the answer that was begun; 0: none
  /// Of the last request; 0 while one runs.
  double last_cpu_percent = 0;
  std::uint64_t last_memory = 0;  ///< bytes
};

/// What a deadline check needs of one worker, cheaper than a whole WorkerSnapshot.
struct Moment {
  int slot = 0;
  Stage stage = Stage::vacant;
  std::uint64_t request_started_ns = 0;  ///< CLOCK_MONOTONIC
  std::uint64_t idle_since_ns = 0;       ///< end of the last request, likewise; 0: none yet
  bool kept = false;                     ///< accepting, but on a kept connection
  bool answered = false;                 ///< its client has the whole answer, the handler works on
  bool slow_told = false;
  std::uint64_t expired_ns = 0;          ///< when its worker gave the request up; 0: it has not
  // What the master adds: when it told the worker to look at the time of the request; 0: not yet.
  std::uint64_t asked_if_slow_ns = 0;
  std::uint64_t asked_to_end_ns = 0;
};

struct PoolSnapshot {
  std::string name;
  std::string process_manager;  ///< "static", "dynamic" or "ondemand"
  std::chrono::system_clock::time_point started{};
  std::chrono::system_clock::time_point now{};  ///< when it was taken
  std::uint64_t accepted = 0;                   ///< requests read, php-fpm's "accepted conn"
  std::optional<unsigned> listen_queue;         ///< unknown: a socket of another namespace
  unsigned max_listen_queue = 0;
  unsigned listen_queue_limit = 0;  ///< php-fpm's "listen queue len": the backlog
  unsigned idle = 0;
  unsigned active = 0;
  unsigned max_active = 0;
  std::uint64_t max_children_reached = 0;
  std::uint64_t slow_requests = 0;
  std::uint64_t memory_peak = 0;        ///< bytes
  std::vector<WorkerSnapshot> workers;  ///< those with a process, in the order of their slots

  // Not php-fpm's.
  unsigned max_children = 0;  ///< pm.max_children
  PoolState state = PoolState::starting;
  std::uint64_t timed_out = 0;
  std::uint64_t killed = 0;
  std::uint64_t aborted = 0;
  std::array<std::uint64_t, kRejections> rejected{};  ///< by Rejection
  std::uint64_t worker_starts = 0;
  std::array<std::uint64_t, kExitCauses> worker_exits{};  ///< by ExitCause
  std::uint64_t reloads = 0;
  std::uint64_t reloads_failed = 0;
  std::uint32_t generation = 0;
  std::optional<std::chrono::system_clock::time_point> last_reload;
  std::uint64_t memory = 0;                 ///< bytes, of all its workers
  std::array<unsigned, 8> stages{};         ///< workers by Stage
  HistogramSnapshot duration;
  HistogramSnapshot queue_wait;
  std::optional<DoorCounts> door;  ///< of its doors; nothing: it has none, or its worker shows the page
};

/// The pool's state in a word. One that is taken out of service drains as long as it has workers.
constexpr std::string_view state_word(const PoolSnapshot& pool) {
  if (pool.state == PoolState::drained && pool.idle + pool.active > 0) return "draining";
  return pool_state_name(pool.state);
}

/// Adds what is alive of a generation that drains to the snapshot of the one that serves.
void merge(PoolSnapshot& into, const PoolSnapshot& draining);

}  // namespace fpm::scoreboard
