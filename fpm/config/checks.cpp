#include "fpm/config/checks.hpp"

#include <fmt/format.h>

#include <cctype>

#include "fpm/config/address.hpp"
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

std::string log_file(std::string_view value) {
  if (value.empty()) return "expected a file";
  if (value == "syslog") return "syslog is not there yet, expected a file";
  return {};
}

std::string not_daemonized(std::string_view value) {
  bool on = false;
  if (!parse_flag(value, on).empty() || !on) return {};
  return "going into the background is not there yet, expected no";
}

std::string handler_is_there(std::string_view value) {
  if (same_word(value, "cgi")) return {};
  return fmt::format("the handler {} is not there yet, expected cgi", value);
}

std::string manager_is_there(std::string_view value) {
  if (same_word(value, "static")) return {};
  return fmt::format("pm = {} is not there yet, expected static", value);
}

std::string client(std::string_view value) { return check_client(value); }

std::string status_path(std::string_view value) { return check_uri(value, "status"); }
std::string ping_path(std::string_view value) { return check_uri(value, "ping"); }

std::string folder(std::string_view value) {
  return value.empty() ? "expected a folder" : std::string();
}

std::string absolute_folder(std::string_view value) {
  if (!value.empty() && value.front() == '/') return {};
  return "expected a folder as an absolute path";
}

std::string absolute_program(std::string_view value) {
  if (value.size() > 1 && value.front() == '/') return {};
  return "expected a program as an absolute path";
}

}  // namespace fpm::config
