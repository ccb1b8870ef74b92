#include "fpm/os/new_program.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "fpm/os/fd.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"

namespace fpm::os {

namespace {

/// In the child. Ends in the new program or, after a word to the parent, in _exit.
[[noreturn]] void execute(char* const* arguments, int channel, pid_t parent) {
  ::setpgid(0, 0);
  if (!set_parent_death_signal(SIGKILL, parent)) ::_exit(kExitNotExecuted);
  // Above the places that are about to be taken.
  const int lifted = ::fcntl(channel, F_DUPFD, kChannel + 1);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(lifted, STDERR_FILENO);
  ::dup2(lifted, kChannel);
  close_all_but({kChannel});
  char* const environment[] = {nullptr};
  ::execve("/proc/self/exe", arguments, environment);
  const std::string why = last_error("execve /proc/self/exe").text();
  (void)!::write(kChannel, why.data(), why.size());
  ::_exit(kExitNotExecuted);
}

}  // namespace

Result<pid_t> start_this_program(const std::string& name, const std::vector<std::string>& arguments,
                                 int channel) {
  std::vector<char*> list{const_cast<char*>(name.c_str())};
  for (const std::string& one : arguments) list.push_back(const_cast<char*>(one.c_str()));
  list.push_back(nullptr);
  const pid_t parent = ::getpid();
  const auto pid = fork_process();
  if (pid.has_value() && *pid == 0) execute(list.data(), channel, parent);
  return pid;
}

bool end_child(pid_t child, std::chrono::milliseconds patience) {
  // By pidfd, so that the wait has a bound; where there is none (an old kernel) the wait has none
  // either, but what got KILL ends.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0U)));
  if (!pidfd && errno == ESRCH) return true;
  (void)send_signal(child, SIGKILL);
  pollfd end{pidfd.get(), POLLIN, 0};
  if (pidfd) {
    while (::poll(&end, 1, static_cast<int>(patience.count())) < 0 && errno == EINTR) {
    }
  }
  return ::waitpid(child, nullptr, pidfd ? WNOHANG : 0) != 0;
}

Result<void> give_up_capabilities() {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) < 0 && errno != EINVAL) {
    return last_error("clear the ambient capabilities");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capset, &header, none) < 0) return last_error("capset");
  return give_up_new_privileges();
}

}  // namespace fpm::os
