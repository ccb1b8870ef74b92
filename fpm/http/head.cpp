#include "fpm/http/head.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <cstring>

namespace fpm::http {

namespace beast = boost::beast;

namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
constexpr std::array<bool, 256> kToken = make_token_table();

/// Characters of a field's value: visible ones, blanks, tabs, and bytes above ASCII.
bool is_value(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

bool is_target(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) return false;
  }
  return !text.empty();
}

bool is_made_of(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    const char lower = static_cast<char>(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
  });
}

/// `METHOD SP target SP HTTP/1.x`, the blanks single ones.
int check_first_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == line.npos || first == last || !is_token(line.substr(0, first))) return 400;
  if (!is_target(line.substr(first + 1, last - first - 1))) return 400;
  const std::string_view version = line.substr(last + 1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (version.size() != 8 || !version.starts_with("HTTP/") || !digit(version[5]) ||
      version[6] != '.' || !digit(version[7])) {
    return 400;
  }
  // There is no HTTP/1.2 that anybody could mean.
  return version[5] == '1' && version[7] <= '1' ? 0 : 505;
}

int check_field_line(std::string_view line) {
  const std::size_t colon = line.find(':');
  // A folded line begins with a blank, which is no token; so is a blank before the colon.
  if (colon == line.npos || !is_token(line.substr(0, colon))) return 400;
  const std::string_view value = line.substr(colon + 1);
  if (!is_value(value)) return 400;
  // Not every program takes a tab for a blank: where a body ends is written without.
  const bool ends_body = same_text(line.substr(0, colon), "transfer-encoding") ||
                         same_text(line.substr(0, colon), "content-length");
  return ends_body && value.find('\t') != value.npos ? 400 : 0;
}

/// Each line by itself. Ends in CR LF, and there is no other CR or LF (HeadFinder has seen to the LF).
int check_lines(std::string_view bytes) {
  bool first = true;
  while (bytes.size() > 2) {
    const std::size_t end = bytes.find('\r');
    if (end + 1 >= bytes.size() || bytes[end + 1] != '\n') return 400;
    const std::string_view line = bytes.substr(0, end);
    if (const int refused = first ? check_first_line(line) : check_field_line(line)) return refused;
    first = false;
    bytes.remove_prefix(end + 2);
  }
  return first ? 400 : 0;
}

/// Takes what Boost.Beast reads.
class Reader final : public beast::http::basic_parser<true> {
 public:
  explicit Reader(Head& head) : head_(head) {}

 private:
  using Text = beast::string_view;
  using Code = beast::error_code;

  void on_request_impl(beast::http::verb, Text method, Text target, int version, Code&) override {
    head_.method = {method.data(), method.size()};
    head_.target = {target.data(), target.size()};
    head_.minor = version % 10;
  }
  void on_response_impl(int, Text, int, Code&) override {}
  void on_field_impl(beast::http::field, Text name, Text value, Code&) override {
    head_.fields.push_back({{name.data(), name.size()}, {value.data(), value.size()}});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(Text, Code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, Text, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text, Code&) override { return 0; }
  void on_finish_impl(Code&) override {}

  Head& head_;
};

/// What the fields mean for the message as a whole.
class Meaning {
 public:
  explicit Meaning(Head& head) : head_(head) {}

  int read() {
    head_.keep_alive = head_.minor > 0;
    for (const Field& field : head_.fields) {
      if (const int refused = take(field)) return refused;
    }
    if (hosts_ > 1 || (hosts_ == 0 && head_.minor > 0)) return 400;
    if (head_.chunked && (head_.length || head_.minor == 0)) return 400;
    // In 1.0 a body may end with the connection (RFC 1945 §7.2.2): nobody can tell whether there is one.
    const bool needs_length = head_.minor == 0 && (head_.method == "POST" || head_.method == "PUT");
    return needs_length && !head_.length ? 411 : 0;
  }

 private:
  int take(const Field& field) {
    // By length first: most fields are none of these.
    switch (field.name.size()) {
      case 4: return same_text(field.name, "host") ? take_host(field.value) : 0;
      case 6: return same_text(field.name, "expect") ? take_expect(field.value) : 0;
      case 10: return same_text(field.name, "connection") ? take_connection(field.value) : 0;
      case 14: return same_text(field.name, "content-length") ? take_length(field.value) : 0;
      case 17: return same_text(field.name, "transfer-encoding") ? take_coding(field.value) : 0;
      default: return 0;
    }
  }
  int take_host(std::string_view value) {
    ++hosts_;
    head_.host = value;
    return is_host(value) ? 0 : 400;
  }
  int take_expect(std::string_view value) {
    if (!same_text(value, "100-continue")) return 417;
    head_.expects_continue = head_.minor > 0;
    return 0;
  }
  int take_connection(std::string_view value) {
    if (has_member(value, "close")) {
      closes_ = true;
      head_.keep_alive = false;
    } else if (has_member(value, "keep-alive") && !closes_) {
      head_.keep_alive = true;
    }
    return 0;
  }
  int take_length(std::string_view value) {
    // A second one, even the same again, and a list of them are refused.
    std::uint64_t length = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, failure] = std::from_chars(value.data(), end, length);
    constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
    if (head_.length || failure != std::errc() || stop != end || length > kMost) return 400;
    head_.length = length;
    return 0;
  }
  int take_coding(std::string_view value) {
    if (head_.chunked) return 400;
    if (!same_text(value, "chunked")) return 501;
    head_.chunked = true;
    return 0;
  }

  Head& head_;
  int hosts_ = 0;
  bool closes_ = false;
};

}  // namespace

bool is_token_char(char c) { return kToken[static_cast<unsigned char>(c)]; }

bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}

bool is_host(std::string_view text) {
  if (text.empty() || text.front() == ':') return false;  // RFC 9110 §4.2.1
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos || end < 3 || !is_made_of(text.substr(1, end - 1), ":.")) return false;
    text.remove_prefix(end + 1);
    if (text.empty()) return true;
    if (text.front() != ':') return false;
  }
  const std::size_t colon = text.find(':');
  if (!is_made_of(text.substr(0, colon), "-._~")) return false;
  if (colon == text.npos) return true;
  const std::string_view port = text.substr(colon + 1);
  return port.size() <= 5 && port.find_first_not_of("0123456789") == port.npos;
}

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool has_member(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (same_text(item, word)) return true;
    if (comma == list.npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::string_view Head::field(std::string_view name) const {
  for (const Field& field : fields) {
    if (same_text(field.name, name)) return field.value;
  }
  return {};
}

std::ptrdiff_t HeadFinder::find(std::string_view bytes) {
  while (seen_ < bytes.size()) {
    const void* const found = std::memchr(bytes.data() + seen_, '\n', bytes.size() - seen_);
    if (found == nullptr) {
      seen_ = bytes.size();
      return 0;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    if (at == 0 || bytes[at - 1] != '\r') return -1;
    const bool empty = at - line_ == 1;
    seen_ = line_ = at + 1;
    if (empty) return static_cast<std::ptrdiff_t>(line_);
  }
  return 0;
}

void HeadFinder::skip_empty_line(std::string& bytes) {
  if (skipped_ || !bytes.starts_with("\r\n")) return;
  bytes.erase(0, 2);
  reset();
  skipped_ = true;
}

int read_head(std::string_view bytes, Head& head) {
  head.fields.clear();
  std::vector<Field> kept = std::move(head.fields);  // its memory
  head = Head();
  head.fields = std::move(kept);
  if (const int refused = check_lines(bytes)) return refused;
  Reader reader(head);
  reader.header_limit(static_cast<std::uint32_t>(bytes.size() + 1));
  reader.body_limit(boost::none);
  beast::error_code failure;
  reader.put(boost::asio::const_buffer(bytes.data(), bytes.size()), failure);
  if (!reader.is_header_done()) return 400;
  return Meaning(head).read();
}

}  // namespace fpm::http
