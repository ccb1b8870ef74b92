#include "fpm/handlers/cgi/header.hpp"

#include <algorithm>
#include <utility>

namespace fpm::handlers::cgi {
namespace {

// RFC 9110 §5.6.2. Written out, since isalnum depends on the locale.
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos;
  });
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char byte) {
    const auto code = static_cast<unsigned char>(byte);
    return (code < 0x20 && byte != '\t') || code == 0x7f;
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view one, std::string_view lower) {
  return one.size() == lower.size() &&
         std::equal(one.begin(), one.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
         });
}

// "404" or "404 Not Found" -> 404; 0 if it is neither.
int parse_status(std::string_view text) {
  if (text.size() < 3 || (text.size() > 3 && text[3] != ' ')) return 0;
  int status = 0;
  for (const char digit : text.substr(0, 3)) {
    if (digit < '0' || digit > '9') return 0;
    status = status * 10 + (digit - '0');
  }
  return status >= 100 ? status : 0;
}

// "HTTP/1.1 200 OK" -> "200 OK"; empty if the line is none of HTTP.
std::string_view nph_status(std::string_view line) {
  if (!line.starts_with("HTTP/")) return {};
  const std::size_t blank = line.find(' ');
  return blank == line.npos ? std::string_view() : trimmed(line.substr(blank));
}

}  // namespace

int HeaderParser::status() const {
  if (status_ != 0) return status_;
  return has_location_ ? 302 : 200;
}

std::size_t HeaderParser::feed(std::string_view bytes) {
  std::size_t used = 0;
  while (state_ == State::incomplete && used < bytes.size()) {
    begun_ = true;
    const std::string_view rest = bytes.substr(used);
    const std::size_t end = rest.find('\n');
    const std::size_t size = end == rest.npos ? rest.size() : end + 1;
    if (size > kLimit - taken_) {
      fail("its header is longer than 64 KiB", {});
      break;
    }
    taken_ += size;
    used += size;
    line_.append(rest.substr(0, size));
    if (end == rest.npos) break;
    std::string_view line(line_);
    line.remove_suffix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take_line(line);
    line_.clear();
  }
  return used;
}

void HeaderParser::take_line(std::string_view line) {
  if (line.empty()) return end_block();
  const bool first = std::exchange(first_line_, false);
  if (has_control(line)) return fail("a header line holds control characters", line);
  if (first) {
    if (const auto status = nph_status(line); !status.empty()) return take_status(status);
  }
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return fail("a header line has no colon", line);
  if (!is_token(line.substr(0, colon))) return fail("a header line has no proper name", line);
  take_field(line.substr(0, colon), trimmed(line.substr(colon + 1)));
}

void HeaderParser::take_status(std::string_view text) {
  const int status = parse_status(text);
  if (status == 0) return fail("its status is not a number of three digits", text);
  if (status_ != 0) return;  // RFC 3875 §6.3 allows one; the first holds
  status_ = status;
  reason_ = text;
}

void HeaderParser::take_field(std::string_view name, std::string_view value) {
  if (same_name(name, "status")) return take_status(value);
  has_location_ = has_location_ || same_name(name, "location");
  // Whoever sends the file that a script names knows its type.
  has_content_type_ = has_content_type_ || same_name(name, "content-type") || same_name(name, "x-sendfile");
  fields_.append(name).append(": ").append(value).append("\r\n");
}

void HeaderParser::end_block() {
  if (status_ >= 100 && status_ < 200) {
    taken_ = 0;
    first_line_ = true;
    status_ = 0;
    has_location_ = has_content_type_ = false;
    fields_.clear();
    return;
  }
  if (status_ != 0) block_.append("Status: ").append(reason_).append("\r\n");
  block_ += fields_;
  if (status_ == 0 && !has_location_ && !has_content_type_) {
    block_ += "Content-Type: text/plain\r\n";
  }
  block_ += "\r\n";
  state_ = State::complete;
}

void HeaderParser::fail(std::string_view problem, std::string_view line) {
  state_ = State::malformed;
  problem_ = problem;
  if (line.empty()) return;
  problem_.append(": \"").append(line.substr(0, 200)).append("\"");
}

}  // namespace fpm::handlers::cgi
