#include "fpm/handlers/module/request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace fpm::handlers::module {

namespace {

using std::chrono::steady_clock;

fpm_text as_text(std::string_view text) { return {text.data(), text.size()}; }

/// The usual words for a status; empty where there are none.
std::string_view usual_reason(int code) {
  switch (code) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return {};
  }
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char byte) {
    return byte == '\r' || byte == '\n' || byte == '\0';
  });
}

/// RFC 9110 token, so that no name can end early.
bool is_token(std::string_view name) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || kOthers.find(byte) != kOthers.npos;
  });
}

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

log::Level as_level(fpm_level level) {
  switch (level) {
    case FPM_DEBUG: return log::Level::debug;
    case FPM_NOTICE: return log::Level::notice;
    case FPM_WARNING: return log::Level::warning;
    case FPM_ERROR: break;
  }
  return log::Level::error;
}

}  // namespace

const fpm_functions Request::kFunctions = {
    .interface = FPM_MODULE_INTERFACE,
    .size = sizeof(fpm_functions),
    .role = [](fpm_request* request) -> int {
      return of(request).exchange_.role() == fcgi::Role::authorizer ? FPM_AUTHORIZER : FPM_RESPONDER;
    },
    .param = [](fpm_request* request, const char* name) -> fpm_text {
      const fcgi::Params& params = of(request).exchange_.params();
      const std::string_view value = params.last_non_empty(name);
      if (!value.empty()) return as_text(value);
      const auto empty = params.first(name);
      return empty ? fpm_text{"", 0} : fpm_text{nullptr, 0};
    },
    .param_at = [](fpm_request* request, std::size_t index, fpm_text* name, fpm_text* value) -> int {
      const fcgi::Params& params = of(request).exchange_.params();
      if (index >= params.size()) return 0;
      const fcgi::Param param = params[index];
      *name = as_text(param.name);
      *value = as_text(param.value);
      return 1;
    },
    .read = [](fpm_request* request, void* buffer, std::size_t size) -> std::ptrdiff_t {
      return of(request).read({static_cast<char*>(buffer), size});
    },
    .body = [](fpm_request* request) -> fpm_text { return of(request).next_piece(); },
    .status = [](fpm_request* request, int code, const char* reason) -> int {
      return of(request).set_status(code, reason);
    },
    .header = [](fpm_request* request, const char* name, const char* value) -> int {
      if (name == nullptr || value == nullptr) return -1;
      return of(request).add_header(name, value);
    },
    .write = [](fpm_request* request, const void* bytes, std::size_t size) -> int {
      return of(request).write({static_cast<const char*>(bytes), size});
    },
    .flush = [](fpm_request* request) -> int {
      Request& self = of(request);
      if (self.finished_) return 0;
      self.begin();
      return self.blocking_.flush() || self.client_stays() ? 0 : -1;
    },
    .write_error = [](fpm_request* request, const char* text, std::size_t size) {
      of(request).exchange_.write_error({text, size});
    },
    .log = [](fpm_request* request, fpm_level level, const char* text) {
      of(request).exchange_.log(as_level(level), text);
    },
    .finish = [](fpm_request* request) -> int {
      Request& self = of(request);
      if (self.finished_) return 0;
      self.begin();
      self.finished_ = true;
      return self.exchange_.finish_answer(0) ? 0 : -1;
    },
    .client_gone = [](fpm_request* request) -> int {
      Request& self = of(request);
      self.exchange_.pump();
      return self.exchange_.aborted() ? 1 : 0;
    },
    .time_left = [](fpm_request* request) -> std::int64_t {
      const auto deadline = of(request).exchange_.deadline();
      if (deadline == steady_clock::time_point::max()) return -1;
      const auto now = steady_clock::now();
      if (deadline <= now) return 0;
      return std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now).count();
    },
    .script = [](fpm_request* request, const char* name) { of(request).exchange_.set_script(name); },
};

Request::Request(Exchange& exchange, const config::Pool& pool)
    : fpm_request{&kFunctions},
      exchange_(exchange),
      blocking_(exchange, pool.request_body_timeout),
      goes_on_(pool.request_on_abort != config::OnAbort::end) {}

/// What the module was shown of the body is consumed.
void Request::give_back() {
  if (lent_ > 0) exchange_.consume_body(std::exchange(lent_, 0));
}

std::ptrdiff_t Request::read(std::span<char> buffer) {
  give_back();
  const std::size_t got = blocking_.read(buffer);
  if (got > 0 || buffer.empty()) return static_cast<std::ptrdiff_t>(got);
  return blocking_.stop() == Blocking::Stop::none ? 0 : -1;
}

fpm_text Request::next_piece() {
  give_back();
  if (!blocking_.wait_for_body()) {
    return {blocking_.stop() == Blocking::Stop::none ? "" : nullptr, 0};
  }
  const std::span<const char> piece = exchange_.body();
  lent_ = piece.size();
  return {piece.data(), piece.size()};
}

int Request::set_status(int code, const char* reason) {
  if (exchange_.begun() || code < 100 || code > 599) return -1;
  const std::string_view words = reason != nullptr ? reason : usual_reason(code);
  if (has_control(words)) return -1;
  status_ = code;
  reason_length_ = std::min(words.size(), reason_.size());
  std::copy_n(words.data(), reason_length_, reason_.data());
  return 0;
}

bool Request::append(std::string_view text) {
  if (text.size() > header_.size() - length_) return false;
  std::copy_n(text.data(), text.size(), header_.data() + length_);
  length_ += text.size();
  return true;
}

int Request::add_header(std::string_view name, std::string_view value) {
  // Space for what begin() adds.
  constexpr std::size_t kReserve = 128;
  if (exchange_.begun() || !is_token(name) || has_control(value)) return -1;
  // The one name that means something to the gateway is set by fpm_status().
  if (same_name(name, "Status")) return -1;
  if (name.size() + value.size() + 4 > header_.size() - kReserve - std::min(length_, header_.size() - kReserve)) {
    return -1;
  }
  if (same_name(name, "Content-Type")) has_type_ = true;
  append(name);
  append(": ");
  append(value);
  append("\r\n");
  return 0;
}

/// The header block, once.
bool Request::begin() {
  if (exchange_.begun()) return false;
  const bool authorizer = exchange_.role() == fcgi::Role::authorizer;
  if (!has_type_ && !(authorizer && status_ == 200)) {
    append("Content-Type: text/html; charset=UTF-8\r\n");
  }
  if (status_ != 200 || reason_length_ > 0 || authorizer) {
    std::array<char, 32> number;
    const auto text = fmt::format_to_n(number.data(), number.size(), "Status: {} ", status_);
    append({number.data(), text.size});
    append(reason_length_ > 0 ? std::string_view(reason_.data(), reason_length_)
                              : usual_reason(status_));
    append("\r\n");
  }
  append("\r\n");
  exchange_.begin(status_, {header_.data(), length_});
  return true;
}

/// A client that has gone may be no reason to stop: what is written is dropped from then on.
bool Request::client_stays() { return goes_on_ && blocking_.stop() == Blocking::Stop::client; }

int Request::write(std::string_view bytes) {
  if (finished_) return 0;
  begin();
  if (blocking_.write({bytes.data(), bytes.size()})) return 0;
  return client_stays() ? 0 : -1;
}

Outcome Request::conclude(int result) {
  give_back();
  if (finished_) return {.end = result < 0 ? End::failed : End::ok};
  if (blocking_.stop() != Blocking::Stop::none) return blocking_.conclude("in the module");
  if (result < 0) {
    const bool begun = exchange_.begun();
    if (!begun) exchange_.answer(500, "The application failed.");
    return {.end = End::failed, .app_status = 1, .truncated = begun};
  }
  begin();
  return {.app_status = result};
}

}  // namespace fpm::handlers::module
