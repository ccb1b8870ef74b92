// The log: the one piece of global mutable state. One thread per process writes to it.
//
// Its lines are php-fpm's to the byte, because tools read them:
//   [22-Nov-2026 05:10:12] NOTICE: [pool www] text
// and with log_level = debug
//   [22-Nov-2026 05:10:12.123456] DEBUG: pid 123, function(), line 45: text
// and in the system logger
//   [NOTICE] text
// With log_format = json each is one object: "time", "level", "pool" and "request_id" where they
// are known, "pid" (of the process that it comes from), at debug "function" and "line", and
// "message", or for what a worker printed "stream" and "output".
//
// Nothing here ever waits for the reader of the log. A line that a full pipe or a stopped terminal
// does not take is kept (64 KiB a sink) and tried again with the next line or flush(); what does
// not fit is dropped and counted, and the count is logged when the sink takes bytes again. SIGPIPE
// must be ignored by the program if the log is a pipe whose reader may end.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include "fpm/log/level.hpp"
#include "fpm/log/output_lines.hpp"
#include "fpm/log/syslog.hpp"
#include "fpm/log/text.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::log {

/// log_format.
enum class LineFormat { text, json };

/// Where the log goes. Before the first open() it is stderr, from NOTICE upwards.
struct Settings {
  /// error_log: a file (made 0600, appended to), or /dev/stderr, /dev/stdout, /dev/fd/N,
  /// /proc/self/fd/N, which mean that descriptor of this process, or the word `syslog`. Empty:
  /// stderr only.
  std::string path{};
  /// A copy goes to stderr, until end_stderr_copy(). Never twice to the same place.
  bool copy_to_stderr = false;
  Level level = Level::notice;
  /// log_limit: bytes of a line including its newline; what is longer ends in "...".
  /// Taken as 512 if less and 32768 if more. Not for json, whose lines are cut at 1 MiB (in the
  /// system logger at 32 KiB), between characters.
  std::size_t limit = 1024;
  LineFormat format = LineFormat::text;
  /// log_buffering: output is held until its line is complete. Without it is shown as it comes; not
  /// in json and not in the system logger.
  bool buffering = true;
  SyslogSettings syslog{};
};

/// Opens what `settings` names and writes there from now on. After an Error everything is as it
/// was. A FIFO without a reader is an Error (ENXIO): waiting for one would block.
os::Result<void> open(const Settings& settings);
/// Start-up is over: stderr gets no more copies. Nothing changes if there is no file.
void end_stderr_copy();
/// Opens the file anew under its name, and those of open_output() (USR1). Descriptors and the
/// system logger stay as they are. After an Error, the first of several, the old file stays in use.
os::Result<void> reopen();
/// For a reload: log_level, log_limit, log_format and log_buffering from now on.
void set_level(Level level);
void set_limit(std::size_t limit);
void set_format(LineFormat format);
void set_buffering(bool on);

/// A file for lines that several processes append to, such as an access log: made 0600; names of
/// descriptors as in Settings::path. Never waits for a reader: a FIFO without one is an Error
/// (ENXIO), and the descriptor of a FIFO, pipe or terminal is non-blocking.
os::Result<os::UniqueFd> open_file(const std::string& path);

/// A line of this level would be written: ask before work that is done for the log only.
bool enabled(Level level);

/// Tries to write what is kept, for at most `wait`; without a wait it does not block. For the
/// one-second tick, and with a wait before the end of the program. @return nothing is kept.
bool flush(std::chrono::milliseconds wait = {});

/// How the lines of a worker travel.
enum class WorkerLog {
  captured,  ///< to fd 2, as `NOTICE: text`: the master, which reads it, adds the time
  direct,    ///< complete lines to descriptor(), where capture is off
};

/// In the child after fork, before descriptors are closed. Forgets lines that the parent kept (the
/// parent writes them). With `captured` the master's descriptors are closed here. With `direct` the
/// output_log of `pool`, if it has one, stays; those of others go.
void become_worker(WorkerLog how, std::string_view pool = {});
/// The descriptor that a worker with WorkerLog::direct writes to, borrowed: it has to stay open in
/// the child. -1 before open().
int descriptor();
/// In a `direct` worker: `fd`, which the master reopened and sent, replaces the descriptor.
void use_descriptor(os::UniqueFd fd);
/// The same two for the output_log of `pool`; -1 if it has none.
int output_descriptor(std::string_view pool);
void use_output_descriptor(std::string_view pool, os::UniqueFd fd);

/// One line: the text, of pool `pool` if that is not empty. The text is cut to the limit; a caller
/// passes what strangers chose through printable().
void write(Level level, std::string_view pool, std::string_view text,
           const char* function = __builtin_FUNCTION(), int line = __builtin_LINE());

/// What a line is about; in json these are fields of their own.
struct About {
  std::string_view pool{};        ///< empty: none
  std::string_view request_id{};  ///< empty: not known; json only
  pid_t pid = 0;                  ///< of the process that it comes from; 0: this one; json only
};
/// write() of a line about a request.
void write_about(Level level, const About& about, std::string_view text,
                 const char* function = __builtin_FUNCTION(), int line = __builtin_LINE());

/// output_log: what the workers of `pool` print goes to that file from now on (made and opened as
/// open_file() does), at every log_level. Nothing happens if it is that already.
os::Result<void> open_output(std::string_view pool, const std::string& path);
/// It goes to the log again.
void close_output(std::string_view pool);

/// Where output came from.
struct Output {
  About about{};
  std::string_view stream{};     ///< "stdout" or "stderr"
  bool decorated = true;         ///< decorate_workers_output
  const void* source = nullptr;  ///< with log_buffering = no: tells one stream from another
};
/// Whether OutputLines has to decorate: json has fields instead, so there it has not.
bool output_decorated(bool decorated);
/// Whether OutputLines has to show() what is not a whole line yet.
bool output_unbuffered(std::string_view pool);
/// How long a text write_output() takes without cutting it.
OutputRoom output_room(std::string_view pool, bool decorated = true);
/// A text that OutputLines made, at WARNING: with the usual prefix, or as it is if not decorated
/// (in json too: such a line is the application's alone). A part of a line that another line has
/// interrupted goes on in a line of its own.
void write_output(const Output& from, std::string_view text, OutputPart part = {});

/// A format string and the place that logs it, which log_level = debug prints.
template <class... Args>
struct Format {
  template <class String>
  consteval Format(const String& string, const char* where = __builtin_FUNCTION(),  // NOLINT
                   int at_line = __builtin_LINE())
      : text(string), function(where), line(at_line) {}

  fmt::format_string<Args...> text;
  const char* function;
  int line;
};
template <class... Args>
using FormatFor = Format<std::type_identity_t<Args>...>;

/// write() for a text that is yet to be formatted: nothing is formatted if `level` is not enabled.
void vwrite(Level level, std::string_view pool, fmt::string_view format, fmt::format_args args,
            const char* function, int line);

template <class... Args>
void debug(FormatFor<Args...> format, Args&&... args) {
  vwrite(Level::debug, {}, format.text, fmt::make_format_args(args...), format.function,
         format.line);
}
template <class... Args>
void notice(FormatFor<Args...> format, Args&&... args) {
  vwrite(Level::notice, {}, format.text, fmt::make_format_args(args...), format.function,
         format.line);
}
template <class... Args>
void warning(FormatFor<Args...> format, Args&&... args) {
  vwrite(Level::warning, {}, format.text, fmt::make_format_args(args...), format.function,
         format.line);
}
template <class... Args>
void error(FormatFor<Args...> format, Args&&... args) {
  vwrite(Level::error, {}, format.text, fmt::make_format_args(args...), format.function,
         format.line);
}
template <class... Args>
void alert(FormatFor<Args...> format, Args&&... args) {
  vwrite(Level::alert, {}, format.text, fmt::make_format_args(args...), format.function,
         format.line);
}
/// The same for a line about one pool: in_pool(Level::notice, pool.name, "child {} started", pid).
template <class... Args>
void in_pool(Level level, std::string_view pool, FormatFor<Args...> format, Args&&... args) {
  vwrite(level, pool, format.text, fmt::make_format_args(args...), format.function, format.line);
}

}  // namespace fpm::log
