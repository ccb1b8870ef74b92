#include "fpm/os/daemonize.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "fpm/os/process.hpp"

namespace fpm::os {

namespace {

/// A stop or hang-up that was meant for the terminal's programs.
void ignore_terminal() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  for (const int signal : {SIGTTOU, SIGTTIN, SIGTSTP, SIGHUP}) {
    ::sigaction(signal, &action, nullptr);
  }
}

Result<void> leave_terminal() {
  if (::chdir("/") < 0) return last_error("chdir /");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return last_error("open /dev/null");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (::dup2(null.get(), fd) < 0) return last_error("dup2 /dev/null");
  }
  return {};
}

/// In the first child: leads a session and leaves a second child in it, which is no leader and can
/// therefore never get a controlling terminal by opening one.
/// @return in the second child only.
void leave_second_child() {
  ignore_terminal();
  if (::setsid() < 0) exit_now(errno);
  const auto second = fork_process();
  if (!second) exit_now(second.error().code);
  if (*second > 0) exit_now(0);
  ignore_terminal();  // a fork gives every signal its default again
}

}  // namespace

Result<Daemon> Daemon::detach() {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  const auto first = fork_process();
  if (!first) return first.error();
  if (*first == 0) {
    pipe->read.reset();
    leave_second_child();
    if (auto done = leave_terminal(); !done) return done.error();
    return Daemon(std::move(pipe->write), false);
  }
  pipe->write.reset();
  int status = 0;
  while (::waitpid(*first, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error(WIFEXITED(status) ? WEXITSTATUS(status) : EINTR, "daemonize");
  }
  return Daemon(std::move(pipe->read), true);
}

std::optional<int> Daemon::wait(std::chrono::milliseconds limit) const {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + limit;
  std::optional<int> reported;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - steady_clock::now());
    pollfd waiting{pipe_.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<long>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return reported;
    unsigned char status = 0;
    const ssize_t count = ::read(pipe_.get(), &status, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count != 1) return reported;  // the daemon has ended, and its end of the pipe with it
    reported = status;
    if (status == 0) return reported;
  }
}

void Daemon::report(int exit_status) {
  if (starter_ || std::exchange(reported_, true)) return;
  const auto status = static_cast<unsigned char>(exit_status);
  // SIGPIPE: the starter may be gone, interrupted at its terminal.
  const SignalsBlocked blocked;
  if (::write(pipe_.get(), &status, 1) < 0 && errno == EPIPE) {
    sigset_t broken;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    const timespec now{};
    (void)::sigtimedwait(&broken, nullptr, &now);  // takes the signal that is pending now
  }
  if (exit_status == 0) pipe_.reset();  // else its end tells of ours
}

std::vector<int> open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  std::vector<int> found;
  while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
    const int fd = std::atoi(entry->d_name);
    if (fd > STDERR_FILENO && fd != ::dirfd(folder.get())) found.push_back(fd);
  }
  return found;
}

void keep_stderr_in(int fd) {
  UniqueFd null;
  if (fd < 0) {
    null.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    fd = null.get();
  }
  if (fd >= 0 && fd != STDERR_FILENO) (void)::dup2(fd, STDERR_FILENO);
}

}  // namespace fpm::os
