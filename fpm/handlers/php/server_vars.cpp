// $_SERVER and $_ENV.
#include "fpm/handlers/php/extension.hpp"
#include "fpm/handlers/php/sapi.hpp"

namespace fpm::handlers::php {
namespace {

// PHP's own: the environment of this process.
using Import = void (*)(zval* array);
Import g_import_process = nullptr;

/// A variable as PHP's own code would set it, through the filter that an extension may have put there.
void put(std::string_view name, std::string_view value, int kind, zval* array) {
  std::size_t length = 0;
  char* text = estrndup(value.data(), value.size());
  if (sapi_module.input_filter(kind, name.data(), &text, value.size(), &length)) {
    php_register_variable_safe(name.data(), text, length, array);
  }
  efree(text);
}

/// Names of the usual letters need none of the care that PHP takes of '.', ' ' and '['.
bool is_plain(std::string_view name) {
  for (const char c : name) {
    const bool fit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '_';
    if (!fit) return false;
  }
  return !name.empty() && !(name.front() >= '0' && name.front() <= '9');
}

void append_request(zval* array) {
  Request* const request = current_request();
  if (request == nullptr) return;
  const bool is_env = Z_ARR_P(array) == Z_ARR(PG(http_globals)[TRACK_VARS_ENV]);
  const int kind = is_env ? PARSE_ENV : PARSE_SERVER;
  const bool filtered = sapi_module.input_filter != php_default_input_filter;
  request->env().each([&](std::string_view name, std::string_view value) {
    if (filtered || !is_plain(name)) {
      // A copy with the NUL that these functions of PHP's look for.
      zend_string* const copy = zend_string_init(name.data(), name.size(), false);
      put({ZSTR_VAL(copy), ZSTR_LEN(copy)}, value, kind, array);
      zend_string_release(copy);
      return;
    }
    zval text;
    ZVAL_STRINGL_FAST(&text, value.data(), value.size());
    php_register_known_variable(name.data(), name.size(), &text, array);
  });
}

void import_request(zval* array) {
  // Built already, for the other of the two arrays.
  for (const int other : {TRACK_VARS_ENV, TRACK_VARS_SERVER}) {
    zval* const built = &PG(http_globals)[other];
    const bool same = Z_TYPE_P(built) == IS_ARRAY && Z_TYPE_P(array) == IS_ARRAY &&
                      Z_ARR_P(built) == Z_ARR_P(array);
    if (Z_TYPE_P(built) != IS_ARRAY || same || zend_hash_num_elements(Z_ARRVAL_P(built)) == 0) {
      continue;
    }
    zval_ptr_dtor_nogc(array);
    ZVAL_ARR(array, zend_array_dup(Z_ARRVAL_P(built)));
    return;
  }
  g_import_process(array);
  append_request(array);
}

/// For getenv() without a name.
void load_request(zval* array) {
  g_import_process(array);
  append_request(array);
}

}  // namespace

void install_server_variables() {
  g_import_process = php_import_environment_variables;
  php_import_environment_variables = import_request;
  php_load_environment_variables = load_request;
}

void register_server_variables(zval* array) {
  php_import_environment_variables(array);
  Request* const request = current_request();
  if (request == nullptr) return;
  std::string_view self = SG(request_info).request_uri == nullptr ? "" : SG(request_info).request_uri;
  const std::string_view info = g_settings.fix_pathinfo ? request->env().text("PATH_INFO") : "";
  smart_str whole{};
  smart_str_appendl(&whole, self.data(), self.size());
  smart_str_appendl(&whole, info.data(), info.size());
  smart_str_0(&whole);
  put("PHP_SELF", whole.s == nullptr ? "" : std::string_view(ZSTR_VAL(whole.s), ZSTR_LEN(whole.s)),
      PARSE_SERVER, array);
  smart_str_free(&whole);
}

}  // namespace fpm::handlers::php
