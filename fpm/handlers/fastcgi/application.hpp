// One application process: an existing FastCGI program with a private listening socket.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

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
  using Clock = std::chrono::steady_clock;
  /// Until when whoever waits may wait; asked again and again, since a signal may bring it forward.
  using Until = std::function<std::chrono::steady_clock::time_point()>;

  explicit Application(Command command) : command_(std::move(command)) {}
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  /// Starts a process, unless one is starting, and waits until it accepts connections and has answered
  /// the warm-up request. What is not ready ready_timeout after its start is ended. A process that only
  /// was not waited for long enough goes on, see starting(). Errors: why it cannot be started;
  /// ETIMEDOUT; ECHILD with how it ended.
  os::Result<void> start(const Until& until);

  /// It lives, and is ready or was. Does not look: running() does. No system call.
  bool ready() const { return child_.pid >= 0 && ready_; }
  /// It lives, and has not been ready yet. Does not look either.
  bool starting() const { return child_.pid >= 0 && !ready_; }
  /// It was started and has not ended. Reaps it, and ends what it left of its group. Does not block.
  bool running();
  /// Reaps it, if it has ended, and the orphans that it left. Does not block.
  void reap();
  /// A word on the end of the last process: "exited with status 3".
  const std::string& last_end() const { return last_end_; }
  pid_t pid() const { return child_.pid; }
  /// Readable when the process has ended; -1 without one.
  int pidfd() const { return child_.pidfd.get(); }

  /// A new connection. recv(2) on it blocks for kFirstWait and not longer. Errors as of connect(2).
  os::Result<os::UniqueFd> connect() const;
  /// A connection that asks for something that any FastCGI program may be asked at any time, so that
  /// nobody meets an empty one. accepts_all() tells when it is taken, poll(2) when it is answered.
  os::Result<os::UniqueFd> knock() const;
  /// No connection waits in its queue. Source: sock_diag(7).
  bool accepts_all() const;

  /// Ends the process with its group: `gently` by the family's signal, else by TERM; KILL after `grace`,
  /// or some 100 ms after `hurry` says so. Blocks for so long at most, and a second more if the kernel
  /// holds it.
  void end(bool gently, std::chrono::milliseconds grace, bool (*hurry)() = nullptr);
  /// Begins that end; end() completes it.
  void begin_end(bool gently);

  /// Time since the last start.
  std::chrono::steady_clock::duration age() const { return Clock::now() - launched_; }
  /// Bytes that the process has for itself; 0 if that cannot be read. Source: proc(5) statm.
  std::uint64_t memory() const;

  static constexpr std::chrono::milliseconds kFirstWait{10};

 private:
  os::Result<void> make_socket();
  os::Result<void> launch();
  os::Result<void> wait_until_ready(const Until& until);
  os::Result<void> wait_until_accepting(const Until& until);
  os::Result<void> warm_up(const Until& until);
  os::Result<bool> wait_for(int fd, std::chrono::milliseconds slice, const Until& until);

  const Command command_;
  os::UniqueFd listener_;
  os::UniqueFd place_;    // the socket's file, O_PATH
  sockaddr_un address_{};  // where connections are made
  os::Child child_;     // pid -1: none
  Clock::time_point launched_{};
  bool ready_ = false;
  std::string last_end_ = "was not started";
};

}  // namespace fpm::handlers::fastcgi
