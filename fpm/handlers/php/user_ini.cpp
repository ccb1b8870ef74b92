// .user.ini, and what php.ini has in sections [PATH=...] and [HOST=...].
#include <string>
#include <unordered_map>

#include "fpm/handlers/php/sapi.hpp"

namespace fpm::handlers::php {
namespace {

/// What was found in the folders that lead to a script's, for user_ini.cache_ttl seconds.
struct Found {
  HashTable values;
  double expires = 0;
};

void destroy_value(zval* value) { config_zval_dtor(value); }

std::unordered_map<std::string, Found> g_found;  // by root and folder; as many as folders have scripts

/// Each folder from the document root down to the script's; outside of it the script's alone.
void read_files(const std::string& folder, std::string_view root, HashTable* values) {
  const bool below = !root.empty() && folder.starts_with(root) && folder[root.size()] == '/';
  std::size_t end = below ? root.size() : folder.size() - 1;
  while (end != std::string::npos) {
    php_parse_user_ini_file(folder.substr(0, end).c_str(), PG(user_ini_filename), values);
    end = folder.find('/', end + 1);
  }
}

void activate_files(const std::string& folder, std::string_view root) {
  while (root.ends_with('/')) root.remove_suffix(1);
  const auto [at, fresh] = g_found.try_emplace(std::string(root) + ":" + folder);
  Found& found = at->second;
  if (fresh) zend_hash_init(&found.values, 0, nullptr, destroy_value, true);
  const double now = sapi_get_request_time();
  if (fresh || now > found.expires) {
    zend_hash_clean(&found.values);
    read_files(folder, root, &found.values);
    found.expires = now + static_cast<double>(PG(user_ini_cache_ttl));
  }
  php_ini_activate_config(&found.values, PHP_INI_PERDIR, PHP_INI_STAGE_HTACCESS);
}

}  // namespace

void activate_user_ini(Request& request, const char* path) {
  if (php_ini_has_per_host_config()) {
    std::string host(request.env().text("SERVER_NAME"));
    zend_str_tolower(host.data(), host.size());
    if (!host.empty()) php_ini_activate_per_host_config(host.data(), host.size());
  }
  const bool files = PG(user_ini_filename) != nullptr && *PG(user_ini_filename) != '\0';
  if (!files && !php_ini_has_per_dir_config()) return;
  std::string folder(path);
  folder.resize(folder.rfind('/') == folder.npos ? 0 : folder.rfind('/') + 1);
  if (folder.empty()) return;
  if (php_ini_has_per_dir_config()) {
    std::string copy = folder;  // which PHP writes to
    php_ini_activate_per_dir_config(copy.data(), copy.size());
  }
  if (files) activate_files(folder, request.env().text("DOCUMENT_ROOT"));
}

}  // namespace fpm::handlers::php
