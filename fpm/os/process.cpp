#include "fpm/os/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace fpm::os {

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

void reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < SIGRTMAX + 1; ++signal) ::sigaction(signal, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void replace_stdio(int out, int err) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(out >= 0 ? out : null.get(), STDOUT_FILENO);
  ::dup2(err >= 0 ? err : null.get(), STDERR_FILENO);
}

Result<pid_t> fork_process() {
  const SignalsBlocked blocked;
  const pid_t pid = ::fork();
  if (pid < 0) return last_error("fork");
  if (pid == 0) {
    reset_signals();
    // The destructor of `blocked` must not bring the parent's mask back over the empty one: they
    // are equal, since the parent runs with nothing blocked.
  }
  return pid;
}

void exit_now(int status) { ::_exit(status); }

Result<void> send_signal(pid_t pid, int signal) {
  if (::kill(pid, signal) < 0) return last_error(fmt::format("kill {} {}", pid, signal));
  return {};
}

Result<void> send_group_signal(pid_t group, int signal) {
  if (group <= 1) return Error{EINVAL, fmt::format("kill group {}", group)};
  if (::kill(-group, signal) < 0) return last_error(fmt::format("kill group {}", group));
  return {};
}

Result<bool> has_stopped(pid_t child) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(child), &info, WSTOPPED | WNOHANG | WNOWAIT) < 0) {
    return last_error("waitid");
  }
  return info.si_pid == child;
}

Result<UniqueFd> take_descriptor(pid_t child, int fd) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0U)));
  if (!process) return last_error("pidfd_open");
  UniqueFd taken(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), fd, 0U)));
  if (!taken) return last_error("pidfd_getfd");
  return taken;
}

bool Exit::signaled() const { return WIFSIGNALED(status); }
int Exit::signal() const { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
int Exit::code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
bool Exit::dumped_core() const { return WIFSIGNALED(status) && WCOREDUMP(status); }

std::optional<Exit> reap() {
  Exit exit;
  exit.pid = ::waitpid(-1, &exit.status, WNOHANG);
  if (exit.pid <= 0) return std::nullopt;
  return exit;
}

std::string signal_name(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) return fmt::format("SIGRTMIN+{}", signal - SIGRTMIN);
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

namespace {

void close_from_to(unsigned first, unsigned last) {
  if (first > last) return;
  if (::syscall(SYS_close_range, first, last, 0U) == 0) return;
  // Before Linux 5.9, or refused by a filter: one by one, as far as there are descriptors.
  const long limit = ::sysconf(_SC_OPEN_MAX);
  const unsigned end = std::min(last, limit > 0 ? static_cast<unsigned>(limit) : 1024U);
  for (unsigned fd = first; fd <= end; ++fd) ::close(static_cast<int>(fd));
}

}  // namespace

void close_all_but(std::initializer_list<int> keep) {
  std::array<unsigned, 16> sorted{};
  std::size_t count = 0;
  for (const int fd : keep) {
    if (fd > 2 && count < sorted.size()) sorted[count++] = static_cast<unsigned>(fd);
  }
  std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
  unsigned first = 3;
  for (std::size_t i = 0; i < count; ++i) {
    if (sorted[i] > first) close_from_to(first, sorted[i] - 1);
    first = std::max(first, sorted[i] + 1);
  }
  close_from_to(first, ~0U);
}

bool set_parent_death_signal(int signal, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, signal);
  return ::getppid() == parent;
}

namespace {

char* title_begin = nullptr;
std::size_t title_room = 0;

std::string& program_of_title() {
  static std::string program = "fpm";
  return program;
}

/// Lives as long as the process: environ may be read at any time, and unsetenv(3) frees nothing.
char** environment_copy = nullptr;

/// The environment's `count` strings and the list of them, in one block.
char** copy_environment(std::size_t count) {
  std::size_t bytes = (count + 1) * sizeof(char*);
  for (std::size_t i = 0; i < count; ++i) bytes += std::strlen(environ[i]) + 1;
  environment_copy = static_cast<char**>(std::malloc(bytes));
  if (environment_copy == nullptr) return nullptr;
  char* text = reinterpret_cast<char*>(environment_copy + count + 1);
  for (std::size_t i = 0; i < count; ++i) {
    environment_copy[i] = text;
    text = ::stpcpy(text, environ[i]) + 1;
  }
  environment_copy[count] = nullptr;
  return environment_copy;
}

}  // namespace

void prepare_title(int argc, char** argv, std::string program) {
  program_of_title() = std::move(program);
  if (argc < 1) return;
  // The kernel lays argv and environ out as one block; the part of it that is contiguous is ours.
  char* end = argv[0];
  for (int i = 0; i < argc; ++i) {
    if (argv[i] == end) end = argv[i] + std::strlen(argv[i]) + 1;
  }
  std::size_t count = 0;
  while (environ[count] != nullptr) {
    if (environ[count] == end) end = environ[count] + std::strlen(environ[count]) + 1;
    ++count;
  }
  char** copy = copy_environment(count);
  if (copy == nullptr) return;
  environ = copy;
  title_begin = argv[0];
  title_room = static_cast<std::size_t>(end - argv[0]);
}

const std::string& title_program() { return program_of_title(); }

void set_title(const std::string& title) {
  if (title_room == 0) return;
  const std::string whole = title_program() + ": " + title;
  const std::size_t length = std::min(whole.size(), title_room - 1);
  std::memcpy(title_begin, whole.data(), length);
  std::memset(title_begin + length, 0, title_room - length);
}

}  // namespace fpm::os
