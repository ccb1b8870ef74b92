// The master: one thread, one event loop, all children.
//
// From "ready to handle connections" on it never ends because of an error: it says what happened,
// once, and tries again on a timer. It reads no byte that came from a web client.
#pragma once

#include <memory>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/master/pool.hpp"
#include "fpm/master/worker_entry.hpp"

namespace fpm::master {

class Master {
 public:
  /// `config` outlives the master. `parts`: one for each pool of it.
  Master(const config::Config& config, std::vector<Pool::Parts> parts, WorkerEntry entry);
  ~Master();
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  /// Starts the workers and runs until a signal has stopped them all. Call once.
  /// @return 0, or an Error of what could not be set up before the first worker.
  os::Result<void> run();

 private:
  class Loop;  // keeps Asio out of this header
  std::unique_ptr<Loop> loop_;
};

}  // namespace fpm::master
