// The reporter as the master sees it: a process that shows all pools to whoever asks, from
// read-only scoreboards, also while every worker or the master itself is busy.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/master/account.hpp"
#include "fpm/master/listeners.hpp"
#include "fpm/os/identity.hpp"
#include "fpm/os/process.hpp"

namespace boost::asio {
class io_context;
}

namespace fpm::master {

/// The scoreboard of one generation.
struct ReportedBoard {
  int fd = -1;  ///< memfd
  int slots = 0;
};

/// What the reporter shows of one pool. Everything is borrowed for the call that gives it.
struct ReportedPool {
  const config::Pool* config = nullptr;
  const Account* account = nullptr;
  std::vector<ReportedBoard> boards;  ///< of its generations, the newest first; none: no worker yet
  std::vector<int> doors;  ///< memfds of its doors
  int listener = -1;  ///< to know which socket's queue to ask the kernel for; not handed on
};

/// What the reporter is made of, opened while a refusal is still possible.
struct ReporterParts {
  struct Place {
    std::string pool;  ///< whose pm.status_listen it is; empty: status.listen
    std::vector<std::string> allowed_clients;
    std::shared_ptr<Listener> listener;
  };
  std::vector<Place> places;             ///< none: there is no reporter
  std::optional<os::Identity> identity;  ///< nothing: it stays who the master is
};

/// Opens status.listen and every pm.status_listen. Sockets of `before` whose address stays are used
/// again. Every refusal is told in the log with file and line. @return nothing if anything was
/// refused. Blocks on the name service.
std::optional<ReporterParts> open_reporter(const config::Config& config,
                                           const ReporterParts* before = nullptr,
                                           os::InheritedSockets* inherited = nullptr);

/// Starts the process, tells it of pools, starts it again with back-off when it ends. Does nothing
/// as long as it has no places. Nothing here waits, but for the end of the program.
class Reporter {
 public:
  using Pools = std::function<std::vector<ReportedPool>()>;

  /// `pools`: gives all pools as they are now, in the order of the configuration. Called from the
  /// loop when the process is to be told, at most 20 times a second.
  Reporter(boost::asio::io_context& io, Pools pools);
  /// Ends the process and waits for that, a second at most: its ports are free afterwards.
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  /// Where it listens and who it is, at the start and after a reload. The process is started anew
  /// only if its user changes.
  void use(ReporterParts parts);
  /// What is in use, for open_reporter() of a reload.
  const ReporterParts& parts() const;
  /// A pool, one of its scoreboards or its account was made, has changed its state or has gone.
  /// Cheap; what follows from many calls is done once.
  void changed();
  /// A child of the master has ended. @return it was the reporter.
  bool reap(const os::Exit& exit);
  /// That process is the reporter.
  bool is(pid_t pid) const;
  /// The program ends: no restart any more. The process goes on answering ("stopping") until the
  /// destructor.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fpm::master
