// What tests of the log share: a place for files, and a log that ends with the test.
#pragma once

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "fpm/log/log.hpp"

struct TempFolder {
  TempFolder() {
    char name[] = "/tmp/fpm-log-test.XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// fd 2 leads elsewhere for a while.
struct StderrTo {
  explicit StderrTo(int fd) : saved(::dup(2)) { ::dup2(fd, 2); }
  ~StderrTo() {
    ::dup2(saved, 2);
    ::close(saved);
  }
  int saved;
};

/// The log ends with the test, whatever it wrote to.
struct LogEnds {
  ~LogEnds() {
    fpm::log::close_output("www");
    (void)fpm::log::open({.path = "/dev/null"});
  }
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline std::string read_available(int fd) {
  std::string out;
  char buffer[8192];
  while (true) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    const ssize_t size = got < 0 && errno == ENOTSOCK ? ::read(fd, buffer, sizeof buffer) : got;
    if (size <= 0) return out;
    out.append(buffer, static_cast<std::size_t>(size));
  }
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

inline const std::string kTime = R"(\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\] )";
inline const std::size_t kTimeLength = std::string("[22-Nov-2026 05:10:12] ").size();
inline const std::string kDebugTime = R"(\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\.\d{6}\] )";

inline bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_match(text, std::regex(pattern));
}
