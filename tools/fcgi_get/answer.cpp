#include "tools/fcgi_get/answer.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace fcgi_get {

namespace {

/// Where the block ends that starts at 0, looking from `from` on; npos while it does not. Lines end
/// by LF, with or without CR: both are seen, mixed too.
std::size_t block_end(std::string_view text, std::size_t from) {
  if (text.starts_with("\n")) return 1;
  if (text.starts_with("\r\n")) return 2;
  for (std::size_t at = text.find('\n', from); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    const std::string_view rest = text.substr(at + 1);
    if (rest.starts_with("\n")) return at + 2;
    if (rest.starts_with("\r\n")) return at + 3;
  }
  return std::string_view::npos;
}

bool equal_ignoring_case(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

std::string_view Answer::feed(std::string_view bytes) {
  if (complete_) return bytes;
  const std::size_t from = headers_.size() > 2 ? headers_.size() - 2 : 0;
  headers_.append(bytes);
  const std::size_t end = block_end(headers_, from);
  if (end == std::string_view::npos) return {};
  complete_ = true;
  body_ = headers_.substr(end);
  headers_.resize(end);
  return body_;
}

std::string_view Answer::header(std::string_view name) const {
  for (std::string_view rest = headers_; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), name)) {
      return trimmed(line.substr(colon + 1));
    }
  }
  return {};
}

int Answer::status() const {
  const std::string_view text = header("Status");
  if (text.empty()) return header("Location").empty() ? 200 : 302;
  int status = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), status);
  const bool ends = parsed.ptr == text.data() + text.size() || *parsed.ptr == ' ';
  return parsed.ec == std::errc() && ends && status >= 100 && status <= 999 ? status : -1;
}

}  // namespace fcgi_get
