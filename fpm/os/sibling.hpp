// Copies of this process that are not its children but its parent's.
#pragma once

#include <sys/types.h>

#include <optional>

#include "fpm/os/error.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::os {

/// Forks, and the copy is a child of this process's parent, which gets its SIGCHLD and its status.
/// Only for a process with one thread. As fork_process() does, all dispositions are set to default in
/// the copy before its signal mask is emptied; handlers of pthread_atfork(3) do not run. The copy must
/// end in exit_now(). Does not block. @return 0 in the copy, its pid here. Errors: as of fork(2), and
/// EINVAL where the kernel was built without CONFIG_CHECKPOINT_RESTORE.
/// Source: clone(2) CLONE_PARENT; not clone3, which container profiles answer with ENOSYS.
Result<pid_t> fork_sibling();

/// tgkill(2) of a thread of this process. Async-signal-safe.
void signal_thread(pid_t thread, int signal);

/// How many threads this process has; nothing where /proc is not there. Source: proc(5) self/task.
std::optional<int> count_threads();

/// Whether `pid` names a child of this process that was not waited for. Does not block, takes nothing
/// away from reap(). Source: waitid(2) P_PID, WNOWAIT.
bool is_child(pid_t pid);

/// A descriptor for a child, by which it is signalled whatever becomes of its number. Errors: ESRCH,
/// ENOSYS before Linux 5.3. Source: pidfd_open(2).
Result<UniqueFd> hold_process(pid_t pid);
/// kill(2) by that descriptor. Source: pidfd_send_signal(2).
Result<void> send_signal_to(int process, int signal);

}  // namespace fpm::os
