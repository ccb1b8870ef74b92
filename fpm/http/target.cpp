#include "fpm/http/target.hpp"

#include <fmt/format.h>

#include "fpm/http/head.hpp"

namespace fpm::http {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// @return false for an escape that is none, and for NUL.
bool decode(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return false;
    out += c;
  }
  return true;
}

/// Whether there is anything to be put right.
bool is_plain(std::string_view path) {
  return path.find("//") == path.npos && path.find("/.") == path.npos;
}

/// Takes empty and "." segments away. @return false if there is a "..".
bool normalise(std::string& path) {
  if (is_plain(path)) return true;
  std::string out;
  std::string_view left = path;
  while (!left.empty()) {
    left.remove_prefix(1);  // its '/'
    const std::size_t end = std::min(left.find('/'), left.size());
    const std::string_view segment = left.substr(0, end);
    left.remove_prefix(end);
    if (segment == "..") return false;
    if (segment.empty() || segment == ".") {
      if (left.empty()) out += '/';
      continue;
    }
    out += '/';
    out += segment;
  }
  path = out.empty() ? "/" : std::move(out);
  return true;
}

/// Cuts `scheme://authority` off. @return false if it is none of http and https.
bool take_authority(std::string_view& text, std::string& authority) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!same_text(text.substr(0, scheme.size()), scheme)) continue;
    text.remove_prefix(scheme.size());
    const std::size_t end = std::min(text.find_first_of("/?"), text.size());
    authority = text.substr(0, end);
    text.remove_prefix(end);
    return is_host(authority);
  }
  return false;
}

}  // namespace

int read_target(std::string_view method, std::string_view text, Target& target) {
  target.query.clear();
  target.authority.clear();
  target.has_query = target.whole_server = false;
  if (method == "CONNECT") return 501;
  if (text == "*") {
    target.path = "*";
    target.whole_server = true;
    return method == "OPTIONS" ? 0 : 400;
  }
  if (!text.starts_with('/') && !take_authority(text, target.authority)) return 400;
  if (text.find('#') != text.npos) return 400;
  const std::size_t mark = text.find('?');
  if (mark != text.npos) {
    target.has_query = true;
    target.query = text.substr(mark + 1);
  }
  const std::string_view path = text.substr(0, mark);
  if (!decode(path.empty() ? "/" : path, target.path)) return 400;
  return normalise(target.path) ? 0 : 400;
}

bool is_hidden(std::string_view path) {
  constexpr std::string_view kWellKnown = "/.well-known";
  if (path.starts_with(kWellKnown) &&
      (path.size() == kWellKnown.size() || path[kWellKnown.size()] == '/')) {
    path.remove_prefix(kWellKnown.size());
  }
  return path.find("/.") != path.npos;
}

std::string encode_path(std::string_view path) {
  constexpr std::string_view kSafe =
      "/-._~!$&'()*+,;=:@0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string out;
  out.reserve(path.size());
  for (const char c : path) {
    if (kSafe.find(c) != kSafe.npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace fpm::http
