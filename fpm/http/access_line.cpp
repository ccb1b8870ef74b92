#include "fpm/http/access_line.hpp"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "fpm/log/text.hpp"

namespace fpm::http {

namespace {

/// What access.format can ask for by name.
class Lookup final : public log::AccessLookup {
 public:
  explicit Lookup(const Served& served) : served_(served) {}

  std::optional<std::string_view> parameter(std::string_view name) const override {
    if (served_.head == nullptr) return std::nullopt;
    if (name == "SERVER_PROTOCOL") return served_.head->minor > 0 ? "HTTP/1.1" : "HTTP/1.0";
    if (name == "REQUEST_URI") return served_.head->target;
    if (!name.starts_with("HTTP_")) return std::nullopt;
    std::string field(name.substr(5));
    std::replace(field.begin(), field.end(), '_', '-');
    const std::string_view value = served_.head->field(field);
    if (value.empty()) return std::nullopt;
    return value;
  }
  std::optional<std::string_view> response_header(std::string_view name) const override {
    std::string_view fields = served_.fields;
    while (!fields.empty()) {
      const std::size_t end = std::min(fields.find("\r\n"), fields.size());
      const std::string_view line = fields.substr(0, end);
      if (line.size() > name.size() + 1 && line.starts_with(name) && line[name.size()] == ':') {
        return line.substr(std::min(line.find_first_not_of(' ', name.size() + 1), line.size()));
      }
      fields.remove_prefix(std::min(end + 2, fields.size()));
    }
    return std::nullopt;
  }

 private:
  const Served& served_;
};

/// As nginx escapes: what could end the quotes or the line becomes \xNN.
void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      fmt::format_to(std::back_inserter(out), "\\x{:02X}", byte);
    } else {
      out += c;
    }
  }
}

void append_quoted(std::string_view text, std::string& out) {
  out += '"';
  append_escaped(text.empty() ? std::string_view("-") : text, out);
  out += '"';
}

}  // namespace

AccessLine::AccessLine(const std::string& format)
    : combined_(format.empty()),
      format_(log::compile_access_format(format.empty() ? "json" : format).format) {}

std::string_view AccessLine::render(const Served& served) {
  if (!combined_) {
    const Lookup lookup(served);
    log::AccessRecord record;
    record.pool = served.pool;
    record.remote = served.remote;
    record.method = served.head != nullptr ? served.head->method : std::string_view();
    record.uri = served.uri;
    record.query = served.query;
    record.script = served.script;
    record.user = served.user;
    record.end = log::end_name(served.end);
    record.status = served.status;
    record.content_length = served.body_in;
    record.response_bytes = served.body_out;
    record.pid = ::getpid();
    record.master_pid = ::getppid();
    record.accepted = served.began;
    record.logged = served.ended;
    record.duration = served.duration;
    record.queue_wait = served.queue_wait;
    record.lookup = &lookup;
    return {buffer_.data(), format_.render(record, buffer_).size};
  }
  const auto second = std::chrono::system_clock::to_time_t(served.ended);
  if (second != second_) {
    second_ = second;
    tm local{};
    ::localtime_r(&second, &local);
    std::array<char, 64> text{};
    time_.assign(text.data(), ::strftime(text.data(), text.size(), "%d/%b/%Y:%H:%M:%S %z", &local));
  }
  text_.clear();
  append_escaped(served.remote, text_);
  text_ += " - ";
  append_escaped(served.user.empty() ? std::string_view("-") : served.user, text_);
  fmt::format_to(std::back_inserter(text_), " [{}] \"", time_);
  if (served.head != nullptr) {
    append_escaped(served.head->method, text_);
    text_ += ' ';
    append_escaped(served.head->target, text_);
    text_ += served.head->minor > 0 ? " HTTP/1.1" : " HTTP/1.0";
  } else {
    text_ += '-';
  }
  fmt::format_to(std::back_inserter(text_), "\" {} {} ", served.status, served.body_out);
  append_quoted(served.head != nullptr ? served.head->field("referer") : std::string_view(), text_);
  text_ += ' ';
  append_quoted(served.head != nullptr ? served.head->field("user-agent") : std::string_view(),
                text_);
  text_ += '\n';
  return text_;
}

std::string basic_user(const Head& head) {
  constexpr std::string_view kScheme = "basic ";
  std::string_view text = head.field("authorization");
  if (!same_text(text.substr(0, kScheme.size()), kScheme)) return {};
  text.remove_prefix(kScheme.size());
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned bits = 0;
  int count = 0;
  std::string user;
  for (const char c : text) {  // up to the colon: the password is never decoded
    const std::size_t digit = kDigits.find(c);
    if (digit == kDigits.npos || user.size() > 128) return {};
    bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    const char byte = static_cast<char>(bits >> count & 0xff);
    if (byte == ':') return user;
    user += byte;
  }
  return {};
}

bool is_suppressed(const std::vector<std::string>& paths, const Served& served) {
  if (paths.empty() || served.head == nullptr || !served.query.empty() || served.body_in > 0) {
    return false;
  }
  const bool reads = served.head->method == "GET" || served.head->method == "HEAD";
  return reads && served.status >= 200 && served.status < 300 &&
         std::find(paths.begin(), paths.end(), served.uri) != paths.end();
}

}  // namespace fpm::http
