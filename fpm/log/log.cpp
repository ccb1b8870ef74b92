#include "fpm/log/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "fpm/log/sink.hpp"

namespace fpm::log {
namespace {

constexpr std::size_t kLeastLimit = 512;
// A line must always fit into a sink's empty buffer.
constexpr std::size_t kGreatestLimit = Sink::kCapacity / 2;
constexpr std::string_view kDots = "...";
// "[22-Nov-2026 05:10:12.123456] " and a pid have room several times over.
constexpr std::size_t kInlineLine = 2048;
using Line = fmt::basic_memory_buffer<char, kInlineLine>;

/// How a line begins.
enum class Head { complete, in_worker, none };

/// What of the local time changes once a second: localtime_r reads no file but is not free.
struct Clock {
  std::time_t second = -1;
  char text[32] = {};  // 22-Nov-2026 05:10:12
  std::size_t length = 0;
};

struct State {
  State() { err.borrow(STDERR_FILENO); }

  Level level = Level::notice;
  std::size_t limit = 1024;
  std::string path;
  Sink file;
  Sink err;
  bool opened = false;
  bool captured = false;
  Clock clock;
};

State& state() {
  static State the;
  return the;
}

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

void append(Line& line, std::string_view text) {
  line.append(text.data(), text.data() + text.size());
}

void append_time(Line& line) {
  State& log = state();
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  append(line, "[");
  append(line, local_time(log.clock, now.tv_sec));
  if (log.level == Level::debug) {
    fmt::format_to(std::back_inserter(line), ".{:06}", now.tv_nsec / 1000);
  }
  append(line, "] ");
}

/// __builtin_FUNCTION() says "operator()" in a lambda; readers expect one word.
std::string_view function_word(const char* function) {
  const std::string_view name = function != nullptr ? function : "";
  const bool word = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
  return word ? name : "(null)";
}

void append_head(Line& line, Head head, Level level, std::string_view pool, const char* function,
                 int at_line) {
  if (head == Head::none) return;
  if (head == Head::complete) append_time(line);
  append(line, level_word(level));
  append(line, ": ");
  if (state().level == Level::debug) {
    fmt::format_to(std::back_inserter(line), "pid {}, {}(), line {}: ", ::getpid(),
                   function_word(function), at_line);
  }
  if (!pool.empty()) {
    append(line, "[pool ");
    append(line, pool);
    append(line, "] ");
  }
}

/// Cuts `line` to the limit and ends it; a newline inside would look like a line of its own.
void finish(Line& line) {
  const std::size_t room = state().limit - 1;
  if (line.size() > room) {
    line.resize(room - kDots.size());
    append(line, kDots);
  }
  std::replace(line.begin(), line.end(), '\n', ' ');
  line.push_back('\n');
}

Head usual_head() { return state().captured ? Head::in_worker : Head::complete; }

void tell_dropped(Sink& sink) {
  if (!sink.recovered()) return;
  const int reason = sink.drop_reason();
  const std::string why =
      reason == EAGAIN ? std::string("it was not read") : os::errno_text(reason);
  Line line;
  append_head(line, usual_head(), Level::warning, {}, __func__, __LINE__);
  fmt::format_to(std::back_inserter(line), "{} lines of this log were lost: {}",
                 sink.take_dropped(), why);
  finish(line);
  sink.write({line.data(), line.size()});
}

void emit(const Line& line) {
  State& log = state();
  for (Sink* sink : {&log.file, &log.err}) {
    if (!*sink) continue;
    sink->flush();
    tell_dropped(*sink);
    sink->write({line.data(), line.size()});
    tell_dropped(*sink);
  }
}

constexpr char kOutputFunction[] = "output";

}  // namespace

os::Result<void> open(const Settings& settings) {
  State& log = state();
  os::UniqueFd file;
  os::UniqueFd err;
  if (!settings.path.empty()) {
    auto opened = open_for_log(settings.path);
    if (!opened) return opened.error();
    file = std::move(*opened);
  }
  const bool copy = settings.copy_to_stderr && !same_file(file.get(), STDERR_FILENO);
  if (!file || copy) {
    auto opened = second_descriptor(STDERR_FILENO);
    // Started without a stderr: the file alone will do.
    if (!opened && !file) return opened.error();
    if (opened) err = std::move(*opened);
  }
  ::tzset();  // reads the zone now: later there may be a chroot
  log.path = settings.path;
  log.file.use(std::move(file));
  log.err.use(std::move(err));
  log.opened = true;
  log.captured = false;
  set_level(settings.level);
  set_limit(settings.limit);
  return {};
}

void end_stderr_copy() {
  State& log = state();
  if (log.file) log.err.close();
}

os::Result<void> reopen() {
  State& log = state();
  if (log.path.empty() || named_descriptor(log.path) >= 0) return {};
  auto opened = open_for_log(log.path);
  if (!opened) return opened.error();
  log.file.flush();  // lines of before belong to the old file
  log.file.replace(std::move(*opened));
  return {};
}

void set_level(Level level) { state().level = level; }

void set_limit(std::size_t limit) {
  state().limit = std::clamp(limit, kLeastLimit, kGreatestLimit);
}

bool enabled(Level level) { return level >= state().level; }

bool flush(std::chrono::milliseconds wait) {
  State& log = state();
  const auto end = std::chrono::steady_clock::now() + wait;
  bool done = true;
  for (Sink* sink : {&log.file, &log.err}) {
    if (!*sink) continue;
    while (!sink->flush()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      // A full disk is always ready: waiting for it would be a busy loop.
      if (left.count() <= 0 || !sink->wait(left)) break;
    }
    tell_dropped(*sink);
    done = sink->flush() && done;
  }
  return done;
}

void become_worker(WorkerLog how) {
  State& log = state();
  if (how == WorkerLog::captured) {
    log.file.close();
    log.err.borrow(STDERR_FILENO);
    log.captured = true;
    return;
  }
  log.file.forget();
  log.err.forget();
  end_stderr_copy();
}

int descriptor() {
  const State& log = state();
  if (!log.opened) return -1;
  return log.file ? log.file.fd() : log.err.fd();
}

void use_descriptor(os::UniqueFd fd) {
  State& log = state();
  if (log.captured || !fd) return;
  log.file.replace(std::move(fd));
  log.err.close();
}

void write(Level level, std::string_view pool, std::string_view text, const char* function,
           int line) {
  if (!enabled(level)) return;
  Line whole;
  append_head(whole, usual_head(), level, pool, function, line);
  append(whole, text);
  finish(whole);
  emit(whole);
}

void vwrite(Level level, std::string_view pool, fmt::string_view format, fmt::format_args args,
            const char* function, int line) {
  if (!enabled(level)) return;
  Line whole;
  append_head(whole, usual_head(), level, pool, function, line);
  fmt::vformat_to(std::back_inserter(whole), format, args);
  finish(whole);
  emit(whole);
}

void write_output(std::string_view pool, std::string_view text, bool decorated) {
  if (!enabled(Level::warning)) return;
  Line whole;
  append_head(whole, decorated ? usual_head() : Head::none, Level::warning, pool, kOutputFunction,
              0);
  append(whole, text);
  finish(whole);
  emit(whole);
}

std::size_t output_room(std::string_view pool, bool decorated) {
  Line head;
  append_head(head, decorated ? usual_head() : Head::none, Level::warning, pool, kOutputFunction,
              0);
  const std::size_t room = state().limit - 1;
  return room > head.size() ? room - head.size() : 0;
}

}  // namespace fpm::log
