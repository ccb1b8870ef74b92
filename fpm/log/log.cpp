#include "fpm/log/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <memory>
#include <optional>

#include "fpm/log/line.hpp"
#include "fpm/log/sink.hpp"

namespace fpm::log {
namespace {

constexpr std::size_t kLeastLimit = 512;
// A line must always fit into a sink's empty buffer.
constexpr std::size_t kGreatestLimit = Sink::kCapacity / 2;
// json: of a text before escaping. A datagram takes six times the second.
constexpr std::size_t kJsonRoom = 1024 * 1024;
constexpr std::size_t kSyslogRoom = 32 * 1024;

/// A line that has begun and goes on: log_buffering = no.
struct OpenLine {
  const void* source = nullptr;
  bool decorated = false;
};

/// output_log of a pool.
struct OutputFile {
  std::string path;
  Sink sink;
  OpenLine open_line;
};

struct State {
  State() { err.borrow(STDERR_FILENO); }

  Level level = Level::notice;
  std::size_t limit = 1024;
  LineFormat format = LineFormat::text;
  bool buffering = true;
  std::string path;
  Sink file;
  Sink err;
  std::optional<Syslog> syslog;
  OpenLine open_line;
  std::map<std::string, std::unique_ptr<OutputFile>, std::less<>> outputs;
  bool opened = false;
  bool captured = false;
};

State& state() {
  static State the;
  return the;
}

Head usual_head() { return state().captured ? Head::in_worker : Head::complete; }

bool as_json() { return state().format == LineFormat::json && !state().captured; }

Entry entry_of(Level level, const About& about, const char* function, int line) {
  return {.level = level,
          .about = about,
          .function = function,
          .line = line,
          .detailed = state().level == Level::debug};
}

/// The line for a descriptor.
void render(Line& whole, const Entry& entry, std::string_view text) {
  if (as_json()) return append_json(whole, entry, text, kJsonRoom);
  append_head(whole, usual_head(), entry);
  append(whole, text);
  finish(whole, state().limit);
}

/// The line for the system logger, without newline.
void render_for_syslog(Line& whole, const Entry& entry, std::string_view text) {
  if (as_json()) {
    append_json(whole, entry, text, kSyslogRoom);
  } else {
    append_head(whole, Head::syslog, entry);
    append(whole, text);
    finish(whole, state().limit);
  }
  whole.resize(whole.size() - 1);
}

void put(Sink& sink, const Entry& entry, std::string_view text) {
  Line whole;
  render(whole, entry, text);
  sink.write({whole.data(), whole.size()});
}

void put(Syslog& syslog, const Entry& entry, std::string_view text) {
  Line whole;
  render_for_syslog(whole, entry, text);
  syslog.write(entry.level, {whole.data(), whole.size()});
}

template <class Target>
void tell_dropped(Target& target) {
  if (!target.recovered()) return;
  const int reason = target.drop_reason();
  const std::string why =
      reason == EAGAIN ? std::string("it was not read") : os::errno_text(reason);
  const std::string text =
      fmt::format("{} lines of this log were lost: {}", target.take_dropped(), why);
  put(target, entry_of(Level::warning, {}, __func__, __LINE__), text);
}

/// A line that has begun ends here: another one comes.
void end_open_line(OpenLine& open, Sink& sink) {
  if (open.source == nullptr) return;
  sink.write(open.decorated ? "\"\n" : "\n", false);
  open = {};
}

void write_line(Sink& sink, std::string_view line) {
  sink.flush();
  tell_dropped(sink);
  sink.write(line);
  tell_dropped(sink);
}

/// A whole line to where the log goes.
void emit(const Entry& entry, std::string_view text) {
  State& log = state();
  if (log.file || log.err) {
    Line whole;
    render(whole, entry, text);
    OpenLine open = std::exchange(log.open_line, {});
    for (Sink* sink : {&log.file, &log.err}) {
      if (!*sink) continue;
      OpenLine same = open;
      end_open_line(same, *sink);
      write_line(*sink, {whole.data(), whole.size()});
    }
  }
  if (log.syslog) {
    log.syslog->flush();
    tell_dropped(*log.syslog);
    put(*log.syslog, entry, text);
  }
}

constexpr char kOutputFunction[] = "output";

OutputFile* own_file(std::string_view pool) {
  auto& outputs = state().outputs;
  const auto found = outputs.find(pool);
  return found == outputs.end() ? nullptr : found->second.get();
}

/// A part of a line that is shown as it comes, in text. Nothing else of the log comes between the
/// parts without ending the line first.
void write_part(Sink& sink, const OpenLine& open, const Output& from, const Entry& entry,
                std::string_view text, OutputPart part) {
  const bool goes_on = !part.begins && open.source == from.source;
  // Another line came between, and with it the end of this one.
  if (!part.begins && !goes_on && (text.empty() || text == "\"")) return;
  Line bytes;
  if (!goes_on && from.decorated) {
    append_head(bytes, usual_head(), entry);
    if (!part.begins) append(bytes, decoration(from.about.pid, from.stream));
  }
  append(bytes, text);
  if (part.ends) bytes.push_back('\n');
  if (!goes_on) {
    OpenLine other = open;
    end_open_line(other, sink);
    sink.flush();
    tell_dropped(sink);
  }
  sink.write({bytes.data(), bytes.size()}, !goes_on);
  if (part.ends) tell_dropped(sink);
}

/// Tries to empty one target; the end of the wait is `end`.
template <class Target>
bool flush_one(Target& target, std::chrono::steady_clock::time_point end) {
  while (!target.flush()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    // A full disk is always ready: waiting for it would be a busy loop.
    if (left.count() <= 0 || !target.wait(left)) break;
  }
  tell_dropped(target);
  return target.flush();
}

os::Result<void> reopen_sink(Sink& sink, const std::string& path) {
  if (path.empty() || named_descriptor(path) >= 0) return {};
  auto opened = open_for_log(path);
  if (!opened) return opened.error();
  sink.flush();  // lines of before belong to the old file
  sink.replace(std::move(*opened));
  return {};
}

}  // namespace

os::Result<void> open(const Settings& settings) {
  State& log = state();
  const bool to_syslog = settings.path == "syslog";
  os::UniqueFd file;
  os::UniqueFd err;
  if (!settings.path.empty() && !to_syslog) {
    auto opened = open_for_log(settings.path);
    if (!opened) return opened.error();
    file = std::move(*opened);
  }
  const bool copy = settings.copy_to_stderr && !same_file(file.get(), STDERR_FILENO);
  if ((!file && !to_syslog) || copy) {
    auto opened = second_descriptor(STDERR_FILENO);
    // Started without a stderr: the file alone will do.
    if (!opened && !file && !to_syslog) return opened.error();
    if (opened) err = std::move(*opened);
  }
  ::tzset();  // reads the zone now: later there may be a chroot
  log.path = to_syslog ? "" : settings.path;
  log.file.use(std::move(file));
  log.err.use(std::move(err));
  log.syslog.reset();
  log.open_line = {};
  log.opened = true;
  log.captured = false;
  log.format = settings.format;
  log.buffering = settings.buffering;
  set_level(settings.level);
  set_limit(settings.limit);
  if (to_syslog) {
    const int failure = log.syslog.emplace(settings.syslog).connect();
    if (failure != 0) {
      warning("no system logger at {} yet: {}", settings.syslog.socket, os::errno_text(failure));
    }
  }
  return {};
}

void end_stderr_copy() {
  State& log = state();
  if (log.file || log.syslog) log.err.close();
}

os::Result<void> reopen() {
  State& log = state();
  os::Result<void> result = reopen_sink(log.file, log.path);
  for (auto& [pool, output] : log.outputs) {
    auto reopened = reopen_sink(output->sink, output->path);
    if (!reopened && result) result = reopened;
  }
  return result;
}

void set_level(Level level) { state().level = level; }

void set_limit(std::size_t limit) {
  state().limit = std::clamp(limit, kLeastLimit, kGreatestLimit);
}

void set_format(LineFormat format) { state().format = format; }

void set_buffering(bool on) { state().buffering = on; }

bool enabled(Level level) { return level >= state().level; }

bool flush(std::chrono::milliseconds wait) {
  State& log = state();
  const auto end = std::chrono::steady_clock::now() + wait;
  bool done = true;
  for (Sink* sink : {&log.file, &log.err}) {
    if (*sink) done = flush_one(*sink, end) && done;
  }
  if (log.syslog) done = flush_one(*log.syslog, end) && done;
  for (auto& [pool, output] : log.outputs) done = flush_one(output->sink, end) && done;
  return done;
}

os::Result<os::UniqueFd> open_file(const std::string& path) { return open_for_log(path); }

void become_worker(WorkerLog how, std::string_view pool) {
  State& log = state();
  std::erase_if(log.outputs, [&](const auto& output) {
    return how == WorkerLog::captured || output.first != pool;
  });
  for (auto& [name, output] : log.outputs) output->sink.forget();
  log.open_line = {};
  if (how == WorkerLog::captured) {
    log.file.close();
    log.syslog.reset();
    log.err.borrow(STDERR_FILENO);
    log.captured = true;
    return;
  }
  log.file.forget();
  log.err.forget();
  if (log.syslog) log.syslog->forget();
  end_stderr_copy();
}

int descriptor() {
  const State& log = state();
  if (!log.opened) return -1;
  if (log.file) return log.file.fd();
  return log.syslog ? log.syslog->fd() : log.err.fd();
}

void use_descriptor(os::UniqueFd fd) {
  State& log = state();
  if (log.captured || log.syslog || !fd) return;
  log.file.replace(std::move(fd));
  log.err.close();
}

int output_descriptor(std::string_view pool) {
  const OutputFile* own = own_file(pool);
  return own != nullptr ? own->sink.fd() : -1;
}

void use_output_descriptor(std::string_view pool, os::UniqueFd fd) {
  if (OutputFile* own = own_file(pool); own != nullptr && fd) own->sink.replace(std::move(fd));
}

void write(Level level, std::string_view pool, std::string_view text, const char* function,
           int line) {
  write_about(level, {.pool = pool}, text, function, line);
}

void write_about(Level level, const About& about, std::string_view text, const char* function,
                 int line) {
  if (enabled(level)) emit(entry_of(level, about, function, line), text);
}

void vwrite(Level level, std::string_view pool, fmt::string_view format, fmt::format_args args,
            const char* function, int line) {
  if (!enabled(level)) return;
  Line text;
  fmt::vformat_to(std::back_inserter(text), format, args);
  write(level, pool, {text.data(), text.size()}, function, line);
}

os::Result<void> open_output(std::string_view pool, const std::string& path) {
  State& log = state();
  if (const OutputFile* own = own_file(pool); own != nullptr && own->path == path) return {};
  auto opened = open_for_log(path);
  if (!opened) return opened.error();
  auto output = std::make_unique<OutputFile>();
  output->path = path;
  output->sink.use(std::move(*opened));
  log.outputs.insert_or_assign(std::string(pool), std::move(output));
  return {};
}

void close_output(std::string_view pool) {
  auto& outputs = state().outputs;
  if (const auto found = outputs.find(pool); found != outputs.end()) outputs.erase(found);
}

bool output_decorated(bool decorated) { return decorated && !as_json(); }

bool output_unbuffered(std::string_view pool) {
  const State& log = state();
  return !log.buffering && !as_json() && (own_file(pool) != nullptr || !log.syslog);
}

OutputRoom output_room(std::string_view pool, bool decorated) {
  const State& log = state();
  const bool in_syslog = log.syslog && own_file(pool) == nullptr;
  if (as_json()) return {.bytes = in_syslog ? kSyslogRoom : kJsonRoom, .whole_characters = true};
  Line head;
  const Entry entry = entry_of(Level::warning, {.pool = pool},
                               kOutputFunction, 0);
  // The logger's own head is never longer than that of a line with its time.
  append_head(head, decorated ? usual_head() : Head::none, entry);
  const std::size_t room = log.limit - 1;
  return {.bytes = room > head.size() ? room - head.size() : 0, .whole_characters = false};
}

void write_output(const Output& from, std::string_view text, OutputPart part) {
  State& log = state();
  OutputFile* own = own_file(from.about.pool);
  if (own == nullptr && !enabled(Level::warning)) return;
  Entry entry = entry_of(Level::warning, from.about, kOutputFunction, 0);
  if (as_json() && from.decorated) entry.stream = from.stream;
  const OpenLine now{part.ends ? nullptr : from.source, from.decorated};
  if (as_json() && from.decorated) {
    if (own == nullptr) return emit(entry, text);
    Line whole;
    render(whole, entry, text);
    return write_line(own->sink, {whole.data(), whole.size()});
  }
  if (own != nullptr) {
    write_part(own->sink, own->open_line, from, entry, text, part);
    own->open_line = now;
    return;
  }
  for (Sink* sink : {&log.file, &log.err}) {
    if (*sink) write_part(*sink, log.open_line, from, entry, text, part);
  }
  log.open_line = now;
  if (!log.syslog) return;
  log.syslog->flush();
  tell_dropped(*log.syslog);
  if (from.decorated) return put(*log.syslog, entry, text);
  log.syslog->write(entry.level, text);
}

}  // namespace fpm::log
