// A pool at one moment, copied out of shared memory: what status pages show and policy decides on.
// Plain values; strings may be torn or wrong when a worker damaged its memory, never unbounded.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fpm/scoreboard/stage.hpp"

namespace fpm::scoreboard {

struct WorkerSnapshot {
  pid_t pid = 0;
  Stage stage = Stage::vacant;
  std::chrono::system_clock::time_point started{};
  std::uint64_t requests = 0;
  /// Of the request under way so far, else of the last one.
  std::chrono::microseconds request_duration{};
  std::string method;  ///< empty: none yet
  std::string uri;     ///< SCRIPT_NAME plus PATH_INFO, without the query
  std::string query;
  std::uint64_t content_length = 0;
  std::string user;
  std::string script;
  std::string remote;      ///< the front's address, "-" for UNIX sockets
  std::string request_id;  ///< empty: none
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
};

}  // namespace fpm::scoreboard
