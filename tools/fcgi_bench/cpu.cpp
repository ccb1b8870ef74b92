#include "tools/fcgi_bench/cpu.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace fcgi_bench {

namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  if (::clock_gettime(clock, &time) < 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// Ticks of the children that the process has waited for: cutime and cstime of proc(5).
double reaped_s(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::size_t at = text.rfind(')');  // the name before it may hold anything
  if (at == text.npos) return 0;
  double ticks = 0;
  for (int field = 3; field <= 17; ++field) {
    at = text.find(' ', at);
    if (at == text.npos) return 0;
    ++at;
    if (field >= 16) ticks += std::strtod(text.c_str() + at, nullptr);
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double tree_of(pid_t pid, int depth) {
  clockid_t clock{};
  if (::clock_getcpuclockid(pid, &clock) != 0) return 0;
  double seconds = seconds_of(clock) + reaped_s(pid);
  if (depth == 0) return seconds;
  std::error_code failure;  // the process may end meanwhile
  for (std::filesystem::directory_iterator task(fmt::format("/proc/{}/task", pid), failure), end;
       !failure && task != end; task.increment(failure)) {
    std::ifstream children(task->path() / "children");
    for (pid_t child = 0; children >> child;) seconds += tree_of(child, depth - 1);
  }
  return seconds;
}

}  // namespace

double tree_cpu_s(const std::vector<pid_t>& trees) {
  constexpr int kDeepest = 8;
  double seconds = 0;
  for (const pid_t pid : trees) seconds += tree_of(pid, kDeepest);
  return seconds;
}

double own_cpu_s() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace fcgi_bench
