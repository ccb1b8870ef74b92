// The master: one thread, one event loop, all children.
//
// From "ready to handle connections" on it never ends because of an error: it says what happened,
// once, and tries again on a timer. It reads no byte that came from a web client.
#pragma once

#include <sys/resource.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fpm/config/load.hpp"
#include "fpm/master/control.hpp"
#include "fpm/master/door.hpp"
#include "fpm/master/pool.hpp"
#include "fpm/master/reporter.hpp"
#include "fpm/master/worker_entry.hpp"
#include "fpm/os/notify.hpp"

namespace fpm::master {

/// The world that the program was started in.
struct Surroundings {
  os::Notifier service_manager;
  std::function<void()> on_ready;    ///< called once: the start is over, workers serve
  bool in_background = false;        ///< stderr leads to the log's file
  std::optional<rlimit> file_limit;  ///< for children, if the master has raised its own
  ControlSocket control;             ///< empty: there is none
  ReporterParts reporter;            ///< without places: there is none
  AllDoorParts doors;                ///< of the pools with http.listen

  // For a reload.
  /// Reads the configuration that the command line named; blocks on the disk.
  std::function<config::Loaded()> load;
  /// Sends the log where these directives say, in their form. After an Error it is where it was.
  std::function<os::Result<void>(const config::Global&)> use_log;
  /// Sets the master's own limits. @return what children get back; nothing: refused, and told.
  std::function<std::optional<rlimit>(const config::Global&)> use_limits;
};

class Master {
 public:
  /// `file`: the configuration's. `parts`: one for each pool, in the configuration's order.
  Master(std::string file, config::Global global, std::vector<Pool::Parts> parts,
         Entries entries, Surroundings surroundings = {});
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
