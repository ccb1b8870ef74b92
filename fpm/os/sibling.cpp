#include "fpm/os/sibling.hpp"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "fpm/os/process.hpp"

namespace fpm::os {

namespace {

/// What the C library keeps in the kernel for its one thread, and fork(3) would restore in the child.
/// Without it the child takes the parent's thread number for its own: process-shared locks answer EDEADLK
/// where they should wait, and are not recovered when it dies holding one.
struct ThreadState {
  int* id_address = nullptr;
  void* robust_list = nullptr;
  std::size_t robust_size = 0;
};

Result<ThreadState> thread_state() {
  ThreadState state;
  if (::prctl(PR_GET_TID_ADDRESS, &state.id_address, 0UL, 0UL, 0UL) < 0) {
    return last_error("PR_GET_TID_ADDRESS");
  }
  if (state.id_address == nullptr) return Error(EINVAL, "PR_GET_TID_ADDRESS");
  if (::syscall(SYS_get_robust_list, 0, &state.robust_list, &state.robust_size) < 0) {
    return last_error("get_robust_list");
  }
  return state;
}

long raw_clone(unsigned long flags, int* child_id) {
  constexpr unsigned long kSameStack = 0;
#if defined(__x86_64__)
  return ::syscall(SYS_clone, flags, kSameStack, nullptr, child_id, 0UL);
#else  // the order of most others
  return ::syscall(SYS_clone, flags, kSameStack, nullptr, 0UL, child_id);
#endif
}

}  // namespace

Result<pid_t> fork_sibling() {
  const auto state = thread_state();
  if (!state) return state.error();
  const SignalsBlocked blocked;
  const long pid = raw_clone(CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
                             state->id_address);
  if (pid < 0) return last_error("clone");
  if (pid > 0) return static_cast<pid_t>(pid);
  if (state->robust_list != nullptr) {
    ::syscall(SYS_set_robust_list, state->robust_list, state->robust_size);
  }
  reset_signals();
  return 0;
}

void signal_thread(pid_t thread, int signal) {
  ::syscall(SYS_tgkill, ::getpid(), thread, signal);
}

std::optional<int> count_threads() {
  DIR* const folder = ::opendir("/proc/self/task");
  if (folder == nullptr) return std::nullopt;
  int count = 0;
  while (const dirent* const entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(folder);
  return count;
}

bool is_child(pid_t pid) {
  if (pid <= 1) return false;
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

Result<UniqueFd> hold_process(pid_t pid) {
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
  if (!process) return last_error("pidfd_open");
  return process;
}

Result<void> send_signal_to(int process, int signal) {
  if (::syscall(SYS_pidfd_send_signal, process, signal, nullptr, 0U) < 0) {
    return last_error("pidfd_send_signal");
  }
  return {};
}

}  // namespace fpm::os
