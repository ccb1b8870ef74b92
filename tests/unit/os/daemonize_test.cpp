#include "fpm/os/daemonize.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "fpm/os/process.hpp"

using namespace fpm::os;
using namespace std::chrono_literals;

namespace {

pid_t g_starter = 0;

/// Calls detach() in a child: the starter ends with what it waited for, or 99 if that was nothing;
/// the daemon runs `work` and ends. @return the starter's exit status.
template <class Work>
int starter_status(Work work, std::chrono::milliseconds limit = 10s) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1UL);  // so that the daemon can be waited for
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    g_starter = ::getpid();
    auto daemon = Daemon::detach();
    if (!daemon) exit_now(98);
    if (daemon->is_starter()) exit_now(daemon->wait(limit).value_or(99));
    work(*daemon);
    exit_now(0);
  }
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool leads_to_null(int fd) {
  struct stat null {};
  struct stat now {};
  return ::stat("/dev/null", &null) == 0 && ::fstat(fd, &now) == 0 && now.st_rdev == null.st_rdev;
}

bool is_ignored(int signal) {
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler == SIG_IGN;
}

}  // namespace

TEST_CASE("the starter's exit status is what the daemon reports") {
  for (const int status : {0, 70, 78}) {
    CHECK(starter_status([&](Daemon& daemon) {
            daemon.report(status);
            daemon.report(1);  // too late
          }) == status);
  }
}

TEST_CASE("a daemon that ends without a word is a failure") {
  CHECK(starter_status([](Daemon&) {}) == 99);
}

TEST_CASE("a daemon that keeps silent is waited for only so long") {
  auto watch = make_pipe();
  REQUIRE(watch.has_value());
  CHECK(starter_status(
            [&](Daemon& daemon) {
              // The starter gives up and ends, whereupon nobody else holds the end of our pipe.
              const UniqueFd starter(static_cast<int>(::syscall(SYS_pidfd_open, g_starter, 0)));
              pollfd gone{starter.get(), POLLIN, 0};
              const bool ended = !starter || ::poll(&gone, 1, 10'000) == 1;
              daemon.report(0);  // nobody reads it: no SIGPIPE may come
              if (ended) (void)!::write(watch->write.get(), "x", 1);
            },
            10ms) == 99);
  char byte = 0;
  watch->write.reset();
  CHECK(::read(watch->read.get(), &byte, 1) == 1);
}

TEST_CASE("a daemon has no terminal, no way to get one, and its own session") {
  const pid_t session = ::getsid(0);
  CHECK(starter_status([&](Daemon& daemon) {
          char folder[16];
          const bool right = ::getsid(0) != session && ::getsid(0) != ::getpid() &&
                             ::open("/dev/tty", O_RDWR) < 0 && leads_to_null(0) &&
                             leads_to_null(1) && std::string(::getcwd(folder, 16)) == "/" &&
                             is_ignored(SIGTTOU) && is_ignored(SIGTTIN) && is_ignored(SIGTSTP) &&
                             is_ignored(SIGHUP);
          daemon.report(right ? 0 : 1);
        }) == 0);
}

TEST_CASE("stderr stays until it is led into the log, and without a log nowhere") {
  const bool before = leads_to_null(2);
  CHECK(starter_status([&](Daemon& daemon) {
          auto log = make_pipe();
          const bool kept = leads_to_null(2) == before;
          keep_stderr_in(log->write.get());
          const bool moved = ::write(2, "x", 1) == 1;
          char byte = 0;
          const bool arrived = moved && ::read(log->read.get(), &byte, 1) == 1 && byte == 'x';
          keep_stderr_in(-1);
          daemon.report(kept && arrived && leads_to_null(2) ? 0 : 1);
        }) == 0);
}
