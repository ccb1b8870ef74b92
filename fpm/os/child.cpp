#include "fpm/os/child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "fpm/os/process.hpp"
#include "fpm/os/sibling.hpp"

namespace fpm::os {
namespace {

using Clock = std::chrono::steady_clock;

// SIGCHLD blocked for the life of the object, so that it stays pending.
class ChildSignalBlocked {
 public:
  ChildSignalBlocked() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~ChildSignalBlocked() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  ChildSignalBlocked(const ChildSignalBlocked&) = delete;
  ChildSignalBlocked& operator=(const ChildSignalBlocked&) = delete;

  const sigset_t& set() const { return set_; }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// --- Starting -------------------------------------------------------------------------------

// What the child reads of its parent's memory, and where it writes its failure.
struct Order {
  const Program* program;
  pid_t parent;
  StartStep step = StartStep::prepare;
  const char* call = "clone";
  int code = 0;
};

// Where close_range(2) is missing (Linux before 5.9) or refused (old container profiles).
void close_from_three() {
  if (::syscall(SYS_close_range, 3U, ~0U, 0U) == 0) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 65536));
  for (int fd = 3; fd < end; ++fd) ::close(fd);
}

[[noreturn]] void give_up(Order& order, StartStep step, const char* call) {
  order.step = step;
  order.call = call;
  order.code = errno;
  ::_exit(127);
}

// Runs in the child, in the memory of its parent, which stands still until execve or _exit: only
// system calls, no allocation, and no handler of the parent's may run (all signals are blocked
// until none has a handler any more).
int child_main(void* argument) {
  Order& order = *static_cast<Order*>(argument);
  const Program& program = *order.program;
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
  if (::setpgid(0, 0) < 0) give_up(order, StartStep::prepare, "setpgid");
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) give_up(order, StartStep::prepare, "prctl");
  if (::getppid() != order.parent) ::_exit(127);  // the parent died before it could be watched
  const int sources[] = {program.in, program.out, program.err};
  for (int target = 0; target < 3; ++target) {
    if (::dup2(sources[target], target) < 0) give_up(order, StartStep::prepare, "dup2");
  }
  close_from_three();
  if (program.folder != nullptr && ::chdir(program.folder) < 0) {
    give_up(order, StartStep::folder, "chdir");
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(program.path, program.argv, program.environment);
  give_up(order, StartStep::execute, "execve");
}

StartError start_error(const Order& order) {
  StartError error;
  error.code = order.code;
  error.step = order.step;
  error.what = order.call;
  if (order.step == StartStep::folder) error.what += std::string(" ") + order.program->folder;
  if (order.step == StartStep::execute) error.what += std::string(" ") + order.program->path;
  return error;
}

// dup2 onto 0, 1, 2 in turn must not overwrite a source that is still needed.
Result<void> lift(int& fd, UniqueFd& keep) {
  if (fd > 2) return {};
  keep.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!keep) return last_error("fcntl F_DUPFD_CLOEXEC");
  fd = keep.get();
  return {};
}

}  // namespace

boost::system::result<Child, StartError> start_child(const Program& asked) {
  Program program = asked;
  UniqueFd lifted[3];
  int* const fds[] = {&program.in, &program.out, &program.err};
  for (int i = 0; i < 3; ++i) {
    if (auto done = lift(*fds[i], lifted[i]); done.has_error()) {
      return StartError{done.error(), StartStep::prepare};
    }
  }
  Order order{&program, ::getpid()};
  // The child's stack, in the parent's frame, which stays while the parent stands still.
  alignas(16) char stack[64 * 1024];
  int pidfd = -1;
  pid_t pid = -1;
  {
    const SignalsBlocked blocked;
    pid = ::clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                  &order, &pidfd);
    if (pid < 0) order.code = errno;
  }
  if (pid < 0) return start_error(order);
  Child child{pid, UniqueFd(pidfd)};
  if (order.code == 0) return child;
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return start_error(order);
}

// --- Ends -----------------------------------------------------------------------------------

bool Ended::by_signal() const { return WIFSIGNALED(status); }

int Ended::code() const { return by_signal() ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

std::string Ended::text() const {
  if (!by_signal()) return "exited with status " + std::to_string(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  return "was killed by signal " + std::to_string(signal) + " (" + signal_name(signal) + ")";
}

std::optional<Ended> reap_child(pid_t pid) {
  Ended ended{pid};
  if (::wait4(pid, &ended.status, WNOHANG, &ended.usage) != pid) return {};
  return ended;
}

namespace {

// Waits until no process of the group is left. A SIGCHLD between the look and the wait is not
// missed, since it is blocked; a zombie that becomes ours raises one too.
bool wait_until_gone(pid_t group, Clock::time_point until, const ChildSignalBlocked& blocked,
                     std::optional<Ended>& leader) {
  for (;;) {
    Ended ended;
    while ((ended.pid = ::wait4(-group, &ended.status, WNOHANG, &ended.usage)) > 0) {
      if (ended.pid == group) leader = ended;
    }
    if (::kill(-group, 0) < 0 && errno == ESRCH) return true;
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) return false;
    // A member whose parent lives outside the group does not tell us its end: look now and then.
    const auto slice = std::min<Clock::duration>(left, std::chrono::milliseconds(10));
    timespec wait{};
    wait.tv_nsec = std::chrono::nanoseconds(slice).count();
    ::sigtimedwait(&blocked.set(), nullptr, &wait);
  }
}

}  // namespace

GroupEnd end_group(pid_t group, std::chrono::milliseconds grace,
                   std::chrono::milliseconds patience) {
  const ChildSignalBlocked blocked;
  GroupEnd end;
  ::kill(-group, SIGTERM);
  end.gone = wait_until_gone(group, Clock::now() + grace, blocked, end.leader);
  if (end.gone) return end;
  ::kill(-group, SIGKILL);
  end.gone = wait_until_gone(group, Clock::now() + patience, blocked, end.leader);
  return end;
}

GroupEnd wait_for_group(pid_t group, Clock::time_point until) {
  const ChildSignalBlocked blocked;
  GroupEnd end;
  end.gone = wait_until_gone(group, until, blocked, end.leader);
  return end;
}

bool group_exists(pid_t group) { return ::kill(-group, 0) == 0 || errno != ESRCH; }

Result<void> become_reaper() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return last_error("prctl PR_SET_CHILD_SUBREAPER");
  if (::signal(SIGCHLD, SIG_DFL) == SIG_ERR) return last_error("signal SIGCHLD");
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return last_error("signal SIGPIPE");
  return {};
}

namespace {
std::atomic<bool> g_child_ended{false};
}

void interrupt_by_children() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_child_ended = true; };
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGCHLD, &action, nullptr);
}

bool some_child_ended() { return g_child_ended.exchange(false); }

int reap_orphans() {
  int reaped = 0;
  while (::waitpid(-1, nullptr, WNOHANG) > 0) ++reaped;
  return reaped;
}

void reap_orphans_but(pid_t own) {
  siginfo_t found{};
  while (::waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) == 0 && found.si_pid > 0) {
    // Its own end is the first in the list: what is behind it is found the next time.
    if (found.si_pid == own || ::waitpid(found.si_pid, nullptr, WNOHANG) <= 0) return;
    found = {};
  }
}

// --- Where a process is stuck ----------------------------------------------------------------

namespace {

std::optional<std::string> read_proc(pid_t pid, const std::string& name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  char buffer[512];
  const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
  if (size < 0) return {};
  std::string text(buffer, static_cast<std::size_t>(size));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');  // cmdline
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// The system calls in which programs usually wait; others are told by number.
std::string system_call_name(const std::string& number) {
  struct Name {
    long number;
    const char* name;
  };
  static constexpr Name kNames[] = {
      {SYS_read, "read"},           {SYS_write, "write"},         {SYS_wait4, "wait4"},
      {SYS_waitid, "waitid"},       {SYS_futex, "futex"},         {SYS_connect, "connect"},
      {SYS_accept, "accept"},       {SYS_accept4, "accept4"},     {SYS_recvfrom, "recvfrom"},
      {SYS_recvmsg, "recvmsg"},     {SYS_sendto, "sendto"},       {SYS_sendmsg, "sendmsg"},
      {SYS_ppoll, "ppoll"},         {SYS_pselect6, "pselect6"},   {SYS_flock, "flock"},
      {SYS_fcntl, "fcntl"},         {SYS_fsync, "fsync"},         {SYS_openat, "openat"},
      {SYS_nanosleep, "nanosleep"}, {SYS_clock_nanosleep, "clock_nanosleep"},
      {SYS_epoll_pwait, "epoll_pwait"},
      {SYS_rt_sigsuspend, "rt_sigsuspend"},
      {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
#ifdef SYS_poll  // not on newer architectures, which have the p-forms only
      {SYS_poll, "poll"},           {SYS_select, "select"},       {SYS_pause, "pause"},
      {SYS_open, "open"},           {SYS_epoll_wait, "epoll_wait"},
#endif
  };
  for (const Name& known : kNames) {
    if (number == std::to_string(known.number)) return known.name;
  }
  return number;
}

std::string waiting_place(pid_t pid) {
  const auto call = read_proc(pid, "syscall");
  const auto channel = read_proc(pid, "wchan");
  if (call && call->starts_with("running")) return "is running";
  const bool channel_known = channel && !channel->empty() && *channel != "0";
  if (!call && !channel_known) return "waits where it may not be read";
  const std::string text = channel_known ? "waits in " + *channel : "waits";
  if (!call) return text + " (its system call may not be read)";
  return text + " (system call " + system_call_name(call->substr(0, call->find(' '))) + ")";
}

}  // namespace

int kill_groups_of(pid_t stopped) {
  const std::string name = std::to_string(stopped);
  std::ifstream children("/proc/" + name + "/task/" + name + "/children");
  int killed = 0;
  for (pid_t child = 0; children >> child;) {
    const bool leads = child > 1 && ::getpgid(child) == child && ::getsid(child) != child;
    if (leads && ::kill(-child, SIGKILL) == 0) ++killed;
  }
  return killed;
}

void kill_with_group(pid_t child) {
  if (!is_child(child)) return;
  const bool leads = ::getpgid(child) == child && ::getsid(child) != child;
  ::kill(leads ? -child : child, SIGKILL);
}

std::vector<Place> places_of(pid_t pid) {
  constexpr std::size_t kMost = 3;
  constexpr std::size_t kCommand = 256;
  std::vector<Place> places;
  while (pid > 0 && places.size() < kMost) {
    const auto name = read_proc(pid, "comm");
    places.push_back({pid, name.value_or("ended"),
                      name ? waiting_place(pid) : std::string("is gone"),
                      read_proc(pid, "cmdline").value_or("").substr(0, kCommand)});
    const auto children =
        read_proc(pid, "task/" + std::to_string(pid) + "/children");  // CONFIG_PROC_CHILDREN
    pid = children ? static_cast<pid_t>(std::strtol(children->c_str(), nullptr, 10)) : 0;
  }
  return places;
}

std::string whereabouts(pid_t pid) {
  constexpr std::size_t kShown = 120;  // of a command: three of them are to fit into a line of the log
  std::string text;
  for (const Place& place : places_of(pid)) {
    if (!text.empty()) text += "; its child ";
    text += "pid " + std::to_string(place.pid) + " (" + place.name + ") " + place.waits;
    if (!place.command.empty()) text += ": " + place.command.substr(0, kShown);
  }
  // Names and commands are what strangers like them to be.
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

}  // namespace fpm::os
