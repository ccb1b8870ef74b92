// The reporter as the master sees it: a process that shows all pools to whoever asks, from
// read-only scoreboards, also while every worker or the master itself is busy.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/os/process.hpp"

namespace boost::asio {
class io_context;
}

namespace fpm::master {

/// What the reporter needs of one pool. Descriptors are borrowed for the call.
struct ReportedPool {
  const config::Pool* config = nullptr;
  int totals = -1;                ///< memfd of its scoreboard::Totals
  std::vector<int> boards;        ///< memfds of its generations, the newest first; none: no worker yet
  std::vector<int> board_slots;   ///< how many slots each of them has
  int listener = -1;              ///< to know which socket's queue to ask the kernel for; not handed on
};

/// Starts the process, tells it of pools, starts it again with back-off when it dies. Exists only if the
/// configuration has status.listen or a pool's pm.status_listen. Nothing here waits.
class Reporter {
 public:
  Reporter(boost::asio::io_context& io, const config::Config& config);
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  /// Opens the sockets it listens on. Errors are for the operator: a taken port.
  os::Result<void> open(const config::Config& config);
  /// A reload: sockets of addresses that stay are kept. The process is not restarted.
  os::Result<void> reconfigure(const config::Config& config);
  /// All pools as they are now, in the order of the configuration; called after the start, after each
  /// reload and when a pool's set of boards changed. Starts the process if it is not there yet.
  void publish(const std::vector<ReportedPool>& pools);
  /// A child of the master has ended. @return it was the reporter.
  bool reap(const os::Exit& exit);
  /// The program ends: no restart any more, its sockets are closed. It goes on answering ("stopping")
  /// until its channel ends, with the master.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fpm::master
