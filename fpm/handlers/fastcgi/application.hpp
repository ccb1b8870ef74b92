// One application process: an existing FastCGI program with a private listening socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fcgi/params.hpp"
#include "fpm/config/config.hpp"
#include "fpm/handlers/fastcgi/family.hpp"
#include "fpm/os/child.hpp"

namespace fpm::handlers::fastcgi {

/// How to start it. Strings are complete: nothing is searched or expanded.
struct Command {
  std::vector<std::string> arguments;    ///< the program's path first
  std::vector<std::string> environment;  ///< "NAME=value"
  Habits habits{};
  std::chrono::milliseconds ready_timeout{};
  fcgi::Params warmup;  ///< a request that must be answered before it counts as ready; empty: none
};

/// Starts the program, knows whether it lives, ends it. Nobody but this process can connect to it:
/// its socket has no name any more when the program starts, and connections are made through an
/// O_PATH descriptor of it (proc(5), /proc/self/fd). So does its queue outlive it: a connection that
/// one process did not accept is there for the next.
class Application {
 public:
  /// `stop_asked`: the worker is to end, and whoever waits for it should not go on.
  Application(Command command, std::function<bool()> stop_asked);
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  /// Starts a process and waits until it accepts connections and has answered the warm-up request,
  /// at most ready_timeout, or until `deadline`. What did not get ready is ended. Errors: why it cannot
  /// be started; ETIMEDOUT; ECHILD with how it ended.
  os::Result<void> start(std::chrono::steady_clock::time_point deadline);

  /// It was started and has not ended. Reaps it. Does not block.
  bool running();
  /// A word on the end of the last process: "exited with status 3".
  const std::string& last_end() const { return last_end_; }
  pid_t pid() const { return child_.pid; }
  /// Readable when the process has ended; -1 without one.
  int pidfd() const { return child_.pidfd.get(); }
  /// Whether start() was ever successful.
  bool was_ready() const { return was_ready_; }

  /// A new connection, non-blocking. Errors as of connect(2).
  os::Result<os::UniqueFd> connect() const;

  /// Ends the process with its group: `gently` by the family's signal, else by TERM; KILL after `grace`.
  /// Blocks for so long at most, and a second more if the kernel holds it.
  void end(bool gently, std::chrono::milliseconds grace);
  /// Begins that end; end() completes it.
  void begin_end(bool gently);

  /// Bytes that the process has for itself; 0 if that cannot be read. Source: proc(5) smaps_rollup.
  std::uint64_t memory() const;

 private:
  os::Result<void> make_socket();
  os::Result<void> wait_until_ready(std::chrono::steady_clock::time_point deadline);
  os::Result<void> wait_until_accepting(std::chrono::steady_clock::time_point deadline);
  os::Result<void> warm_up(std::chrono::steady_clock::time_point deadline);
  os::Result<void> wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline);

  const Command command_;
  const std::function<bool()> stop_asked_;
  os::UniqueFd listener_;
  os::UniqueFd place_;  // the socket's file, O_PATH
  os::Child child_;     // pid -1: none
  std::string last_end_ = "was not started";
  bool was_ready_ = false;
};

}  // namespace fpm::handlers::fastcgi
