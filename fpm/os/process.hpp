// Processes: fork, signals to them, their ends. With child.hpp (programs) this is the only place
// that calls fork, kill and waitpid.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <initializer_list>
#include <optional>
#include <string>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// Every signal blocked for the life of the object, then the old mask again.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  /// The mask that was in force before.
  const sigset_t& before() const { return before_; }

 private:
  sigset_t before_;
};

/// Forks. @return 0 in the child, its pid in the parent.
/// All signals are blocked round the call: with the parent's handlers a signal that is meant for a
/// new child would be written into the parent's own event loop (98 of 100 tries). In the child all
/// dispositions are set to default before the mask is emptied; it must end in exit_now().
Result<pid_t> fork_process();

/// Every signal has its default effect, and none is blocked: for a new child, whose parent's handlers
/// are not its own.
void reset_signals();

/// stdin on /dev/null; stdout and stderr on these descriptors, borrowed; -1: /dev/null as well.
void replace_stdio(int out, int err);

/// _exit(2): runs no destructor and no atexit handler, which belong to the parent.
[[noreturn]] void exit_now(int status);

/// kill(2) of one process. ESRCH (it has ended) is an Error like any other.
Result<void> send_signal(pid_t pid, int signal);
/// kill(2) of a whole process group.
Result<void> send_group_signal(pid_t group, int signal);

/// Whether a child stands still after SIGSTOP. Errors: ECHILD: it is no child of ours. Does not
/// block, takes nothing away from reap(). Source: waitid(2) WSTOPPED, WNOWAIT.
Result<bool> has_stopped(pid_t child);

/// A second descriptor for what `fd` is in another process, which must be a child that was not
/// reaped. Errors: EPERM (ptrace(2) of it is not allowed: CAP_SYS_PTRACE is missing), EBADF, ENOSYS
/// before Linux 5.6 or in a container's filter. Source: pidfd_getfd(2).
Result<UniqueFd> take_descriptor(pid_t child, int fd);

/// What a child's end was.
struct Exit {
  pid_t pid = 0;
  int status = 0;  ///< as waitpid(2) gives it

  bool signaled() const;
  int signal() const;  ///< that ended it; 0 if it exited
  int code() const;    ///< exit status; -1 if a signal ended it
  bool dumped_core() const;
};

/// One child that has ended, of any pid; nothing if none has. Does not block. Source: waitpid(2).
std::optional<Exit> reap();

/// "SIGSEGV" for 11; "SIGRTMIN+3" and the like for real-time signals.
std::string signal_name(int signal);

/// Closes every descriptor from 3 up but those in `keep` (at most 16, any order, -1 ignored).
/// Source: close_range(2), with a loop over /proc/self/fd where the kernel lacks it.
void close_all_but(std::initializer_list<int> keep);

/// The signal that this process gets when the process that made it ends. To be called after a
/// change of user, which clears it. @return false if that parent, `parent`, has ended already.
bool set_parent_death_signal(int signal, pid_t parent);

/// Remembers the memory of argv and environ so that set_title can write there, and what every title
/// begins with. Once, in main; copies the environment away first. Blocks nothing.
void prepare_title(int argc, char** argv, std::string program);
/// What ps(1) shows for this process, "program: title", cut to the room there is.
void set_title(const std::string& title);
/// What titles begin with; "fpm" before prepare_title().
const std::string& title_program();

}  // namespace fpm::os
