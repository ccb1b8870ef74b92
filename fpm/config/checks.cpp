#include "fpm/config/checks.hpp"

#include <fmt/format.h>

#include <cctype>

#include "fpm/config/address.hpp"
#include "fpm/config/command.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

std::string check_uri(std::string_view value, std::string_view what) {
  if (value.empty()) return {};
  if (value.front() != '/') return fmt::format("the {} path must start with a '/'", what);
  if (value.size() < 2) return fmt::format("the {} path is not long enough", what);
  for (const char c : value) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain || std::string_view("/_-.~").find(c) != std::string_view::npos) continue;
    return fmt::format("the {} path must contain only the following characters '[alphanum]/_-.~'",
                       what);
  }
  return {};
}

}  // namespace

std::string anything(std::string_view) { return {}; }

std::string not_empty(std::string_view value) {
  return value.empty() ? "expected text" : std::string();
}

std::string ping_response(std::string_view value) {
  if (!value.empty()) return {};
  return "the ping response page '' is not long enough, expected text";
}

std::string log_file(std::string_view value) {
  if (value.empty()) return "expected a file";
  return {};
}

std::string event_mechanism(std::string_view value) {
  // Words of php-fpm's; those of other systems and unknown ones get its answer.
  for (const std::string_view word : {"auto", "epoll", "poll", "select"}) {
    if (same_word(value, word)) return {};
  }
  return fmt::format("event mechanism '{}' is not available on this system, expected auto or epoll",
                     value);
}

std::string php_version(std::string_view value) {
  const bool fit = value.find_first_not_of("0123456789.") == value.npos &&
                   value.find('.') != value.npos && value.front() != '.' && value.back() != '.';
  return value.empty() || fit ? "" : "expected a version of two numbers, such as 8.2";
}

std::string shared_object(std::string_view value) {
  return value.empty() ? "expected a shared object" : std::string();
}

std::string command(std::string_view value) {
  if (value.empty()) return {};
  const std::vector<std::string> words = split_command(value);
  if (!words.empty() && words.front().starts_with('/')) return {};
  return "expected the absolute path of a program, and its arguments with double quotes in pairs";
}

std::string client(std::string_view value) {
  const std::string error = check_client(value);
  if (error.empty()) return {};
  return fmt::format("Wrong IP address '{}' in listen.allowed_clients, {}", value, error);
}

std::string status_path(std::string_view value) { return check_uri(value, "status"); }
std::string ping_path(std::string_view value) { return check_uri(value, "ping"); }

std::string folder(std::string_view value) {
  return value.empty() ? "expected a folder" : std::string();
}

std::string door_fallback(std::string_view value) {
  if (value.empty() || value.front() == '/') return {};
  return "expected a path that begins with '/', as in /index.php";
}

std::string file_suffix(std::string_view value) {
  if (value.size() > 1 && value.front() == '.' && value.find('/') == value.npos) return {};
  return "expected suffixes with their dot, as in .php";
}

std::string file_name(std::string_view value) {
  if (value.find('/') == value.npos && value != "." && value != "..") return {};
  return "expected names of files without a folder, as in index.html";
}

std::string trusted_proxy(std::string_view value) { return check_client(value); }

std::string header_name(std::string_view value) {
  constexpr std::string_view kToken = "!#$%&'*+-.^_`|~";  // RFC 9110 §5.6.2
  for (const char c : value) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && kToken.find(c) == kToken.npos) {
      return "expected the name of a header, as in X-Forwarded-For";
    }
  }
  return {};
}

std::string header_size(std::string_view value) {
  std::uint64_t bytes = 0;
  constexpr std::uint64_t kLeast = 1024;
  constexpr std::uint64_t kMost = 1024 * 1024;
  if (parse_size(value, bytes).empty() && bytes >= kLeast && bytes <= kMost) return {};
  return "expected a size from 1K to 1M";
}

std::string absolute_program(std::string_view value) {
  if (value.size() > 1 && value.front() == '/') return {};
  return "expected a program as an absolute path";
}

}  // namespace fpm::config
