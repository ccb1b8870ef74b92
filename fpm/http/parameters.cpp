#include "fpm/http/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "fpm/build_config.hpp"

namespace fpm::http {

namespace {

/// Those that get no HTTP_ of their own.
bool is_left_out(std::string_view name) {
  for (const std::string_view one : {"content-length", "content-type", "transfer-encoding", "proxy",
                                     "connection", "keep-alive", "expect", "te", "trailer"}) {
    if (same_text(one, name)) return true;
  }
  return name.find('_') != name.npos;
}

std::string variable(std::string_view name) {
  std::string out = "HTTP_";
  for (const char c : name) {
    out += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c;
  }
  return out;
}

void add_fields(const Passed& passed, fcgi::Params& params) {
  const auto& fields = passed.head->fields;
  std::string joined;
  for (auto field = fields.begin(); field != fields.end(); ++field) {
    if (is_left_out(field->name)) continue;
    const auto same = [&](const Field& other) { return same_text(other.name, field->name); };
    if (std::find_if(fields.begin(), field, same) != field) continue;  // told with the first
    auto next = std::find_if(field + 1, fields.end(), same);
    std::string_view value = field->value;
    if (next != fields.end()) {
      const char* const between = same_text(field->name, "cookie") ? "; " : ", ";
      joined = value;
      for (; next != fields.end(); next = std::find_if(next + 1, fields.end(), same)) {
        joined.append(between).append(next->value);
      }
      value = joined;
    }
    // A target's own host counts more than Host (RFC 9112 §3.2.2).
    if (same_text(field->name, "host")) value = passed.authority;
    params.add(variable(field->name), value);
  }
}

/// A target in absolute form without its scheme and host.
std::string origin_form(std::string_view target) {
  if (target.starts_with('/') || target == "*") return std::string(target);
  const std::size_t host = target.find("://");
  const std::size_t path = host == target.npos ? target.npos : target.find_first_of("/?", host + 3);
  if (path == target.npos) return "/";
  return target[path] == '?' ? fmt::format("/{}", target.substr(path)) : std::string(target.substr(path));
}

/// The host of an authority, without its port and brackets.
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

}  // namespace

void set_parameters(const Passed& passed, fcgi::Params& params) {
  const Head& head = *passed.head;
  params.clear();
  params.add("GATEWAY_INTERFACE", "CGI/1.1");
  params.add("SERVER_SOFTWARE", "fpm/" FPM_VERSION);
  params.add("SERVER_PROTOCOL", head.minor > 0 ? "HTTP/1.1" : "HTTP/1.0");
  params.add("REQUEST_METHOD", passed.method);
  params.add("REQUEST_URI", origin_form(passed.request_uri));
  params.add("QUERY_STRING", passed.query);
  params.add("SCRIPT_NAME", passed.script_name);
  if (!passed.script_filename.empty()) params.add("SCRIPT_FILENAME", passed.script_filename);
  if (!passed.root.empty()) params.add("DOCUMENT_ROOT", passed.root);
  if (!passed.path_info.empty()) {
    params.add("PATH_INFO", passed.path_info);
    if (!passed.root.empty()) {
      params.add("PATH_TRANSLATED", fmt::format("{}{}", passed.root, passed.path_info));
    }
  }
  if (passed.length) {
    params.add("CONTENT_LENGTH", fmt::format_int(*passed.length).str());
    params.add("CONTENT_TYPE", head.field("content-type"));
  }
  const std::string_view host = host_of(passed.authority);
  params.add("SERVER_NAME", host.empty() ? std::string_view(passed.local.address) : host);
  params.add("SERVER_ADDR", passed.local.address);
  params.add("SERVER_PORT", fmt::format_int(passed.local.port).str());
  params.add("REMOTE_ADDR", passed.remote.address);
  params.add("REMOTE_PORT", fmt::format_int(passed.remote.port).str());
  params.add("REQUEST_SCHEME", passed.secure ? "https" : "http");
  if (passed.secure) params.add("HTTPS", "on");
  params.add("REDIRECT_STATUS", "200");  // php-cgi runs nothing without it
  params.add("FPM_QUEUED_AT", fmt::format_int(passed.queued_at_us).str());
  params.add("FPM_DOOR", "1");  // which writes the access log itself
  add_fields(passed, params);
}

}  // namespace fpm::http
