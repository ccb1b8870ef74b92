// Other programs as children: starting them, waiting for them, ending them with their process
// group, and saying where one of them is stuck.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// A program to be started. All pointers are borrowed for the call.
struct Program {
  const char* path = nullptr;      ///< executed as it is, without a search; a `#!` script too
  char* const* argv = nullptr;     ///< ends with nullptr
  char* const* environment = nullptr;  ///< ends with nullptr; nothing else is handed on
  const char* folder = nullptr;    ///< working directory; nullptr: the caller's
  int in = -1;                     ///< becomes descriptor 0
  int out = -1;                    ///< becomes descriptor 1
  int err = -1;                    ///< becomes descriptor 2
};

/// A started program. Whoever holds it must reap it: the destructor only closes the descriptor.
struct Child {
  pid_t pid = -1;  ///< also the number of its process group
  UniqueFd pidfd;  ///< readable when the process has ended, pidfd_open(2)
};

/// Which step kept a program from being started.
enum class StartStep {
  prepare,  ///< the kernel made no process (EAGAIN, ENOMEM, EMFILE) or could not set it up
  folder,   ///< chdir(2)
  execute,  ///< execve(2): ENOENT also for a missing interpreter, ENOEXEC for a missing `#!`
};

struct StartError : Error {
  StartStep step = StartStep::prepare;
};

/// Starts a program as the leader of a process group of its own, with default signal dispositions,
/// an empty signal mask and no other descriptor than 0, 1 and 2. It is killed when the calling
/// thread ends (PR_SET_PDEATHSIG). Blocks until the program is executed, which is the moment its
/// failure is known. Source: clone(2) CLONE_VM | CLONE_VFORK | CLONE_PIDFD, close_range(2).
boost::system::result<Child, StartError> start_child(const Program& program);

/// How a child ended.
struct Ended {
  pid_t pid = -1;
  int status = 0;  ///< as wait(2) gives it
  rusage usage{};  ///< of it and of its descendants that were waited for

  bool by_signal() const;
  /// The exit status, or 128 + the signal as shells have it.
  int code() const;
  /// "exited with status 3" or "was killed by signal 11 (SIGSEGV)".
  std::string text() const;
};

/// Takes the end of a child whose pidfd is readable. @return nothing if it still runs or is not
/// ours. Does not block. Source: wait4(2).
std::optional<Ended> reap_child(pid_t pid);

/// What end_group() did.
struct GroupEnd {
  std::optional<Ended> leader;  ///< set if the leader was reaped in this call
  bool gone = false;            ///< no process of the group is left
};

/// Ends a process group that start_child() made: TERM, up to `grace` for it to go, then KILL, and
/// waits up to `patience` until no process of it is left. Orphans of the group are waited for if
/// the caller is a reaper. The leader should not have been reaped before, so that the number
/// cannot mean somebody else. Blocks for grace + patience at most. Source: kill(2), wait4(2).
GroupEnd end_group(pid_t group, std::chrono::milliseconds grace,
                   std::chrono::milliseconds patience);

/// Waits until no process of the group is left, at most until `until`; ends none. The same rules. A
/// caller that looks at something else meanwhile waits in slices. Source: wait4(2).
GroupEnd wait_for_group(pid_t group, std::chrono::steady_clock::time_point until);

/// Some process of the group is there, be it one that ended and was not waited for. Source: kill(2).
bool group_exists(pid_t group);

/// KILLs the process groups that start_child() made in another process, a child of the caller that
/// stands still, so that none of its children can be reaped meanwhile. When that process ends, only
/// the leaders of its groups do (PR_SET_PDEATHSIG). What has made a session of its own stays.
/// @return how many. Source: proc(5) task/TID/children, where the kernel has it.
int kill_groups_of(pid_t stopped);
/// KILLs a child of the caller together with its process group, if it leads one: with the programs that code
/// in it has started and that stayed in the group. Source: kill(2).
void kill_with_group(pid_t child);

/// Makes the caller the parent of its descendants' orphans, gives SIGCHLD its default action (if
/// it were ignored, no child could be waited for) and ignores SIGPIPE (a child may end before it
/// has read its input). Source: prctl(2) PR_SET_CHILD_SUBREAPER.
Result<void> become_reaper();

/// The end of a child interrupts system calls that wait (EINTR), instead of passing unnoticed. After
/// become_reaper(). Source: signal(7).
void interrupt_by_children();
/// Some child has ended since the last call, after interrupt_by_children(). No system call.
bool some_child_ended();

/// Reaps every child that has ended. Only for moments when no child of the caller's own is
/// expected to be waited for. @return how many. Does not block.
int reap_orphans();
/// Reaps every child that has ended but `own`, which may live or have ended. Does not block.
/// Source: waitid(2) WNOWAIT.
void reap_orphans_but(pid_t own);

/// Where one process is stuck.
struct Place {
  pid_t pid = -1;
  std::string name;     ///< of its program, as ps(1) shows it; "ended" if it is gone
  std::string waits;    ///< "waits in do_wait (system call wait4)", or that this may not be read
  std::string command;  ///< its arguments with blanks between, cut to 256 bytes; may be empty
};

/// Where a process is stuck, and its first child, and that one's: the outermost first, at most
/// three. What they hold was chosen by strangers. Does not block. Source: proc(5) wchan, syscall.
std::vector<Place> places_of(pid_t pid);

/// The same in words for the log: "pid 7 (sh) waits in do_wait (system call wait4): sh -c run; its
/// child pid 8 (sleep) waits in hrtimer_nanosleep (system call clock_nanosleep): sleep 9". Says so if
/// that may not be read. Holds no control characters.
std::string whereabouts(pid_t pid);

}  // namespace fpm::os
