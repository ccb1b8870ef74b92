#include "fpm/os/limits.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "fpm/os/fd.hpp"

namespace fpm::os {

namespace {

struct LimitName {
  __rlimit_resource resource;
  const char* name;
};

LimitName named(Limit limit) {
  switch (limit) {
    case Limit::files: return {RLIMIT_NOFILE, "rlimit_files"};
    case Limit::core: return {RLIMIT_CORE, "rlimit_core"};
    case Limit::address_space: return {RLIMIT_AS, "rlimit_as"};
    case Limit::processes: return {RLIMIT_NPROC, "rlimit_nproc"};
  }
  return {RLIMIT_NOFILE, "rlimit_files"};
}

}  // namespace

Result<void> set_limit(Limit limit, std::uint64_t value) {
  const LimitName which = named(limit);
  const bool unlimited = value == kUnlimited;
  const auto amount = unlimited ? RLIM_INFINITY : static_cast<rlim_t>(value);
  const rlimit both{amount, amount};
  if (::setrlimit(which.resource, &both) < 0) {
    return last_error(fmt::format("failed to set {} = {}", which.name,
                                  unlimited ? "unlimited" : std::to_string(value)));
  }
  return {};
}

rlimit raise_file_limit() {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit raised{greatest_file_limit(), before.rlim_max};
  (void)::setrlimit(RLIMIT_NOFILE, &raised);
  return before;
}

std::uint64_t greatest_file_limit() {
  rlimit now{};
  ::getrlimit(RLIMIT_NOFILE, &now);
  return std::max<rlim_t>(now.rlim_cur, std::min<rlim_t>(now.rlim_max, kMostFiles));
}

Result<void> restore_file_limit(const rlimit& before) {
  if (::setrlimit(RLIMIT_NOFILE, &before) < 0) return last_error("restore the limit of open files");
  return {};
}

std::uint64_t file_limit() {
  rlimit now{};
  ::getrlimit(RLIMIT_NOFILE, &now);
  return now.rlim_cur;
}

Result<void> set_priority(int nice) {
  if (::setpriority(PRIO_PROCESS, 0, nice) < 0) {
    return last_error(fmt::format("failed to set process.priority = {}", nice));
  }
  return {};
}

Result<void> set_affinity(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : processors) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &set);
  }
  if (::sched_setaffinity(0, sizeof set, &set) < 0) {
    return last_error(
        fmt::format("failed to set process.cpu_affinity = {}", fmt::join(processors, ",")));
  }
  return {};
}

Result<void> set_dumpable(bool on) {
  if (::prctl(PR_SET_DUMPABLE, on ? 1UL : 0UL, 0UL, 0UL, 0UL) < 0) {
    return last_error("failed to set process.dumpable");
  }
  return {};
}

Result<void> give_up_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0) return last_error("no_new_privs");
  return {};
}

namespace {

/// The file of this thread's confinement, opened; of two security modules each has its own, and
/// the older name may belong to the other one.
UniqueFd open_confinement(int flags) {
  for (const char* path : {"/proc/thread-self/attr/apparmor/current",
                           "/proc/thread-self/attr/current"}) {
    UniqueFd fd(::open(path, flags | O_CLOEXEC));
    if (fd) return fd;
  }
  return {};
}

}  // namespace

Result<void> change_apparmor_hat(const std::string& hat) {
  char text[1024];
  UniqueFd file = open_confinement(O_RDONLY);
  const ssize_t count = file ? ::read(file.get(), text, sizeof text) : -1;
  if (count < 0) return last_error("failed to query apparmor confinement");
  // "/usr/sbin/fpm (enforce)\n"
  std::string_view current(text, static_cast<std::size_t>(count));
  current = current.substr(0, current.find_first_of(std::string_view("\n\0", 2)));
  if (const auto mode = current.rfind(" ("); mode != current.npos) current = current.substr(0, mode);
  const std::string wanted = fmt::format("{}//{}", current, hat);
  const std::string command = fmt::format("changeprofile {}", wanted);
  file = open_confinement(O_WRONLY);
  if (!file || ::write(file.get(), command.data(), command.size()) < 0) {
    return last_error(fmt::format("failed to change to new confinement ({})", wanted));
  }
  return {};
}

}  // namespace fpm::os
