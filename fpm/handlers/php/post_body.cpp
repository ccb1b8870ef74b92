// Where the body of a request is kept for php://input and $_POST.
//
// PHP puts all beyond 16 KiB into a temporary file, in pieces: some 350 system calls for a body of 1 MB.
// Here it stays in memory up to the size that php://temp has by default; larger ones are left to PHP.
#include "fpm/handlers/php/sapi.hpp"

#include <main/php_memory_streams.h>

namespace fpm::handlers::php {
namespace {

void (*g_default_reader)() = nullptr;

bool fits_in_memory(zend_long length) {
  const bool allowed = SG(post_max_size) <= 0 || length <= SG(post_max_size);
  return length > 0 && length <= PHP_STREAM_MAX_MEM && allowed;
}

/// Reads all of a POST's body, as PHP's sapi_read_standard_form_data() does.
void read_form() {
  const zend_long length = SG(request_info).content_length;
  if (!fits_in_memory(length)) return sapi_read_standard_form_data();
  zend_string* text = zend_string_alloc(static_cast<std::size_t>(length), false);
  const std::size_t got = sapi_read_post_block(ZSTR_VAL(text), ZSTR_LEN(text));
  if (got < ZSTR_LEN(text)) text = zend_string_truncate(text, got, false);
  ZSTR_VAL(text)[got] = '\0';
  SG(request_info).request_body = php_stream_memory_open(TEMP_STREAM_DEFAULT, text);
  zend_string_release(text);
}

/// For a POST of a type that nobody parses.
void read_unknown() {
  const bool post = SG(request_info).request_method != nullptr &&
                    std::strcmp(SG(request_info).request_method, "POST") == 0;
  if (post && SG(request_info).post_entry == nullptr) {
    read_form();
  } else {
    g_default_reader();
  }
}

}  // namespace

void install_body_readers() {
  g_default_reader = sapi_module.default_post_reader;
  sapi_module.default_post_reader = read_unknown;
  constexpr std::string_view kForm = "application/x-www-form-urlencoded";
  auto* const entry = static_cast<sapi_post_entry*>(
      zend_hash_str_find_ptr(&SG(known_post_content_types), kForm.data(), kForm.size()));
  if (entry != nullptr) entry->post_reader = read_form;
}

void prepare_body() {
  const zend_long length = SG(request_info).content_length;
  if (SG(request_info).request_body != nullptr || SG(post_read) || SG(read_post_bytes) > 0) return;
  if (length <= 0 || length > PHP_STREAM_MAX_MEM) return;
  SG(request_info).request_body =
      php_stream_temp_create_ex(TEMP_STREAM_DEFAULT, PHP_STREAM_MAX_MEM, PG(upload_tmp_dir));
}

}  // namespace fpm::handlers::php
