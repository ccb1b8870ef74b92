// The border between the master and a template: the process that loads an application once and forks a
// pool's workers. What it is handed is a WorkerStart; what is said over its channel is here.
//
// The channel is a SOCK_SEQPACKET socket. The master sends Orders, each with the descriptors of the
// worker that is wanted, and new logs (log/new_logs.hpp); the template answers with News, or once with a
// SetupFailure. The new worker sets itself up and waits for a Go on its own channel: it does not start
// before the master knows its pid, and it ends with that channel, so that an order can be forgotten at any time.
#pragma once

#include <cstdint>

#include "fpm/master/worker_entry.hpp"

namespace fpm::master {

/// A worker is wanted. With it travel the worker's end of its channel and, where its output is
/// captured, what its stdout and stderr are to be.
struct Order {
  std::uint32_t magic = 0x46505431;  // "FPT1"
  std::uint32_t number = 0;          ///< of the order, for the News
  std::int32_t slot = 0;
};

/// What a template tells.
struct News {
  enum class Kind : std::uint32_t { loaded = 1, started = 2 };
  std::uint32_t magic = 0x46505432;  // "FPT2"
  Kind kind = Kind::loaded;
  std::uint32_t number = 0;  ///< started: of the order
  std::int32_t pid = 0;      ///< loaded: itself; started: the worker; 0: none, `code` says why
  std::int32_t code = 0;     ///< errno of clone(2)
};

/// With template = shared, to the process that has loaded what all pools share: a template of one pool is
/// wanted, as a copy of it. The pointers are of the master's memory, which that process is a copy of; it was
/// made when the objects were there already. What it copies answers over its own channel.
struct CopyOrder {
  std::uint32_t magic = 0x46505434;  // "FPT4"
  std::uint32_t travels = 0;         ///< bit n: the descriptor Passed n is in the packet, in that order
  const config::Pool* pool = nullptr;
  const os::Identity* identity = nullptr;
  std::int32_t slots = 0;  ///< of the scoreboard
  std::uint32_t log_generation = 0;
};
enum class Passed { channel, listener, wakeup, board, ledger, log, access_log, slow_log, out, err };
inline constexpr std::size_t kPassed = 10;

/// To a new worker: the master knows it.
struct Go {
  std::uint32_t magic = 0x46505433;  // "FPT3"
};

}  // namespace fpm::master
