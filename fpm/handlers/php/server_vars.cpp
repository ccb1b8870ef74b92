// $_SERVER and $_ENV.
#include "fpm/handlers/php/extension.hpp"
#include "fpm/handlers/php/sapi.hpp"

namespace fpm::handlers::php {
namespace {

// PHP's own: the environment of this process.
using Import = void (*)(zval* array);
Import g_import_process = nullptr;

/// A variable as PHP's own code would set it, through the filter that an extension may have put there.
void put(const char* name, std::string_view value, int kind, zval* array) {
  std::size_t length = 0;
  char* text = estrndup(value.data(), value.size());
  if (sapi_module.input_filter(kind, name, &text, value.size(), &length)) {
    php_register_variable_safe(name, text, length, array);
  }
  efree(text);
}

/// Values end at a NUL, as in php-fpm.
std::string_view up_to_nul(std::string_view value) { return value.substr(0, value.find('\0')); }

/// Calls `visit(name, value)` for each variable; names have a NUL behind them.
template <class Visit>
void each_variable(Visit visit) {
  Request* const request = current_request();
  if (request == nullptr) return;
  request->env().each([&](std::string_view name, std::string_view value) {
    zend_string* const copy = zend_string_init(name.data(), name.size(), false);
    visit(ZSTR_VAL(copy), up_to_nul(value));
    zend_string_release(copy);
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
  const bool is_env = Z_ARR_P(array) == Z_ARR(PG(http_globals)[TRACK_VARS_ENV]);
  const int kind = is_env ? PARSE_ENV : PARSE_SERVER;
  each_variable([&](const char* name, std::string_view value) { put(name, value, kind, array); });
}

/// For getenv() without a name: nothing of it is for the filter extension.
void load_request(zval* array) {
  g_import_process(array);
  each_variable([&](const char* name, std::string_view value) {
    php_register_variable_safe(name, value.data(), value.size(), array);
  });
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
