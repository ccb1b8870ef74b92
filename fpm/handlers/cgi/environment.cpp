#include "fpm/handlers/cgi/environment.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace fpm::handlers::cgi {
namespace {

bool is_fit(std::string_view name, std::string_view value) {
  return !name.empty() && name.find('=') == name.npos && name.find('\0') == name.npos &&
         value.find('\0') == value.npos;
}

// What must not come from a request, whoever wrote it.
bool is_refused(std::string_view name, std::string_view value) {
  if (name == "CONTENT_LENGTH") return value.empty();
  return name == "HTTP_PROXY" || name == "HTTP_TRANSFER_ENCODING" || name.starts_with("LD_") ||
         name.starts_with("BASH_FUNC_") || name == "BASH_ENV" || name == "GCONV_PATH" ||
         name == "GLIBC_TUNABLES";
}

// What the service manager or fpm told fpm and no script should take for itself.
bool is_ours(std::string_view name) {
  return name == "NOTIFY_SOCKET" || name.starts_with("WATCHDOG_") || name.starts_with("LISTEN_") ||
         name.starts_with("FPM_");
}

void set(config::Variables& variables, std::string_view name, std::string_view value) {
  const auto known = std::find_if(variables.begin(), variables.end(),
                                  [&](const auto& variable) { return variable.first == name; });
  if (known != variables.end()) {
    known->second = value;
  } else {
    variables.emplace_back(name, value);
  }
}

// Variables by name, in order of their first mention; views into what outlives it.
class Table {
 public:
  void set(std::string_view name, std::string_view value) {
    const auto [place, is_new] = index_.try_emplace(name, variables_.size());
    if (is_new) {
      variables_.push_back({name, value});
    } else {
      variables_[place->second].value = value;
    }
  }
  void set_if_missing(std::string_view name, std::string_view value) {
    if (!index_.contains(name)) set(name, value);
  }
  /// nullopt: not there.
  std::optional<std::string_view> get(std::string_view name) const {
    const auto place = index_.find(name);
    if (place == index_.end()) return {};
    return variables_[place->second].value;
  }
  const std::vector<fcgi::Param>& all() const { return variables_; }

 private:
  std::vector<fcgi::Param> variables_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

// Puts the request's parameters into `table`. @return a name with two different values.
std::string_view take_params(const fcgi::Params& params, Table& table) {
  std::string_view repeated;
  std::unordered_map<std::string_view, std::string_view> seen;
  for (const auto [name, value] : params) {
    if (!is_fit(name, value) || is_refused(name, value)) continue;
    const auto [before, is_new] = seen.try_emplace(name, value);
    if (!is_new) {
      if (value.empty()) continue;
      if (!before->second.empty() && before->second != value) repeated = name;
      before->second = value;
    }
    table.set(name, value);
  }
  return repeated;
}

}  // namespace

config::Variables base_environment(const config::Pool& pool, const std::string& home,
                                   const std::string& user, const char* const* inherited) {
  config::Variables base;
  set(base, "PATH", "/usr/local/bin:/usr/bin:/bin");
  if (!pool.clear_env && inherited != nullptr) {
    for (; *inherited != nullptr; ++inherited) {
      const std::string_view text = *inherited;
      const std::size_t equals = text.find('=');
      if (equals == text.npos || equals == 0 || is_ours(text.substr(0, equals))) continue;
      set(base, text.substr(0, equals), text.substr(equals + 1));
    }
  }
  if (!home.empty()) set(base, "HOME", home);
  if (!user.empty()) set(base, "USER", user);
  for (const auto& [name, value] : pool.env) {
    if (is_fit(name, value)) set(base, name, value);
  }
  return base;
}

Environment::Environment(const config::Variables& base, const fcgi::Params& params,
                         const Script& script) {
  Table table;
  for (const auto& [name, value] : base) table.set(name, value);
  repeated_ = take_params(params, table);

  std::string translated;
  if (!script.path_info.empty()) {
    table.set("PATH_INFO", script.path_info);
    table.set("SCRIPT_FILENAME", script.path);
    const std::string_view root = table.get("DOCUMENT_ROOT").value_or("");
    if (!root.empty()) {
      translated = std::string(root) + script.path_info;
      table.set("PATH_TRANSLATED", translated);
    }
    const std::string_view uri = table.get("SCRIPT_NAME").value_or("");
    if (uri.ends_with(script.path_info)) {
      table.set("SCRIPT_NAME", uri.substr(0, uri.size() - script.path_info.size()));
    }
  }
  if (table.get("SCRIPT_FILENAME").value_or("proxy:").starts_with("proxy:")) {
    table.set("SCRIPT_FILENAME", script.path);  // missing, or with the prefix of Apache's ProxyPass
  }
  table.set_if_missing("GATEWAY_INTERFACE", "CGI/1.1");
  table.set_if_missing("QUERY_STRING", "");
  table.set_if_missing("REQUEST_METHOD", "GET");
  table.set_if_missing("SCRIPT_NAME", "");
  table.set_if_missing("SERVER_PROTOCOL", "HTTP/1.0");
  table.set_if_missing("SERVER_SOFTWARE", "fpm");

  std::size_t size = 0;
  for (const auto& [name, value] : table.all()) size += name.size() + value.size() + 2;
  bytes_.reserve(size);
  for (const auto& [name, value] : table.all()) {
    bytes_.append(name).append(1, '=').append(value).append(1, '\0');
  }
  pointers_.reserve(table.all().size() + 1);
  char* next = bytes_.data();
  for (const auto& [name, value] : table.all()) {
    pointers_.push_back(next);
    next += name.size() + value.size() + 2;
  }
  pointers_.push_back(nullptr);
}

}  // namespace fpm::handlers::cgi
