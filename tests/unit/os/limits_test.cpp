#include "fpm/os/limits.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "fpm/os/process.hpp"

using namespace fpm::os;

namespace {

/// Runs `work` in a child, whose limits may be spoilt. @return it gave true.
template <class Work>
bool in_child(Work work) {
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) exit_now(work() ? 0 : 1);
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool is_limit(__rlimit_resource resource, rlim_t soft, rlim_t hard) {
  rlimit now{};
  return ::getrlimit(resource, &now) == 0 && now.rlim_cur == soft && now.rlim_max == hard;
}

}  // namespace

TEST_CASE("a limit is the soft and the hard one") {
  CHECK(in_child([] {
    return set_limit(Limit::files, 64).has_value() && is_limit(RLIMIT_NOFILE, 64, 64) &&
           set_limit(Limit::core, 0).has_value() && is_limit(RLIMIT_CORE, 0, 0) &&
           set_limit(Limit::processes, 50).has_value() && is_limit(RLIMIT_NPROC, 50, 50);
  }));
}

TEST_CASE("unlimited is no bound") {
  CHECK(in_child([] {
    rlimit before{};
    ::getrlimit(RLIMIT_AS, &before);
    const bool done = set_limit(Limit::address_space, kUnlimited).has_value();
    // Without the right to raise it only what was unlimited before can be set.
    return done ? is_limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY)
                : before.rlim_max != RLIM_INFINITY;
  }));
}

TEST_CASE("a limit that the system refuses is named") {
  const auto refused = set_limit(Limit::files, 1'000'000'000'000);  // above fs.nr_open
  REQUIRE(refused.has_error());
  CHECK(refused.error().what == "failed to set rlimit_files = 1000000000000");
}

TEST_CASE("the raised limit of open files is put back in a child") {
  CHECK(in_child([] {
    const rlimit low{64, 128};
    ::setrlimit(RLIMIT_NOFILE, &low);
    const rlimit before = raise_file_limit();
    if (before.rlim_cur != 64 || file_limit() != 128) return false;
    return restore_file_limit(before).has_value() && is_limit(RLIMIT_NOFILE, 64, 128);
  }));
}

TEST_CASE("a process can be bound to one processor, and to none that is not there") {
  CHECK(in_child([] {
    cpu_set_t mine;
    ::sched_getaffinity(0, sizeof mine, &mine);
    int first = 0;
    while (!CPU_ISSET(first, &mine)) ++first;
    if (!set_affinity({first})) return false;
    ::sched_getaffinity(0, sizeof mine, &mine);
    return CPU_COUNT(&mine) == 1 && CPU_ISSET(first, &mine) && !set_affinity({1023}) &&
           !set_affinity({-1, 4096});
  }));
}

TEST_CASE("priority, dumpable and privileges are what was asked for") {
  CHECK(in_child([] {
    return set_priority(7).has_value() && ::getpriority(PRIO_PROCESS, 0) == 7 &&
           set_dumpable(false).has_value() && ::prctl(PR_GET_DUMPABLE) == 0 &&
           set_dumpable(true).has_value() && ::prctl(PR_GET_DUMPABLE) == 1 &&
           give_up_new_privileges().has_value() &&
           ::prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) == 1;
  }));
}

TEST_CASE("an apparmor hat is taken on or refused with php-fpm's words") {
  CHECK(in_child([] {
    const auto done = change_apparmor_hat("no-such-hat");
    if (done) return false;
    const std::string& what = done.error().what;
    return what.starts_with("failed to query apparmor confinement") ||
           what.starts_with("failed to change to new confinement");
  }));
}
