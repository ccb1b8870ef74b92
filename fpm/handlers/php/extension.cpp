#include "fpm/handlers/php/extension.hpp"

#include <algorithm>
#include <string>

#include "fpm/handlers/php/request.hpp"

namespace fpm::handlers::php {

Settings g_settings;

namespace {

using zend_fpm_settings = Settings;

// Names, defaults and who may change them are php-fpm's.
PHP_INI_BEGIN()
STD_PHP_INI_BOOLEAN("cgi.rfc2616_headers", "0", PHP_INI_ALL, OnUpdateBool, rfc2616_headers,
                    zend_fpm_settings, g_settings)
STD_PHP_INI_BOOLEAN("cgi.nph", "0", PHP_INI_ALL, OnUpdateBool, nph, zend_fpm_settings, g_settings)
STD_PHP_INI_BOOLEAN("cgi.force_redirect", "1", PHP_INI_SYSTEM, OnUpdateBool, force_redirect,
                    zend_fpm_settings, g_settings)
STD_PHP_INI_ENTRY("cgi.redirect_status_env", nullptr, PHP_INI_SYSTEM, OnUpdateString,
                  redirect_status_env, zend_fpm_settings, g_settings)
STD_PHP_INI_BOOLEAN("cgi.fix_pathinfo", "1", PHP_INI_SYSTEM, OnUpdateBool, fix_pathinfo,
                    zend_fpm_settings, g_settings)
STD_PHP_INI_BOOLEAN("cgi.discard_path", "0", PHP_INI_SYSTEM, OnUpdateBool, discard_path,
                    zend_fpm_settings, g_settings)
STD_PHP_INI_BOOLEAN("fastcgi.logging", "1", PHP_INI_SYSTEM, OnUpdateBool, logging,
                    zend_fpm_settings, g_settings)
STD_PHP_INI_ENTRY("fastcgi.error_header", nullptr, PHP_INI_SYSTEM, OnUpdateString, error_header,
                  zend_fpm_settings, g_settings)
STD_PHP_INI_ENTRY("fpm.config", nullptr, PHP_INI_SYSTEM, OnUpdateString, fpm_config,
                  zend_fpm_settings, g_settings)
PHP_INI_END()

/// "X-Forwarded-For" for "HTTP_X_FORWARDED_FOR"; nothing for what is no header of the request.
zend_string* header_name(std::string_view name) {
  if (name == "CONTENT_TYPE" || name == "CONTENT_LENGTH") {
    name = name == "CONTENT_TYPE" ? std::string_view("Content-Type") : "Content-Length";
    return zend_string_init(name.data(), name.size(), false);
  }
  if (name.size() <= 5 || name.substr(0, 5) != "HTTP_") return nullptr;
  name.remove_prefix(5);
  zend_string* const result = zend_string_init(name.data(), name.size(), false);
  // The first letter of each word stays as it is, whatever it is.
  for (std::size_t i = 1; i < name.size(); ++i) {
    char& byte = ZSTR_VAL(result)[i];
    if (byte == '_') {
      byte = '-';
      ++i;
    } else if (byte >= 'A' && byte <= 'Z') {
      byte = static_cast<char>(byte + ('a' - 'A'));
    }
  }
  return result;
}

void add(zval* to, std::string_view name, zval* value) {
  add_assoc_zval_ex(to, name.data(), name.size(), value);
}

/// "request uri" of the status page is two values here.
void add_uri(zval* to, std::string_view uri) {
  const std::size_t mark = std::min(uri.find('?'), uri.size());
  const std::string_view query = uri.substr(std::min(mark + 1, uri.size()));
  zval text;
  ZVAL_STRINGL(&text, uri.data(), mark);
  add(to, "request-uri", &text);
  ZVAL_STRINGL(&text, query.data(), query.size());
  add(to, "query-string", &text);
}

/// The status page's JSON with php-fpm's names for fpm_get_status(): dashes for blanks, and some that
/// differ.
void rename_keys(zval* from, zval* to) {
  array_init(to);
  zend_string* key = nullptr;
  zend_ulong index = 0;
  zval* value = nullptr;
  ZEND_HASH_FOREACH_KEY_VAL(Z_ARRVAL_P(from), index, key, value) {
    if (key != nullptr && zend_string_equals_literal(key, "request uri")) {
      add_uri(to, {Z_STRVAL_P(value), Z_STRLEN_P(value)});
      continue;
    }
    zval copy;
    if (Z_TYPE_P(value) == IS_ARRAY) {
      rename_keys(value, &copy);
    } else {
      ZVAL_COPY(&copy, value);
    }
    if (key == nullptr) {
      add_index_zval(to, index, &copy);
      continue;
    }
    std::string name(ZSTR_VAL(key), ZSTR_LEN(key));
    std::replace(name.begin(), name.end(), ' ', '-');
    if (name == "processes") name = "procs";
    if (name == "content-length") name = "request-length";
    add(to, name, &copy);
  }
  ZEND_HASH_FOREACH_END();
}

}  // namespace

// --- Functions ----------------------------------------------------------------------------------

PHP_FUNCTION(fastcgi_finish_request) {
  ZEND_PARSE_PARAMETERS_NONE();
  Request* const request = current_request();
  if (request == nullptr) RETURN_FALSE;
  php_output_end_all();
  php_header();
  RETURN_BOOL(request->finish());
}

PHP_FUNCTION(apache_request_headers) {
  ZEND_PARSE_PARAMETERS_NONE();
  array_init(return_value);
  Request* const request = current_request();
  if (request == nullptr) return;
  request->env().each([&](std::string_view name, std::string_view value) {
    zend_string* const header = header_name(name);
    if (header == nullptr) return;
    zval text;
    ZVAL_STRINGL(&text, value.data(), value.size());
    zend_hash_update(Z_ARRVAL_P(return_value), header, &text);
    zend_string_release(header);
  });
}

PHP_FUNCTION(fpm_get_status) {
  ZEND_PARSE_PARAMETERS_NONE();
  Request* const request = current_request();
  if (request == nullptr) RETURN_FALSE;
  zval page;
  {
    const std::string json = request->exchange().pool_status();
    if (php_json_decode_ex(&page, json.data(), json.size(), PHP_JSON_OBJECT_AS_ARRAY, 8) != SUCCESS ||
        Z_TYPE(page) != IS_ARRAY) {
      RETURN_FALSE;
    }
  }
  rename_keys(&page, return_value);
  zval_ptr_dtor(&page);
}

namespace {

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_finish, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_headers, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_MASK_EX(arginfo_status, 0, 0, MAY_BE_ARRAY | MAY_BE_FALSE)
ZEND_END_ARG_INFO()

const zend_function_entry kFunctions[] = {
    PHP_FE(fastcgi_finish_request, arginfo_finish)      //
    PHP_FE(apache_request_headers, arginfo_headers)     //
    PHP_FALIAS(getallheaders, apache_request_headers, arginfo_headers)  //
    PHP_FE(fpm_get_status, arginfo_status)              //
    PHP_FE_END};

PHP_MINIT_FUNCTION(fpm) {
  REGISTER_INI_ENTRIES();
  return SUCCESS;
}

PHP_MSHUTDOWN_FUNCTION(fpm) {
  UNREGISTER_INI_ENTRIES();
  return SUCCESS;
}

// Everything of the script has run by now. What it did not read of the body nobody wants: PHP would
// read it over, and a client that stopped sending would hold up an answer that is ready.
PHP_RSHUTDOWN_FUNCTION(fpm) {
  if (Request* const request = current_request()) request->close_body();
  return SUCCESS;
}

PHP_MINFO_FUNCTION(fpm) {
  php_info_print_table_start();
  php_info_print_table_row(2, "php-fpm", "active");
  php_info_print_table_end();
  DISPLAY_INI_ENTRIES();
}

}  // namespace

zend_module_entry g_module = {STANDARD_MODULE_HEADER,
                              "cgi-fcgi",
                              kFunctions,
                              PHP_MINIT(fpm),
                              PHP_MSHUTDOWN(fpm),
                              nullptr,
                              PHP_RSHUTDOWN(fpm),
                              PHP_MINFO(fpm),
                              PHP_VERSION,
                              STANDARD_MODULE_PROPERTIES};

}  // namespace fpm::handlers::php
