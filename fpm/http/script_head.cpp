#include "fpm/http/script_head.hpp"

#include <algorithm>
#include <charconv>

#include "fpm/http/head.hpp"

namespace fpm::http {

namespace {

/// They concern the connection between two neighbours (RFC 9110 §7.6.1), and the door's is another.
constexpr std::string_view kNotPassed[] = {"connection", "keep-alive",       "transfer-encoding",
                                           "upgrade",    "proxy-connection", "trailer",
                                           "te"};

bool is_passed(std::string_view name) {
  return std::none_of(std::begin(kNotPassed), std::end(kNotPassed),
                      [&](std::string_view one) { return same_text(one, name); });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

bool take_status(std::string_view value, ScriptHead& head) {
  int status = 0;
  const char* const end = value.data() + std::min<std::size_t>(value.size(), 3);
  const auto [stop, failure] = std::from_chars(value.data(), end, status);
  const bool alone = value.size() == 3 || (value.size() > 3 && value[3] == ' ');
  if (failure != std::errc() || stop != end || !alone || status < 200 || status > 999) return false;
  head.status = status;
  head.reason = trim(value.substr(3));
  return true;
}

bool take_length(std::string_view value, ScriptHead& head) {
  std::uint64_t length = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, failure] = std::from_chars(value.data(), end, length);
  if (failure != std::errc() || stop != end) return false;
  if (head.length && *head.length != length) return false;
  head.length = length;
  return true;
}

bool take_field(std::string_view name, std::string_view value, ScriptHead& head) {
  if (same_text(name, "status")) return take_status(value, head);
  if (same_text(name, "content-length")) return take_length(value, head);
  if (same_text(name, "x-sendfile")) {
    head.send_file = value;
    return true;
  }
  if (!is_passed(name)) return true;
  if (same_text(name, "location")) head.location = value;
  head.has_content_type = head.has_content_type || same_text(name, "content-type");
  head.has_date = head.has_date || same_text(name, "date");
  head.has_server = head.has_server || same_text(name, "server");
  head.fields.append(name).append(": ").append(value).append("\r\n");
  return true;
}

}  // namespace

std::size_t script_head_size(std::string_view bytes, std::size_t from) {
  // An end may begin in what was seen before.
  std::size_t at = from > 2 ? from - 2 : 0;
  if (at == 0 && bytes.starts_with('\n')) return 1;
  if (at == 0 && bytes.starts_with("\r\n")) return 2;
  while ((at = bytes.find('\n', at)) != bytes.npos) {
    ++at;
    const std::string_view next = bytes.substr(at, 2);
    if (next.starts_with('\n')) return at + 1;
    if (next == "\r\n") return at + 2;
  }
  return 0;
}

bool read_script_head(std::string_view bytes, ScriptHead& head) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    if (colon == line.npos || !is_token(line.substr(0, colon)) || !is_clean(line)) return false;
    if (!take_field(line.substr(0, colon), trim(line.substr(colon + 1)), head)) return false;
  }
  return true;
}

}  // namespace fpm::http
