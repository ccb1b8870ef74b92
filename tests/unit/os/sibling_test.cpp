// Copies of a process that are its parent's children.
#include "fpm/os/sibling.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "fpm/os/process.hpp"

using namespace fpm::os;

namespace {

struct Told {
  pid_t pid = 0;     // of the copy, as its maker knows it
  pid_t own = 0;     // as it knows itself
  pid_t parent = 0;
  pid_t thread = 0;
  bool blocked = true;
};

/// A child of this process that makes a sibling, which tells of itself.
Told make_sibling() {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto child = fork_process();
  REQUIRE(child.has_value());
  if (*child == 0) {
    ::signal(SIGUSR1, SIG_IGN);  // is not to be seen in the copy
    Told told;
    const auto copy = fork_sibling();
    if (copy && *copy > 0) {
      exit_now(0);
    }
    sigset_t mask;
    ::sigprocmask(SIG_SETMASK, nullptr, &mask);
    struct sigaction action {};
    ::sigaction(SIGUSR1, nullptr, &action);
    told.own = ::getpid();
    told.parent = ::getppid();
    told.thread = ::gettid();
    told.blocked = ::sigismember(&mask, SIGTERM) == 1 || action.sa_handler != SIG_DFL;
    (void)!::write(ends[1], &told, sizeof told);
    exit_now(copy ? 42 : 43);
  }
  int status = 0;
  REQUIRE(::waitpid(*child, &status, 0) == *child);
  Told told;
  REQUIRE(::read(ends[0], &told, sizeof told) == sizeof told);
  ::close(ends[0]);
  ::close(ends[1]);
  return told;
}

}  // namespace

TEST_CASE("a sibling is the child of its maker's parent, with signals as new") {
  const Told told = make_sibling();
  CHECK(told.parent == ::getpid());
  CHECK(told.thread == told.own);
  CHECK_FALSE(told.blocked);
  CHECK(is_child(told.own));
  int status = 0;
  REQUIRE(::waitpid(told.own, &status, 0) == told.own);
  CHECK(WEXITSTATUS(status) == 42);
  CHECK_FALSE(is_child(told.own));
}

TEST_CASE("who is no child of ours is not taken for one") {
  CHECK_FALSE(is_child(::getpid()));
  CHECK_FALSE(is_child(::getppid()));
  CHECK_FALSE(is_child(1));
  CHECK_FALSE(is_child(0));
  CHECK_FALSE(is_child(-1));
}

TEST_CASE("a process is signalled by what holds it") {
  const auto child = fork_process();
  REQUIRE(child.has_value());
  if (*child == 0) {
    for (;;) ::pause();
  }
  const auto process = hold_process(*child);
  REQUIRE(process.has_value());
  CHECK(send_signal_to(process->get(), SIGKILL).has_value());
  int status = 0;
  REQUIRE(::waitpid(*child, &status, 0) == *child);
  CHECK(WTERMSIG(status) == SIGKILL);
  const auto gone = send_signal_to(process->get(), SIGKILL);
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == ESRCH);
}

TEST_CASE("this program has one thread") { CHECK(count_threads() == 1); }
