#include "fpm/log/line.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <ctime>

#include "fpm/log/json.hpp"

namespace fpm::log {

namespace {

constexpr std::string_view kDots = "...";

/// What of the local time changes once a second: localtime_r reads no file but is not free.
struct Clock {
  std::time_t second = -1;
  char text[32] = {};  // 22-Nov-2026 05:10:12
  std::size_t length = 0;
};

constexpr std::string_view level_word(Level level) {
  switch (level) {
    case Level::debug: return "DEBUG";
    case Level::notice: return "NOTICE";
    case Level::warning: return "WARNING";
    case Level::error: return "ERROR";
    case Level::alert: return "ALERT";
  }
  return "ALERT";
}

constexpr std::string_view json_level(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::notice: return "notice";
    case Level::warning: return "warning";
    case Level::error: return "error";
    case Level::alert: return "alert";
  }
  return "alert";
}

std::string_view local_time(Clock& clock, std::time_t second) {
  // Not strftime's %b: an application may call setlocale, and the log's readers expect English.
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (second != clock.second) {
    std::tm parts{};
    ::localtime_r(&second, &parts);
    const auto end =
        fmt::format_to_n(clock.text, sizeof clock.text, "{:02}-{}-{:04} {:02}:{:02}:{:02}",
                         parts.tm_mday, kMonths[parts.tm_mon % 12], parts.tm_year + 1900,
                         parts.tm_hour, parts.tm_min, parts.tm_sec);
    clock.length = std::min(end.size, sizeof clock.text);
    clock.second = second;
  }
  return {clock.text, clock.length};
}

/// __builtin_FUNCTION() says "operator()" in a lambda; readers expect one word.
std::string_view function_word(const char* function) {
  const std::string_view name = function != nullptr ? function : "";
  const bool word = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
  return word ? name : "(null)";
}

void append_field(Line& line, std::string_view name, std::string_view text) {
  append(line, ",\"");
  append(line, name);
  append(line, "\":");
  append_json_string(line, text);
}

}  // namespace

void append_time(Line& line, bool micros) {
  static Clock clock;
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  append(line, "[");
  append(line, local_time(clock, now.tv_sec));
  if (micros) fmt::format_to(std::back_inserter(line), ".{:06}", now.tv_nsec / 1000);
  append(line, "] ");
}

void append(Line& line, std::string_view text) {
  line.append(text.data(), text.data() + text.size());
}

void append_head(Line& line, Head head, const Entry& entry) {
  if (head == Head::none) return;
  if (head == Head::complete) append_time(line, entry.detailed);
  if (head == Head::syslog) append(line, "[");
  append(line, level_word(entry.level));
  append(line, head == Head::syslog ? "] " : ": ");
  if (entry.detailed) {
    fmt::format_to(std::back_inserter(line), "pid {}, {}(), line {}: ", ::getpid(),
                   function_word(entry.function), entry.line);
  }
  if (!entry.about.pool.empty()) {
    append(line, "[pool ");
    append(line, entry.about.pool);
    append(line, "] ");
  }
}

void finish(Line& line, std::size_t limit) {
  const std::size_t room = limit - 1;
  if (line.size() > room) {
    line.resize(room - kDots.size());
    append(line, kDots);
  }
  std::replace(line.begin(), line.end(), '\n', ' ');
  line.push_back('\n');
}

void append_json(Line& line, const Entry& entry, std::string_view text, std::size_t room) {
  append(line, "{\"time\":\"");
  append(line, rfc3339(std::chrono::system_clock::now()).view());
  append(line, "\",\"level\":\"");
  append(line, json_level(entry.level));
  append(line, "\"");
  if (!entry.about.pool.empty()) append_field(line, "pool", entry.about.pool);
  const pid_t pid = entry.about.pid != 0 ? entry.about.pid : ::getpid();
  fmt::format_to(std::back_inserter(line), ",\"pid\":{}", pid);
  if (!entry.about.request_id.empty()) append_field(line, "request_id", entry.about.request_id);
  if (entry.detailed) {
    append_field(line, "function", function_word(entry.function));
    fmt::format_to(std::back_inserter(line), ",\"line\":{}", entry.line);
  }
  if (!entry.stream.empty()) append_field(line, "stream", entry.stream);
  append_field(line, entry.stream.empty() ? "message" : "output",
               text.substr(0, whole_characters(text, room)));
  append(line, "}\n");
}

}  // namespace fpm::log
