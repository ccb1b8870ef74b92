#include "tools/fcgi_bench/report.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace fcgi_bench {

namespace {

constexpr std::array<std::pair<const char*, double>, 6> kShares{
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}}};

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// CPU time that the scheduler counted for a living process, and ticks of children it has waited for.
double cpu_of(pid_t pid) {
  double seconds = 0;
  std::ifstream schedstat(fmt::format("/proc/{}/schedstat", pid));
  if (double ns = 0; schedstat >> ns) seconds += ns / 1e9;
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  const std::size_t after = stat.rfind(')');
  if (after == stat.npos) return seconds;
  std::vector<std::string> fields;
  for (std::size_t at = after + 2, end = 0; at < stat.size(); at = end + 1) {
    end = std::min(stat.find(' ', at), stat.size());
    fields.push_back(stat.substr(at, end - at));
  }
  if (fields.size() < 15) return seconds;
  const double ticks = std::stod(fields[13]) + std::stod(fields[14]);  // proc(5) cutime, cstime
  return seconds + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double tree_of(pid_t pid, int depth) {
  double seconds = cpu_of(pid);
  if (depth > 8) return seconds;
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", pid));
  for (pid_t child = 0; children >> child;) seconds += tree_of(child, depth + 1);
  return seconds;
}

double per_request_us(double seconds, std::uint64_t requests) {
  return requests == 0 ? 0 : seconds * 1e6 / static_cast<double>(requests);
}

}  // namespace

std::string_view failure_name(Failure failure) {
  constexpr std::array<std::string_view, kFailures> names{
      "refused", "backlog", "reset", "closed", "truncated", "wrong", "timeout"};
  return names[static_cast<std::size_t>(failure)];
}

std::uint64_t Report::failed() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t one : failures) sum += one;
  return sum;
}

std::uint32_t percentile(std::vector<std::uint32_t>& latencies, double q) {
  if (latencies.empty()) return 0;
  if (!std::is_sorted(latencies.begin(), latencies.end())) {
    std::sort(latencies.begin(), latencies.end());
  }
  const auto rank = static_cast<std::size_t>(q * static_cast<double>(latencies.size()));
  return latencies[std::min(rank, latencies.size() - 1)];
}

double tree_cpu_s(const std::vector<pid_t>& trees) {
  double seconds = 0;
  for (const pid_t pid : trees) seconds += tree_of(pid, 0);
  return seconds;
}

double own_cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string as_table(Report& report, const Options& options) {
  std::string out = fmt::format(
      "{} requests sent, {} answered, {} failed, in {:.2f} s: {:.0f} a second\n", report.sent,
      report.answered, report.failed(), report.seconds,
      static_cast<double>(report.answered) / std::max(1e-9, report.seconds));
  out += fmt::format("{} connections, {} requests sent again on a new one\n\nlatency",
                     report.connections, report.retried);
  for (const auto& [name, share] : kShares) {
    out += fmt::format("  {} {:.2f} ms", name,
                       static_cast<double>(percentile(report.latencies_us, share)) / 1e3);
  }
  out += fmt::format("\nCPU      {:.1f} us a request here",
                     per_request_us(report.own_cpu_s, report.sent));
  if (!options.trees.empty()) {
    out += fmt::format(", {:.1f} us there", per_request_us(report.server_cpu_s, report.sent));
  }
  out += '\n';
  for (std::size_t i = 0; i < kFailures; ++i) {
    if (report.failures[i] == 0) continue;
    out += fmt::format("{:<9}{}\n", failure_name(static_cast<Failure>(i)), report.failures[i]);
  }
  return out;
}

std::string as_json(Report& report, const Options& options) {
  std::string out = fmt::format(
      "{{\"sent\":{},\"answered\":{},\"failed\":{},\"retried\":{},\"connections\":{},"
      "\"seconds\":{:.6f},\"failures\":{{",
      report.sent, report.answered, report.failed(), report.retried, report.connections,
      report.seconds);
  for (std::size_t i = 0; i < kFailures; ++i) {
    out += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", failure_name(static_cast<Failure>(i)),
                       report.failures[i]);
  }
  out += "},\"latency_us\":{";
  for (std::size_t i = 0; i < kShares.size(); ++i) {
    out += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", kShares[i].first,
                       percentile(report.latencies_us, kShares[i].second));
  }
  out += fmt::format("}},\"own_cpu_us\":{:.3f}", per_request_us(report.own_cpu_s, report.sent));
  if (!options.trees.empty()) {
    out += fmt::format(",\"server_cpu_us\":{:.3f}", per_request_us(report.server_cpu_s, report.sent));
  }
  return out + "}\n";
}

}  // namespace fcgi_bench
