#include "fpm/config/describe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>

#include "fpm/config/directives.hpp"

namespace fpm::config {
namespace {

// Where php-fpm's -tt shows something else than what would stand in a file, so does ours: tools
// compare the two.

std::string shown(std::string_view name, const std::string& text, const Global& global) {
  if (name == "syslog.facility") return fmt::format("{}", static_cast<int>(global.syslog_facility));
  if (name != "log_level") return text;
  std::string upper = text;
  const auto to_upper = [](unsigned char c) { return static_cast<char>(std::toupper(c)); };
  std::transform(upper.begin(), upper.end(), upper.begin(), to_upper);
  return upper;
}

std::string shown(std::string_view name, const std::string& text, const Pool& pool) {
  // These have no default until something needs one.
  const bool unused = (name == "ping.response" && pool.ping_path.empty()) ||
                      (name == "access.format" && pool.access_log.empty()) || name == "listen.mode";
  if (unused && pool.written.count(name) == 0) return {};
  if (name == "pm.status_listen") return pool.status_listen.text;
  if (name == "http.listen") return pool.http_listen.text;
  if (name == "pm.process_idle_timeout" && text.size() > 1 && text[text.size() - 2] != 'm') {
    return text.substr(0, text.size() - 1);  // the one time without its s
  }
  return text;
}

template <class Owner>
std::string shown_value(const Directive<Owner>& row, const std::string& text, const Owner& owner) {
  if (row.name == "rlimit_files" || row.name == "rlimit_core") {
    return text.empty() ? "0" : text == "unlimited" ? "-1" : text;
  }
  const std::string value = shown(row.name, text, owner);
  // Set to nothing and not set are two things where php-fpm keeps both.
  const bool empty = row.takes_index() || owner.written.count(row.name) != 0;
  return value.empty() && !empty ? "undefined" : value;
}

/// Directives that php-fpm has and shows.
constexpr std::string_view kOfPhpFpm[] = {
    "access.format", "access.log", "access.suppress_path", "catch_workers_output", "chdir",
    "chroot", "clear_env", "daemonize", "decorate_workers_output", "emergency_restart_interval",
    "emergency_restart_threshold", "env", "error_log", "events.mechanism", "group", "listen",
    "listen.acl_groups", "listen.acl_users", "listen.allowed_clients", "listen.backlog",
    "listen.group", "listen.mode", "listen.owner", "log_buffering", "log_level", "log_limit",
    "php_admin_flag", "php_admin_value", "php_flag", "php_value", "pid", "ping.path",
    "ping.response", "pm", "pm.max_children", "pm.max_requests", "pm.max_spare_servers",
    "pm.max_spawn_rate", "pm.min_spare_servers", "pm.process_idle_timeout", "pm.start_servers",
    "pm.status_listen", "pm.status_path", "prefix", "process.dumpable", "process.max",
    "process.priority", "process_control_timeout", "request_slowlog_timeout",
    "request_slowlog_trace_depth", "request_terminate_timeout",
    "request_terminate_timeout_track_finished", "rlimit_core", "rlimit_files",
    "security.limit_extensions", "slowlog", "syslog.facility", "syslog.ident", "systemd_interval",
    "user",
};

template <class Owner>
void dump_section(std::string_view title, std::span<const Directive<Owner>> rows,
                  const Owner& owner, bool as_php_fpm, std::vector<std::string>& out) {
  out.push_back(fmt::format("[{}]", title));
  for (const Directive<Owner>& row : rows) {
    const bool known = std::binary_search(std::begin(kOfPhpFpm), std::end(kOfPhpFpm), row.name);
    if (as_php_fpm && !known && owner.written.count(row.name) == 0) continue;
    auto pairs = print(row, owner);
    std::reverse(pairs.begin(), pairs.end());  // of an array, the newest comes first
    for (const auto& [name, text] : pairs) {
      out.push_back(fmt::format("\t{} = {}", name, shown_value(row, text, owner)));
    }
  }
  out.emplace_back(" ");
}

constexpr std::size_t kColumns = 78;

/// `text` as comment lines, broken at blanks.
std::string comment(std::string_view text) {
  std::string out;
  std::string line = ";";
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    if (line.size() + 1 + word.size() > kColumns) {
      out += line + "\n";
      line = ";";
    }
    line += fmt::format(" {}", word);
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
  }
  return out + line + "\n";
}

/// A value as a file must have it, so that it is read back as it is.
std::string quoted(std::string_view value) {
  const bool plain = value.find_first_of(" ;\"'\\") == std::string_view::npos;
  if (plain) return std::string(value);
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// What the sample sets. Paths come from the environment, so that one file serves every place.
constexpr std::pair<std::string_view, std::string_view> kSample[] = {
    {"user", "${FPM_USER}"},
    {"group", "${FPM_GROUP}"},
    {"listen", "${FPM_RUN}/www.sock"},
    {"listen.group", "${FPM_GROUP}"},
    {"pm", "static"},
    {"pm.max_children", "4"},
    {"pm.status_path", "/status"},
    {"ping.path", "/ping"},
    {"access.log", "${FPM_LOG}/www.access.log"},
    {"cgi.root", "${FPM_CGI_ROOT}"},
};

constexpr std::string_view kHead =
    "; CGI scripts below one folder. This file is also the list of all directives of a\n"
    "; pool: those that are not set stand behind a semicolon with their default.\n"
    ";\n"
    "; ${NAME} is taken from the environment and must be set there; ${NAME:-text} has a\n"
    "; default. $pool is the name of the pool.\n"
    "\n"
    "[www]\n";

std::string sample_line(const Directive<Pool>& row) {
  const auto same = [&](const auto& set) { return set.first == row.name; };
  const auto* const set = std::find_if(std::begin(kSample), std::end(kSample), same);
  if (set != std::end(kSample)) return fmt::format("{} = {}\n", row.name, set->second);
  std::string name(row.name);
  if (row.takes_index()) name += row.takes_key() ? "[NAME]" : "[]";
  if (row.default_text.empty()) return fmt::format(";{} =\n", name);
  return fmt::format(";{} = {}\n", name, quoted(row.default_text));
}

}  // namespace

std::vector<std::string> dump(const Config& config, bool as_php_fpm) {
  std::vector<std::string> out;
  dump_section("global", global_directives(), config.global, as_php_fpm, out);
  for (const Pool& pool : config.pools) {
    dump_section(pool.name, pool_directives(), pool, as_php_fpm, out);
  }
  return out;
}

std::string sample_pool() {
  std::string out(kHead);
  for (const Directive<Pool>& row : pool_directives()) {
    out += "\n" + comment(row.doc) + sample_line(row);
  }
  return out;
}

}  // namespace fpm::config
