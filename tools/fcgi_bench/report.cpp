#include "tools/fcgi_bench/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace fcgi_bench {

namespace {

constexpr std::array<std::pair<const char*, double>, 6> kShares{
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}}};

/// Limits of the distribution, microseconds.
constexpr std::array<std::uint32_t, 16> kSteps{100,    200,    500,     1000,    2000,    5000,
                                               10'000, 20'000, 50'000,  100'000, 200'000, 500'000,
                                               1'000'000, 2'000'000, 5'000'000, 10'000'000};

double per_request_us(double seconds, std::uint64_t requests) {
  return requests == 0 ? 0 : seconds * 1e6 / static_cast<double>(requests);
}

double mean_us(const std::vector<std::uint32_t>& latencies) {
  if (latencies.empty()) return 0;
  return std::accumulate(latencies.begin(), latencies.end(), 0.0) /
         static_cast<double>(latencies.size());
}

/// How many took at least so long; of sorted latencies.
std::size_t at_least(const std::vector<std::uint32_t>& sorted, std::uint32_t us) {
  return static_cast<std::size_t>(sorted.end() - std::lower_bound(sorted.begin(), sorted.end(), us));
}

std::string in_words(double us) {
  if (us < 1000) return fmt::format("{:.0f} us", us);
  return us < 1e6 ? fmt::format("{:.3g} ms", us / 1e3) : fmt::format("{:.4g} s", us / 1e6);
}

std::string latency_lines(Report& report) {
  std::string out = fmt::format("latency       mean {}", in_words(mean_us(report.latencies_us)));
  for (const auto& [name, share] : kShares) {
    out += fmt::format("   {} {}", name, in_words(percentile(report.latencies_us, share)));
  }
  out += "\nat least     ";
  for (const std::uint32_t step : kSteps) {
    const std::size_t count = at_least(report.latencies_us, step);
    if (count > 0 && count < report.latencies_us.size()) {
      out += fmt::format(" {}: {}  ", in_words(step), count);
    }
  }
  return out + '\n';
}

std::string cpu_line(const Report& report, const Options& options) {
  const double own = per_request_us(report.own_cpu_s, report.sent);
  std::string out = fmt::format("CPU           {:.1f} us a request here", own);
  if (!options.trees.empty()) {
    const double there = per_request_us(report.server_cpu_s, report.sent);
    out += fmt::format(", {:.1f} us there", there);
    if (there > 0) out += fmt::format(" (here is {:.2f} times there)", own / there);
  }
  return out + '\n';
}

}  // namespace

std::string_view failure_name(Failure failure) {
  constexpr std::array<std::string_view, kFailures> names{
      "refused", "backlog", "reset", "closed", "unanswered", "truncated", "wrong", "timeout"};
  return names[static_cast<std::size_t>(failure)];
}

void Report::add(Failure failure, int code) {
  const auto kind = static_cast<std::size_t>(failure);
  if (failures[kind]++ == 0) codes[kind] = code;
}

std::uint64_t Report::failed() const {
  return std::accumulate(failures.begin(), failures.end(), std::uint64_t{0});
}

std::uint32_t percentile(std::vector<std::uint32_t>& latencies, double q) {
  if (latencies.empty()) return 0;
  if (!std::is_sorted(latencies.begin(), latencies.end())) {
    std::sort(latencies.begin(), latencies.end());
  }
  // The nearest rank: the least latency that at least the share q does not exceed.
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(latencies.size())));
  return latencies[std::clamp<std::size_t>(rank, 1, latencies.size()) - 1];
}

std::string as_table(Report& report, const Options& options) {
  std::string out = fmt::format("requests      {} sent, {} answered, {} failed, in {:.2f} s: {:.0f} a second\n",
                                report.sent, report.answered, report.failed(), report.seconds,
                                static_cast<double>(report.answered) / std::max(1e-9, report.seconds));
  out += fmt::format("connections   {}; {} requests sent again on a new one\n", report.connections,
                     report.retried);
  out += latency_lines(report) + cpu_line(report, options);
  for (std::size_t i = 0; i < kFailures; ++i) {
    if (report.failures[i] == 0) continue;
    out += fmt::format("{:<13} {}", failure_name(static_cast<Failure>(i)), report.failures[i]);
    if (report.codes[i] != 0) out += fmt::format(" ({})", std::strerror(report.codes[i]));
    out += '\n';
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
  out += fmt::format("}},\"latency_us\":{{\"mean\":{:.1f}", mean_us(report.latencies_us));
  for (const auto& [name, share] : kShares) {
    out += fmt::format(",\"{}\":{}", name, percentile(report.latencies_us, share));
  }
  out += "},\"at_least_us\":{";
  for (const std::uint32_t step : kSteps) {
    out += fmt::format("{}\"{}\":{}", step == kSteps[0] ? "" : ",", step,
                       at_least(report.latencies_us, step));
  }
  out += fmt::format("}},\"own_cpu_us\":{:.3f}", per_request_us(report.own_cpu_s, report.sent));
  if (!options.trees.empty()) {
    out += fmt::format(",\"server_cpu_us\":{:.3f}", per_request_us(report.server_cpu_s, report.sent));
  }
  return out + "}\n";
}

}  // namespace fcgi_bench
