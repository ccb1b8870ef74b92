// One request from its parameters to the end of the script.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "fpm/handlers/php/engine.hpp"
#include "fpm/handlers/php/extension.hpp"
#include "fpm/handlers/php/sapi.hpp"
#include "fpm/handlers/php/script_path.hpp"
#include "fpm/handlers/php/working_folder.hpp"
#include "fpm/os/beneath.hpp"

namespace fpm::handlers::php {
namespace {

/// The file system as PHP sees it: paths that are known in its realpath cache cost no system call.
class Disk final : public PathFiles {
 public:
  bool exists(const std::string& path) override {
    char* const resolved = tsrm_realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return false;
    efree(resolved);
    return true;
  }
  bool is_regular(const std::string& path) override {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode);
  }
};

// Of the request at hand; PHP's request_info points to the latter.
std::string g_path, g_uri;

/// As atol(3) reads it, by which php-fpm goes.
zend_long content_length(const char* text) {
  return text == nullptr ? 0 : std::strtol(text, nullptr, 10);
}

/// Fills what PHP's start of a request looks at.
void describe(Request& request, Exchange& exchange) {
  Env& env = request.env();
  Disk disk;
  // A relative path does not mean the folder of the script before.
  const std::string_view named = env.text("SCRIPT_FILENAME");
  if (!named.starts_with('/') && !named.starts_with("proxy:")) go_home();
  const char* const root = PG(doc_root);
  const PathRules rules{g_settings.fix_pathinfo, g_settings.discard_path,
                        root == nullptr ? std::string_view() : root};
  ScriptPath script = choose_script_path(env, rules, disk);
  sapi_request_info& info = SG(request_info);
  info = {};
  info.proto_num = 1000;
  info.request_method = env.c_string("REQUEST_METHOD");
  SG(sapi_headers).http_response_code = 200;
  if (!script.named) return;
  g_path = std::move(script.path);
  g_uri = std::move(script.uri);
  // On PHP's heap: it frees this when it cannot open the file.
  info.path_translated = script.found ? estrndup(g_path.data(), g_path.size()) : nullptr;
  info.request_uri = script.has_uri ? g_uri.data() : nullptr;
  info.query_string = env.c_string("QUERY_STRING");
  char* const type = env.c_string("CONTENT_TYPE");
  info.content_type = type == nullptr ? "" : type;
  info.content_length = content_length(env.c_string("CONTENT_LENGTH"));
  php_handle_auth_data(env.c_string("HTTP_AUTHORIZATION"));
  exchange.set_script(script.found ? g_path : std::string_view());
}

// --- PHP_VALUE and PHP_ADMIN_VALUE ----------------------------------------------------------------

/// One line of such a parameter: in force for this request alone.
void take_ini_line(zval* name, zval* value, zval*, int kind, void* mode) {
  if (kind != ZEND_INI_PARSER_ENTRY || name == nullptr || value == nullptr) return;
  if (Z_TYPE_P(value) != IS_STRING || Z_STRLEN_P(name) == 0) return;
  if (zend_string_equals_literal(Z_STR_P(name), "extension")) {
    if (Z_STRLEN_P(value) > 0) load_extension(Z_STRVAL_P(value));
    return;
  }
  zend_string* const copy = zend_string_init(Z_STRVAL_P(name), Z_STRLEN_P(name), false);
  zend_alter_ini_entry_chars_ex(copy, Z_STRVAL_P(value), Z_STRLEN_P(value),
                                *static_cast<int*>(mode), PHP_INI_STAGE_ACTIVATE, 1);
  if (!zend_hash_exists(EG(ini_directives), copy)) {
    tell_front(*current_request(), "ERROR",
               fmt::format("Passing INI directive through FastCGI: unable to set '{}'",
                           std::string_view(ZSTR_VAL(copy), ZSTR_LEN(copy))));
  }
  if (zend_string_equals_literal(copy, "disable_functions") && Z_STRLEN_P(value) > 0) {
    zend_disable_functions(Z_STRVAL_P(value));
  }
  zend_string_release(copy);
}

void take_ini_parameter(Request& request, const char* name, int mode) {
  if (!request.env().get(name)) return;
  const std::string text = std::string(request.env().text(name)) + "\n";
  // The parser reads a little beyond the end.
  std::string padded = text;
  padded.append(ZEND_MMAP_AHEAD, '\0');
  zend_parse_ini_string(padded.data(), true, ZEND_INI_SCANNER_NORMAL, take_ini_line, &mode);
}

// --- The script -----------------------------------------------------------------------------------

bool has_allowed_extension(const config::Pool& pool, std::string_view path) {
  if (pool.limit_extensions.empty()) return true;
  for (const std::string& extension : pool.limit_extensions) {
    if (path.size() >= extension.size() && path.ends_with(extension)) return true;
  }
  return false;
}

bool lies_in_root(const config::Pool& pool, const char* path) {
  if (pool.php_root.empty()) return true;
  const auto beneath = os::lies_beneath(pool.php_root, path);
  return beneath.has_value() && *beneath;
}

void answer(int status, const char* text) {
  SG(sapi_headers).http_response_code = status;
  PUTS(text);
}

void refuse_access(Request& request, const char* path, const char* rule) {
  tell_front(request, "NOTICE",
             fmt::format("Access to the script '{}' has been denied (see {})", path, rule));
  answer(403, "Access denied.\n");
}

void not_opened(Request& request, const char* path, int code) {
  tell_front(request, "ERROR",
             fmt::format("Unable to open primary script: {} ({})", path, std::strerror(code)));
  if (code == EACCES) {
    answer(403, "Access denied.\n");
  } else {
    answer(404, "No input file specified.\n");
  }
}

void run_file(zend_file_handle& file) {
  enter_folder_of(g_path);
  SG(options) |= SAPI_OPTION_NO_CHDIR;  // which takes three system calls of each request
  php_execute_script(&file);
  if (EG(exit_status) == 255 && g_settings.error_header != nullptr && *g_settings.error_header) {
    sapi_header_line line{};
    line.line = g_settings.error_header;
    line.line_len = std::strlen(line.line);
    sapi_header_op(SAPI_HEADER_REPLACE, &line);
  }
  leave_folder();
}

/// PHP's request has started. No object here has a destructor that a jump out of PHP would skip.
void run_script(Request& request, const config::Pool& pool) {
  const char* const path = g_path.c_str();
  if (SG(request_info).request_method == nullptr) return;
  zend_first_try {
    if (SG(request_info).path_translated == nullptr) {
      tell_front(request, "DEBUG", "Primary script unknown");
      answer(404, "File not found.\n");
    } else if (!has_allowed_extension(pool, path)) {
      refuse_access(request, path, "security.limit_extensions");
    } else if (!lies_in_root(pool, path)) {
      refuse_access(request, path, "php.root");
    } else {
      zend_file_handle file{};
      errno = 0;  // php-fpm's message for what is no file is "Success"
      if (php_fopen_primary_script(&file) == SUCCESS) {
        run_file(file);
      } else {
        not_opened(request, path, errno);
      }
      zend_destroy_file_handle(&file);
    }
  }
  zend_end_try();
}

/// CPU time since the request before this one ended, and the most memory that the script had.
Usage measure() {
  static rusage before{};
  rusage now{};
  ::getrusage(RUSAGE_SELF, &now);
  const auto between = [](const timeval& from, const timeval& to) {
    return std::chrono::microseconds((to.tv_sec - from.tv_sec) * 1'000'000 +
                                     (to.tv_usec - from.tv_usec));
  };
  Usage usage;
  usage.user = between(before.ru_utime, now.ru_utime);
  usage.system = between(before.ru_stime, now.ru_stime);
  usage.peak_bytes = zend_memory_peak_usage(true);
  before = now;
  return usage;
}

}  // namespace

/// PHP's start of a request. Its timer for the input (max_input_time) is a system call that a request
/// without a body can do without: the one for the script is set when that begins.
bool begin_request() {
  const zend_long limit = PG(max_input_time);
  if (SG(request_info).content_length == 0 && limit > 0) PG(max_input_time) = 0;
  const bool begun = php_request_startup() == SUCCESS;
  if (PG(max_input_time) == 0) PG(max_input_time) = limit;
  return begun;
}

void start_measuring() { (void)measure(); }

Outcome execute(Request& request, const config::Pool& pool) {
  Exchange& exchange = request.exchange();
  SG(server_context) = &request;
  describe(request, exchange);
  if (pool.php_ini_parameters) {
    take_ini_parameter(request, "PHP_VALUE", ZEND_INI_USER);
    take_ini_parameter(request, "PHP_ADMIN_VALUE", ZEND_INI_SYSTEM);
  }
  const bool started = begin_request();
  if (started) run_script(request, pool);
  const bool failed = EG(exit_status) == 255;
  exchange.set_usage(measure());
  if (SG(request_info).path_translated != nullptr) efree(SG(request_info).path_translated);
  SG(request_info).path_translated = nullptr;
  php_request_shutdown(nullptr);
  SG(server_context) = nullptr;
  SG(request_info) = {};
  Outcome outcome = request.outcome();
  if (outcome.end == End::ok && (failed || !started)) outcome.end = End::failed;
  return outcome;
}

}  // namespace fpm::handlers::php
