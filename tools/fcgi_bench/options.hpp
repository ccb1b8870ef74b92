// The command line of fcgi-bench.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fcgi_bench {

/// One kind of request, and how often it comes among the others.
struct Kind {
  std::string method;
  unsigned weight = 1;
};

struct Options {
  bool help = false;
  bool json = false;
  bool http = false;  ///< speak HTTP/1.1 to a web server instead of FastCGI
  std::string address;  ///< path, or host:port
  std::string uri = "/";
  std::vector<std::pair<std::string, std::string>> params;  ///< -e NAME=VALUE, replacing defaults
  std::vector<Kind> mix{{"GET", 1}};
  std::size_t body = 0;  ///< bytes of a request whose method has one
  unsigned clients = 8;  ///< connections at once, at most
  bool keep = false;     ///< one request after the other on a connection
  std::uint64_t requests = 0;  ///< 0: until `duration`
  std::chrono::milliseconds duration{10'000};
  double rate = 0;  ///< requests a second; 0: each client as fast as it can
  std::chrono::milliseconds timeout{30'000};
  int status = 0;      ///< that answers must have; 0: any below 500
  std::string expect;  ///< that answers must contain; empty: anything
  std::vector<pid_t> trees;  ///< whose CPU time is told
};

/// Reads the command line. @return the options, or nothing and `error` in one line.
std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error);

std::string help_text();

}  // namespace fcgi_bench
