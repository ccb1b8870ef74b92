#include "fpm/log/access_format.hpp"

#include <fmt/format.h>
#include <locale.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "fpm/log/json.hpp"
#include "fpm/log/text.hpp"

namespace fpm::log {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr const char* kDefaultTime = "%d/%b/%Y:%H:%M:%S %z";
// json: how many bytes of each string are shown, if a line with whole strings does not fit.
constexpr std::size_t kShorter[] = {256, 64, 16};

/// A buffer that is written from the front and never past its end.
class Out {
 public:
  explicit Out(std::span<char> buffer) : buffer_(buffer) {}

  std::size_t size() const { return size_; }
  bool full() const { return full_; }

  void add(std::string_view text) {
    const std::size_t fits = std::min(text.size(), room());
    std::memcpy(buffer_.data() + size_, text.data(), fits);
    size_ += fits;
    full_ = full_ || fits < text.size();
  }
  /// All of it or nothing: half an escape would be a lie.
  void add_whole(std::string_view text) {
    if (text.size() > room()) full_ = true;
    if (!full_) add(text);
  }
  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    const auto done =
        fmt::vformat_to_n(buffer_.data() + size_, room(), format, fmt::make_format_args(args...));
    full_ = full_ || done.size > room();
    size_ += std::min(done.size, room());
  }
  void end_line() { buffer_[size_++] = '\n'; }

 private:
  /// One byte is kept for the newline. Nothing follows a cut.
  std::size_t room() const { return full_ ? 0 : buffer_.size() - 1 - size_; }

  std::span<char> buffer_;
  std::size_t size_ = 0;
  bool full_ = false;
};

void add_value(Out& out, std::string_view value) {
  while (!value.empty() && !out.full()) {
    const std::size_t plain = harmless_prefix(value);
    out.add(value.substr(0, plain));
    value.remove_prefix(plain);
    if (value.empty()) return;
    const auto byte = static_cast<unsigned char>(value.front());
    const char escape[] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    out.add_whole({escape, sizeof escape});
    value.remove_prefix(1);
  }
}

void add_value_or_dash(Out& out, std::string_view value) {
  add_value(out, value.empty() ? "-" : value);
}

/// PHP and other applications call setlocale; a log's months stay English.
::locale_t c_locale() {
  static const ::locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
  return locale;
}

std::tm local_parts(std::chrono::system_clock::time_point at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return parts;
}

void add_time(Out& out, std::chrono::system_clock::time_point at, const char* format) {
  const std::tm parts = local_parts(at);
  char text[128];  // php-fpm's size: what is longer is not shown
  out.add({text, ::strftime_l(text, sizeof text, format, &parts, c_locale())});
}

double cpu_percent(const AccessRecord& record, bool user, bool system) {
  const auto cpu = (user ? record.cpu_user : std::chrono::microseconds{}) +
                   (system ? record.cpu_system : std::chrono::microseconds{});
  if (record.duration.count() <= 0) return 0;
  return static_cast<double>(cpu.count()) / static_cast<double>(record.duration.count()) * 100;
}

// json ------------------------------------------------------------------------------------------

/// `value` as a string of at most `limit` bytes of the original.
void add_json_string(Out& out, std::string_view value, std::size_t limit) {
  value = value.substr(0, whole_characters(value, limit));
  out.add("\"");
  while (!value.empty() && !out.full()) {
    const std::size_t plain = json_plain_prefix(value);
    out.add(value.substr(0, plain));
    value.remove_prefix(plain);
    if (value.empty()) break;
    out.add_whole(json_escape(value.front()).view());
    value.remove_prefix(1);
  }
  out.add("\"");
}

void add_json_or_null(Out& out, std::string_view value, std::size_t limit) {
  if (value.empty()) {
    out.add("null");
  } else {
    add_json_string(out, value, limit);
  }
}

/// Seconds with all six digits, without the cost of a double.
void add_seconds(Out& out, std::chrono::microseconds duration) {
  const auto micros = std::max<std::int64_t>(0, duration.count());
  out.print("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
}

std::string_view request_id(const AccessRecord& record) {
  if (record.lookup == nullptr) return {};
  for (const std::string_view name : {"REQUEST_ID", "HTTP_X_REQUEST_ID"}) {
    const auto value = record.lookup->parameter(name);
    if (value && !value->empty()) return *value;
  }
  return {};
}

void add_json(Out& out, const AccessRecord& record, std::size_t limit) {
  out.add("{\"time\":\"");
  out.add(rfc3339(record.accepted).view());
  out.add("\",\"pool\":");
  add_json_string(out, record.pool, limit);
  out.print(",\"pid\":{},\"request_id\":", record.pid);
  add_json_or_null(out, request_id(record), limit);
  out.add(",\"remote\":");
  add_json_or_null(out, record.remote, limit);
  out.add(",\"method\":");
  add_json_or_null(out, record.method, limit);
  out.add(",\"uri\":");
  add_json_string(out, record.uri, limit);
  out.add(",\"query\":");
  add_json_string(out, record.query, limit);
  out.add(",\"status\":");
  if (record.status == 0) {
    out.add("null");
  } else {
    out.print("{}", record.status);
  }
  out.print(",\"bytes\":{},\"duration\":", record.response_bytes);
  add_seconds(out, record.duration);
  out.add(",\"queue_wait\":");
  if (record.queue_wait) {
    add_seconds(out, *record.queue_wait);
  } else {
    out.add("null");
  }
  out.print(",\"cpu\":{:.2f},\"memory\":{},\"script\":", cpu_percent(record, true, true),
            record.memory);
  add_json_or_null(out, record.script, limit);
  out.add(",\"user\":");
  add_json_or_null(out, record.user, limit);
  out.add(",\"end\":");
  add_json_or_null(out, record.end, limit);
  out.add("}");
}

AccessFormat::Line render_json(const AccessRecord& record, std::span<char> buffer) {
  Out whole(buffer);
  add_json(whole, record, std::string_view::npos);
  if (!whole.full()) {
    whole.end_line();
    return {whole.size(), false};
  }
  // Half an object helps nobody: shorter strings instead.
  for (const std::size_t limit : kShorter) {
    Out shorter(buffer);
    add_json(shorter, record, limit);
    if (shorter.full()) continue;
    shorter.end_line();
    return {shorter.size(), true};
  }
  return {0, true};
}

}  // namespace

std::string_view end_name(RequestEnd end) {
  switch (end) {
    case RequestEnd::ok: return "ok";
    case RequestEnd::timeout: return "timeout";
    case RequestEnd::abort: return "abort";
    case RequestEnd::failed: return "failed";
    case RequestEnd::worker_died: return "worker died";
    case RequestEnd::rejected: return "rejected";
  }
  return "failed";
}

AccessFormat::Line AccessFormat::render(const AccessRecord& record, std::span<char> buffer) const {
  if (buffer.empty()) return {0, true};
  if (json_) return render_json(record, buffer);
  Out out(buffer);
  for (const Token& token : tokens_) {
    switch (token.letter) {
      case 0: out.add(token.text); break;
      case 'C': out.print("{:.2f}", cpu_percent(record, token.user, token.system)); break;
      case 'd':
        if (token.unit == 1) {
          out.print("{}", record.duration.count());
        } else {
          out.print("{:.3f}", static_cast<double>(record.duration.count()) * token.factor);
        }
        break;
      case 'e':
      case 'o': {
        std::optional<std::string_view> value;
        if (record.lookup != nullptr) {
          value = token.letter == 'e' ? record.lookup->parameter(token.text)
                                      : record.lookup->response_header(token.text);
        }
        add_value(out, value.value_or("-"));
        break;
      }
      case 'f': add_value_or_dash(out, record.script); break;
      case 'l': out.print("{}", record.content_length); break;
      case 'm': add_value_or_dash(out, record.method); break;
      case 'M': out.print("{}", record.memory / token.unit); break;
      case 'n': add_value_or_dash(out, record.pool); break;
      case 'p': out.print("{}", record.pid); break;
      case 'P': out.print("{}", record.master_pid); break;
      case 'q': add_value(out, record.query); break;
      case 'Q': out.add(record.query.empty() ? "" : "?"); break;
      case 'r': add_value(out, record.uri); break;
      case 'R': add_value_or_dash(out, record.remote); break;
      case 's':
        if (record.status == 0) {
          out.add("-");
        } else {
          out.print("{}", record.status);
        }
        break;
      case 't': add_time(out, record.accepted, token.text.c_str()); break;
      case 'T': add_time(out, record.logged, token.text.c_str()); break;
      case 'u': add_value(out, record.user); break;
    }
  }
  if (out.size() == 0) return {0, out.full()};
  out.end_line();
  return {out.size(), out.full()};
}

bool AccessFormat::needs_cpu() const {
  return json_ || std::any_of(tokens_.begin(), tokens_.end(),
                              [](const Token& token) { return token.letter == 'C'; });
}

/// Reads a format from left to right; in a namespace-level struct to be the format's friend.
struct AccessFormatCompiler {
  using Token = AccessFormat::Token;

  CompiledAccessFormat result;
  std::string modifier;

  void add_text(char c) {
    auto& tokens = result.format.tokens_;
    if (tokens.empty() || tokens.back().letter != 0) tokens.emplace_back();
    tokens.back().text += c;
  }

  static bool same(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [&](char x, char y) { return lower(x) == lower(y); });
  }
  bool modifier_is(std::initializer_list<std::string_view> words) const {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return same(modifier, word); });
  }

  void fail_modifier(char letter, std::string_view allowed) {
    result.error =
        fmt::format("only {} are allowed as a modifier for %{} ('{}')", allowed, letter, modifier);
  }

  void read_cpu(Token& token) {
    if (modifier_is({"", "total"})) return;
    if (modifier_is({"user"})) {
      token.system = false;
    } else if (modifier_is({"system"})) {
      token.user = false;
    } else {
      fail_modifier('C', "'total', 'user' or 'system'");
    }
  }

  void read_duration(Token& token) {
    if (modifier_is({"", "seconds"})) {
      token.unit = 1'000'000;
      token.factor = 1e-6;
    } else if (modifier_is({"milli", "milliseconds", "mili", "miliseconds"})) {
      token.unit = 1000;  // with one l: php-fpm's old spelling, still in its users' files
      token.factor = 1e-3;
    } else if (!modifier_is({"micro", "microseconds"})) {
      fail_modifier('d', "'seconds', 'milli', 'milliseconds', 'micro' or 'microseconds'");
    }
  }

  void read_memory(Token& token) {
    if (modifier_is({"kilo", "kilobytes"})) {
      token.unit = 1024;
    } else if (modifier_is({"mega", "megabytes"})) {
      token.unit = 1024 * 1024;
    } else if (!modifier_is({"", "bytes"})) {
      fail_modifier('M', "'bytes', 'kilo', 'kilobytes', 'mega' or 'megabytes'");
    }
  }

  void read_name(Token& token, std::string_view of) {
    token.text = modifier;
    if (modifier.empty()) {
      result.error =
          fmt::format("the name of the {} must be set between embraces for %{}", of, token.letter);
    }
  }

  void read_token(char letter) {
    Token token;
    token.letter = letter;
    switch (letter) {
      case 'C': read_cpu(token); break;
      case 'd': read_duration(token); break;
      case 'M': read_memory(token); break;
      case 'e': read_name(token, "environment variable"); break;
      case 'o': read_name(token, "header"); break;
      case 't':
      case 'T': token.text = modifier.empty() ? kDefaultTime : modifier; break;
      default:
        if (std::string_view("%flmnpPqQrRsu").find(letter) == std::string_view::npos) {
          result.error = fmt::format("Invalid token in the access.format (%{})", letter);
        } else if (!modifier.empty()) {
          result.error = fmt::format("embrace is not allowed for modifier %{}", letter);
        }
    }
    if (letter == '%') {
      add_text('%');
    } else {
      result.format.tokens_.push_back(std::move(token));
    }
  }

  CompiledAccessFormat compile(std::string_view text) {
    if (text == "json") {
      result.format.json_ = true;
      return std::move(result);
    }
    while (!text.empty() && result.error.empty()) {
      const char c = text.front();
      text.remove_prefix(1);
      if (c != '%') {
        add_text(c);
      } else {
        text = compile_token(text);
      }
    }
    return std::move(result);
  }

  /// What follows a '%'. @return the rest of the format.
  std::string_view compile_token(std::string_view text) {
    modifier.clear();
    while (!text.empty() && text.front() == '{') {  // repeated: the last one counts
      const std::size_t close = text.find('}');
      if (close == std::string_view::npos || close + 1 == text.size()) {
        result.error = "missing closing embrace in the access.format";
        return {};
      }
      modifier = text.substr(1, close - 1);
      text.remove_prefix(close + 1);
    }
    if (text.empty()) return {};  // a '%' at the end: php-fpm takes it for nothing
    read_token(text.front());
    return text.substr(1);
  }
};

CompiledAccessFormat compile_access_format(std::string_view text) {
  return AccessFormatCompiler{}.compile(text);
}

std::string check_access_format(std::string_view text) { return compile_access_format(text).error; }

}  // namespace fpm::log
