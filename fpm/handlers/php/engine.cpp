#include "fpm/handlers/php/engine.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fpm/handlers/php/extension.hpp"
#include "fpm/handlers/php/ini.hpp"
#include "fpm/handlers/php/phpinfo.hpp"
#include "fpm/handlers/php/sapi.hpp"
#include "fpm/handlers/php/sleeping.hpp"
#include "fpm/handlers/php/working_folder.hpp"

namespace fpm::handlers::php {

const char* const kPhpVersion = PHP_VERSION;

namespace {

/// Text that PHP keeps a pointer to, for as long as the process lives.
char* kept(const std::string& text) { return text.empty() ? nullptr : ::strdup(text.c_str()); }

bool is_folder(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

/// php-fpm's folder of settings; the embed library would take its own.
std::string settings_folder() {
  const std::string folder =
      fmt::format("/etc/php/{}.{}/fpm", PHP_MAJOR_VERSION, PHP_MINOR_VERSION);
  return is_folder(folder) ? folder : std::string();
}

std::string ini_path(const config::PhpStart& start) {
  if (!start.ini.empty() || start.no_ini) return start.ini;
  return !start.rc.empty() ? start.rc : settings_folder();
}

/// PHP_INI_SCAN_DIR, whose empty elements stand for the compiled-in folder, for the time of the
/// start-up.
class ScanFolder {
 public:
  explicit ScanFolder(std::string_view rest) {
    const std::string folder = settings_folder();
    if (folder.empty()) return;
    if (const char* const given = std::getenv(kName)) before_ = given;
    std::string wanted;
    for (;;) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      const std::string_view element = rest.substr(0, end);
      wanted += element.empty() ? folder + "/conf.d" : std::string(element);
      if (end == rest.size()) break;
      wanted += ':';
      rest.remove_prefix(end + 1);
    }
    changed_ = ::setenv(kName, wanted.c_str(), 1) == 0;
  }
  ~ScanFolder() {
    if (!changed_) return;
    if (before_) {
      ::setenv(kName, before_->c_str(), 1);
    } else {
      ::unsetenv(kName);
    }
  }
  ScanFolder(const ScanFolder&) = delete;
  ScanFolder& operator=(const ScanFolder&) = delete;

 private:
  static constexpr const char* kName = "PHP_INI_SCAN_DIR";
  std::optional<std::string> before_;
  bool changed_ = false;
};

/// The name of this program under which it is PHP's.
std::string program_path() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string_view own(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  std::string other(own.substr(0, own.rfind('/') + 1));  // npos + 1 is 0
  other += "php-fpm";
  return ::access(other.c_str(), X_OK) == 0 ? other : std::string(own);
}

int (*g_register_extensions)() = nullptr;

/// Takes a built-in module out before it starts, as if it had never been there.
void leave_out_module(std::string_view name) {
  auto* const module = static_cast<zend_module_entry*>(
      zend_hash_str_find_ptr(&module_registry, name.data(), name.size()));
  if (module == nullptr) return;
  const int number = module->module_number;
  zend_unregister_functions(module->functions, -1, nullptr);
  zend_hash_str_del(&module_registry, name.data(), name.size());
  // Numbers are counted: the next module would get one that is taken.
  zval* other = nullptr;
  ZEND_HASH_FOREACH_VAL(&module_registry, other) {
    auto* const entry = static_cast<zend_module_entry*>(Z_PTR_P(other));
    if (entry->module_number > number) --entry->module_number;
  }
  ZEND_HASH_FOREACH_END();
}

std::string constant_text(std::string_view name) {
  const zval* const constant = zend_get_constant_str(name.data(), name.size());
  if (constant == nullptr || Z_TYPE_P(constant) != IS_STRING) return {};
  return {Z_STRVAL_P(constant), Z_STRLEN_P(constant)};
}

void set_constant(std::string_view name, const std::string& value) {
  zval* const constant = zend_get_constant_str(name.data(), name.size());
  if (constant == nullptr) return;
  ZVAL_INTERNED_STR(constant, zend_string_init_interned(value.data(), value.size(), true));
}

/// The embed library is built for programs of one's own. php-fpm has neither pcntl nor chroot(): a
/// script that forks, takes signals over or locks its worker in breaks it for others.
int register_extensions() {
  const int done = g_register_extensions();
  leave_out_module("pcntl");
  zend_hash_str_del(CG(function_table), "chroot", sizeof "chroot" - 1);
  make_sleeps_whole();
  // PHP follows the link, to a program that is not PHP's by that name.
  if (!constant_text("PHP_BINARY").empty()) set_constant("PHP_BINARY", g_sapi.executable_location);
  if (const std::string folder = settings_folder(); !folder.empty()) {
    show_settings_folder(constant_text("PHP_CONFIG_FILE_PATH"), folder);
    set_constant("PHP_CONFIG_FILE_PATH", folder);
    set_constant("PHP_CONFIG_FILE_SCAN_DIR", folder + "/conf.d");
  }
  return done;
}

bool start_php(const config::PhpStart& start, const std::string& entries) {
  zend_signal_startup();
  sapi_startup(&g_sapi);
  // After sapi_startup(), which clears ini_entries.
  g_sapi.ini_entries = kept(entries);
  g_sapi.php_ini_ignore = start.no_ini ? 1 : 0;
  const bool looks = !start.no_ini || !start.ini.empty();
  g_sapi.php_ini_path_override = looks ? kept(ini_path(start)) : nullptr;
  g_sapi.executable_location = kept(program_path());
  g_register_extensions = php_register_internal_extensions_func;
  php_register_internal_extensions_func = register_extensions;
  const ScanFolder folder(start.scan_dir);
  return g_sapi.startup(&g_sapi) == SUCCESS;
}

void complain(std::string_view kind, std::string_view name) {
  const std::string line = fmt::format("ERROR: Unable to set {} '{}'\n", kind, name);
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

/// The value that a setting has outside of requests. `admin`: nothing may change it later.
bool set_for_good(const std::string& name, const std::string& value, bool admin) {
  auto* const entry = static_cast<zend_ini_entry*>(
      zend_hash_str_find_ptr(EG(ini_directives), name.data(), name.size()));
  if (entry == nullptr) return false;
  const std::string_view now =
      entry->value == nullptr ? "" : std::string_view(ZSTR_VAL(entry->value), ZSTR_LEN(entry->value));
  if (now != value) {
    zend_string* const copy = zend_string_init(value.data(), value.size(), true);
    if (entry->on_modify != nullptr &&
        entry->on_modify(entry, copy, entry->mh_arg1, entry->mh_arg2, entry->mh_arg3,
                         ZEND_INI_STAGE_ACTIVATE) != SUCCESS) {
      zend_string_release(copy);
      return false;
    }
    entry->value = copy;
  }
  // With php_value .user.ini and ini_set() may still do what they otherwise may.
  if (admin) entry->modifiable = ZEND_INI_SYSTEM;
  return true;
}

void disable_classes(std::string_view list) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find_first_of(" ,"), list.size());
    if (end > 0) zend_disable_class(list.data(), end);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

bool g_started = false;  // PHP has, in this process or in one that it is a copy of

/// `late`: PHP has started without them.
void set_pool_values(const config::Variables& values, bool admin, bool late) {
  for (const auto& [name, value] : values) {
    if (name == "extension" && late && !value.empty()) load_extension(value.c_str());
    if (name == "extension" || name == "zend_extension") continue;  // loaded at the start
    if (!set_for_good(name, value, admin)) complain(admin ? "php_admin_value" : "php_value", name);
    if (name == "disable_functions" && !value.empty()) zend_disable_functions(value.c_str());
    if (name == "disable_classes") disable_classes(value);
  }
}

}  // namespace

void load_extension(const char* name) {
  zend_interned_strings_switch_storage(false);
  const bool loaded = php_load_extension(name, MODULE_PERSISTENT, 1) == SUCCESS;
  zend_interned_strings_switch_storage(true);
  // Its part in the start of each request is found by this.
  if (loaded) zend_collect_module_handlers();
}

os::Result<void> start_engine(const config::PhpStart& start, const config::Variables& values,
                              const config::Variables& admin_values) {
  const bool late = std::exchange(g_started, true);
  if (!late) {
    if (!start_php(start, ini_entries(start, values, admin_values))) {
      return os::Error(ELIBACC, "start PHP: it refuses, see what it says before this");
    }
    if (start.extended_info) CG(compiler_options) |= ZEND_COMPILE_EXTENDED_INFO;
    install_server_variables();
    install_body_readers();
  }
  set_pool_values(values, false, late);
  set_pool_values(admin_values, true, late);
  return {};
}

void use_engine_in_worker() {
  // PHP would take the worker's signals over from the second request on, and set eight of them anew
  // for each.
  SIGG(reset) = false;
  SIGG(check) = false;
  start_in_folder();
  start_measuring();
}

std::string_view powered_by() {
  return PG(expose_php) ? std::string_view(SAPI_PHP_VERSION_HEADER "\r\n") : std::string_view();
}

// --- Options -v, -i and -m ------------------------------------------------------------------------

namespace {

/// The rest of the line of phpinfo() that begins so.
std::string_view value_of(std::string_view info, std::string_view name) {
  const std::size_t line = info.find(name);
  if (line == info.npos) return {};
  const std::size_t begin = line + name.size();
  return info.substr(begin, info.find('\n', begin) - begin);
}

void print_version(std::string_view info) {
  fmt::print("PHP {} ({}) (built: {})\nCopyright (c) The PHP Group\n{}", PHP_VERSION, g_sapi.name,
             value_of(info, "\nBuild Date => "), get_zend_version());
}

void print_module(zval* module) {
  php_printf("%s\n", static_cast<zend_module_entry*>(Z_PTR_P(module))->name);
}

int compare_modules(Bucket* one, Bucket* other) {
  return ::strcasecmp(static_cast<zend_module_entry*>(Z_PTR(one->val))->name,
                      static_cast<zend_module_entry*>(Z_PTR(other->val))->name);
}

void print_modules() {
  HashTable sorted;
  zend_hash_init(&sorted, 50, nullptr, nullptr, true);
  zend_hash_copy(&sorted, &module_registry, nullptr);
  zend_hash_sort(&sorted, compare_modules, false);
  php_printf("[PHP Modules]\n");
  zval* module = nullptr;
  ZEND_HASH_FOREACH_VAL(&sorted, module) { print_module(module); }
  ZEND_HASH_FOREACH_END();
  zend_hash_destroy(&sorted);
  php_printf("\n[Zend Modules]\n");
  zend_llist_position at = nullptr;
  auto* extension =
      static_cast<zend_extension*>(zend_llist_get_first_ex(&zend_extensions, &at));
  for (; extension != nullptr;
       extension = static_cast<zend_extension*>(zend_llist_get_next_ex(&zend_extensions, &at))) {
    php_printf("%s\n", extension->name);
  }
  php_printf("\n");
}

}  // namespace

int print_about_php(Print what, const config::PhpStart& start) {
  if (!start_php(start, ini_entries(start, {}, {}))) return 70;
  std::string text;
  collect_output(&text);
  g_sapi.phpinfo_as_text = sapi_module.phpinfo_as_text = 1;
  SG(headers_sent) = 1;
  SG(request_info).no_headers = 1;
  if (php_request_startup() != SUCCESS) return 70;
  zend_first_try {
    switch (what) {
      case Print::modules: print_modules(); break;
      case Print::info: php_print_info(-1 /* PHP_INFO_ALL */); break;
      case Print::version: php_print_info(PHP_INFO_GENERAL); break;
    }
  }
  zend_end_try();
  php_output_end_all();
  switch (what) {
    case Print::modules: fmt::print("{}", text); break;
    case Print::info:
      correct_info(text);
      fmt::print("{}", text);
      break;
    case Print::version: print_version(text); break;
  }
  return 0;
}

}  // namespace fpm::handlers::php
