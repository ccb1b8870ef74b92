#include "fpm/os/process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "fpm/os/fd.hpp"
#include "fpm/os/shared_memory.hpp"

using namespace fpm::os;

namespace {

int wait_status(pid_t pid) {
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

}  // namespace

TEST_CASE("a forked child starts with default dispositions and nothing blocked") {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  struct sigaction before {};
  ::sigaction(SIGUSR1, &action, &before);
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    struct sigaction now {};
    ::sigaction(SIGUSR1, nullptr, &now);
    sigset_t mask;
    ::sigprocmask(SIG_SETMASK, nullptr, &mask);
    exit_now(now.sa_handler == SIG_DFL && ::sigismember(&mask, SIGTERM) == 0 ? 0 : 1);
  }
  const int status = wait_status(*pid);
  ::sigaction(SIGUSR1, &before, nullptr);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("close_all_but leaves what it was told to keep") {
  const UniqueFd kept(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd lost(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd kept_too(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    close_all_but({kept_too.get(), -1, kept.get()});
    const bool right = ::fcntl(kept.get(), F_GETFD) >= 0 && ::fcntl(kept_too.get(), F_GETFD) >= 0 &&
                       ::fcntl(lost.get(), F_GETFD) < 0 && ::fcntl(2, F_GETFD) >= 0;
    exit_now(right ? 0 : 1);
  }
  CHECK(WEXITSTATUS(wait_status(*pid)) == 0);
}

TEST_CASE("the end of a child is told by signal or code") {
  const Exit killed{1, SIGKILL};
  CHECK(killed.signal() == SIGKILL);
  CHECK(killed.code() == -1);
  CHECK(signal_name(SIGKILL) == "SIGKILL");
  CHECK(signal_name(SIGRTMIN + 3) == "SIGRTMIN+3");
  const Exit exited{1, 70 << 8};
  CHECK(exited.code() == 70);
  CHECK_FALSE(exited.signaled());
}

TEST_CASE("shared memory goes to a child only when it shall") {
  auto memory = SharedMemory::create("test", 4096);
  REQUIRE(memory.has_value());
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  // mincore(2) knows whether there is a mapping, without touching it.
  unsigned char present = 0;
  if (*pid == 0) exit_now(::mincore(memory->data(), 4096, &present) < 0 ? 0 : 1);
  CHECK(WEXITSTATUS(wait_status(*pid)) == 0);
}

TEST_CASE("shared memory is seen by both sides and cannot be resized") {
  auto memory = SharedMemory::create("test", 4096);
  REQUIRE(memory.has_value());
  memory->inherit(true);
  auto* word = static_cast<volatile int*>(memory->data());
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    *word = 42;
    exit_now(::ftruncate(memory->fd(), 0) < 0 ? 0 : 1);
  }
  CHECK(WEXITSTATUS(wait_status(*pid)) == 0);
  CHECK(*word == 42);
}

TEST_CASE("a signal to a whole group never goes to group 1 or below") {
  CHECK(send_group_signal(1, 0).has_error());
  CHECK(send_group_signal(0, 0).has_error());
  CHECK(send_group_signal(-1, 0).has_error());
}

TEST_CASE("a child that stands still is told from one that runs and from a stranger") {
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    for (;;) ::pause();
  }
  CHECK_FALSE(has_stopped(*pid).value());
  REQUIRE(send_signal(*pid, SIGSTOP).has_value());
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(*pid), &info, WSTOPPED | WNOWAIT) == 0);
  CHECK(has_stopped(*pid).value());
  CHECK(has_stopped(*pid).value());
  REQUIRE(send_signal(*pid, SIGKILL).has_value());
  (void)wait_status(*pid);
  CHECK(has_stopped(*pid).error().code == ECHILD);
}

TEST_CASE("a descriptor of a child can be taken over") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    for (;;) ::pause();
  }
  const int number = pipe->write.get();
  pipe->write.reset();
  const auto taken = take_descriptor(*pid, number);
  if (taken.has_error()) {
    CHECK((taken.error().code == EPERM || taken.error().code == ENOSYS));
  } else {
    CHECK(::write(taken->get(), "x", 1) == 1);
    char byte = 0;
    CHECK(::read(pipe->read.get(), &byte, 1) == 1);
    CHECK((::fcntl(taken->get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(take_descriptor(*pid, 12345).error().code == EBADF);
  }
  REQUIRE(send_signal(*pid, SIGKILL).has_value());
  (void)wait_status(*pid);
}
