// fcgi-bench: load for a FastCGI server.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "tools/fcgi_bench/load.hpp"

int main(int argc, char** argv) {
  std::string error;
  const auto options = fcgi_bench::parse_options(argc, argv, error);
  if (!options) {
    fmt::print(stderr, "fcgi-bench: {}\n", error);
    return 64;
  }
  if (options->help) {
    fmt::print("{}", fcgi_bench::help_text());
    return 0;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  try {
    fcgi_bench::Report report = fcgi_bench::run(*options);
    if (!options->json && ::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\033[K");
    fmt::print("{}", options->json ? as_json(report, *options) : as_table(report, *options));
    return report.failed() == 0 ? 0 : 1;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "fcgi-bench: {}\n", failure.what());
    return 1;
  }
}
