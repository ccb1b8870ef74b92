#include "fpm/handlers/php/sapi.hpp"

#include <fmt/format.h>
#include <strings.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include "fpm/handlers/php/extension.hpp"

#include <main/http_status_codes.h>

namespace fpm::handlers::php {
namespace {

std::string* g_collected = nullptr;

// Callbacks end a script by a jump out of PHP (zend_bailout). None has an object that needs a
// destructor when it does.

/// The script cannot go on: its client is gone, or its time is over.
void give_up(Request* request) {
  if (request != nullptr && request->must_stop()) {
    php_output_set_status(PHP_OUTPUT_DISABLED);
    zend_bailout();
  }
  php_handle_aborted_connection();
}

std::size_t write_body(const char* text, std::size_t length) {
  Request* const request = current_request();
  if (request == nullptr) {
    if (g_collected != nullptr) g_collected->append(text, length);
    return length;
  }
  if (!request->write({text, length})) give_up(request);
  return length;
}

void flush_body(void*) {
  Request* const request = current_request();
  if (request != nullptr && !request->flush()) give_up(request);
}

std::size_t read_body(char* buffer, std::size_t size) {
  Request* const request = current_request();
  if (request == nullptr) return 0;
  // CONTENT_LENGTH is the limit, as in php-fpm: what follows was not announced. A negative one is none.
  const auto left =
      static_cast<std::size_t>(SG(request_info).content_length - SG(read_post_bytes));
  const std::size_t wanted = std::min(size, left);
  if (wanted == 0) return 0;
  const std::size_t got = request->read({buffer, wanted});
  if (got < wanted && request->must_stop()) give_up(request);
  return got;
}

char* read_cookies() {
  Request* const request = current_request();
  return request == nullptr ? nullptr : request->env().c_string("HTTP_COOKIE");
}

char* get_variable(const char* name, std::size_t length) {
  Request* const request = current_request();
  return request == nullptr ? nullptr : request->env().c_string({name, length});
}

// --- The header block -----------------------------------------------------------------------------

std::string_view text_of(const sapi_header_struct* header) {
  return {header->header, header->header_len};
}

bool is_status(std::string_view header) {
  return header.size() > 7 && ::strncasecmp(header.data(), "Status:", 7) == 0;
}

const char* reason_for(int code) {
  for (const http_response_status_code_pair& pair : http_status_map) {
    if (pair.code == code) return pair.str;
  }
  return nullptr;
}

bool is_content_type(std::string_view header) {
  return header.size() > 13 && ::strncasecmp(header.data(), "Content-Type:", 13) == 0;
}

/// Whether the script gave a header "Status:" itself.
bool has_status(sapi_headers_struct* headers) {
  zend_llist_position at = nullptr;
  auto* header = static_cast<sapi_header_struct*>(zend_llist_get_first_ex(&headers->headers, &at));
  for (; header != nullptr;
       header = static_cast<sapi_header_struct*>(zend_llist_get_next_ex(&headers->headers, &at))) {
    if (is_status(text_of(header))) return true;
  }
  return false;
}

/// The status that the front sees: that of the line, where the script gave one.
int status_of(sapi_headers_struct* headers) {
  const char* const line = headers->http_status_line;
  const char* const blank = line == nullptr ? nullptr : std::strchr(line, ' ');
  return blank == nullptr ? headers->http_response_code : std::atoi(blank + 1);
}

/// The first line, for another status than 200. php-fpm cuts it at 1024 bytes.
void append_status(std::string& block, sapi_headers_struct* headers) {
  constexpr std::size_t kLongest = 1024;
  const char* const line = headers->http_status_line;
  const char* const blank = line == nullptr ? nullptr : std::strchr(line, ' ');
  const std::size_t before = block.size();
  if (g_settings.rfc2616_headers && line != nullptr) {
    block += line;
  } else if (blank != nullptr && blank - line >= 5 && ::strncasecmp(line, "HTTP/", 5) == 0) {
    block += "Status:";
    block += blank;
  } else {
    const char* const reason = reason_for(headers->http_response_code);
    fmt::format_to(std::back_inserter(block), "Status: {}", headers->http_response_code);
    if (reason != nullptr) (block += ' ') += reason;
  }
  block.resize(std::min(block.size(), before + kLongest - 1));
  block += "\r\n";
}

std::string g_block;  // kept, so that its memory is

int send_headers(sapi_headers_struct* headers) {
  Request* const request = current_request();
  if (SG(request_info).no_headers || request == nullptr) return SAPI_HEADER_SENT_SUCCESSFULLY;
  g_block.clear();
  bool status_done = false;
  const bool wanted = g_settings.nph || headers->http_response_code != 200;
  // A line of its own wins over a header "Status:", which else is passed on, once.
  const bool by_line = headers->http_status_line != nullptr;
  if (wanted && (by_line || !has_status(headers))) {
    append_status(g_block, headers);
    status_done = true;
  }
  const bool no_type = wanted && status_of(headers) == 304;
  zend_llist_position at = nullptr;
  auto* header = static_cast<sapi_header_struct*>(zend_llist_get_first_ex(&headers->headers, &at));
  for (; header != nullptr;
       header = static_cast<sapi_header_struct*>(zend_llist_get_next_ex(&headers->headers, &at))) {
    const std::string_view text = text_of(header);
    if (text.empty() || (is_status(text) && std::exchange(status_done, true))) continue;
    if (no_type && is_content_type(text)) continue;
    (g_block += text) += "\r\n";
  }
  g_block += "\r\n";
  request->begin(headers->http_response_code, g_block);
  return SAPI_HEADER_SENT_SUCCESSFULLY;
}

// --- Messages -------------------------------------------------------------------------------------

void log_message(const char* message, int) {
  Request* const request = current_request();
  if (request != nullptr) {
    request->tell("NOTICE", "PHP message: ", message, g_settings.logging);
    return;
  }
  // At PHP's start: the worker's standard error goes where its output goes.
  constexpr std::string_view kBefore = "NOTICE: PHP message: ";
  (void)!::write(STDERR_FILENO, kBefore.data(), kBefore.size());
  (void)!::write(STDERR_FILENO, message, std::strlen(message));
  (void)!::write(STDERR_FILENO, "\n", 1);
}

// --- The request's frame --------------------------------------------------------------------------

int activate() {
  Request* const request = current_request();
  const char* const path = SG(request_info).path_translated;
  if (request == nullptr) return SUCCESS;
  if (path != nullptr) activate_user_ini(*request, path);
  prepare_body();
  return SUCCESS;
}

int start_up(sapi_module_struct* sapi) { return php_module_startup(sapi, &g_module); }

char g_name[] = "fpm-fcgi";
char g_pretty_name[] = "FPM/FastCGI";

}  // namespace

sapi_module_struct g_sapi = [] {
  sapi_module_struct sapi{};
  sapi.name = g_name;
  sapi.pretty_name = g_pretty_name;
  sapi.startup = start_up;
  sapi.shutdown = php_module_shutdown_wrapper;
  sapi.activate = activate;
  sapi.ub_write = write_body;
  sapi.flush = flush_body;
  sapi.getenv = get_variable;
  sapi.sapi_error = php_error;
  sapi.send_headers = send_headers;
  sapi.read_post = read_body;
  sapi.read_cookies = read_cookies;
  sapi.register_server_variables = register_server_variables;
  sapi.log_message = log_message;
  sapi.php_ini_ignore_cwd = 1;
  return sapi;
}();

Request* current_request() { return static_cast<Request*>(SG(server_context)); }

void collect_output(std::string* text) { g_collected = text; }

void tell_front(Request& request, const char* level, std::string_view text) {
  request.tell(level, "", text, g_settings.logging);
}

}  // namespace fpm::handlers::php
