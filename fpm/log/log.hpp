// The log: the one piece of global mutable state. One thread per process writes to it.
//
// Its lines are php-fpm's to the byte, because tools read them:
//   [22-Nov-2026 05:10:12] NOTICE: [pool www] text
// and with log_level = debug
//   [22-Nov-2026 05:10:12.123456] DEBUG: pid 123, function(), line 45: text
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
#include "fpm/log/text.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::log {

/// Where the log goes. Before the first open() it is stderr, from NOTICE upwards.
struct Settings {
  /// error_log: a file (made 0600, appended to), or /dev/stderr, /dev/stdout, /dev/fd/N,
  /// /proc/self/fd/N, which mean that descriptor of this process. Empty: stderr only.
  std::string path;
  /// A copy goes to stderr, until end_stderr_copy(). Never twice to the same place.
  bool copy_to_stderr = false;
  Level level = Level::notice;
  /// log_limit: bytes of a line including its newline; what is longer ends in "...".
  /// Taken as 512 if less and 32768 if more.
  std::size_t limit = 1024;
};

/// Opens what `settings` names and writes there from now on. After an Error everything is as it
/// was. A FIFO without a reader is an Error (ENXIO): waiting for one would block.
os::Result<void> open(const Settings& settings);
/// Start-up is over: stderr gets no more copies. Nothing changes if there is no file.
void end_stderr_copy();
/// Opens the file anew under its name (USR1). Descriptors stay as they are. After an Error the old
/// file stays in use.
os::Result<void> reopen();
/// For a reload: log_level and log_limit from now on.
void set_level(Level level);
void set_limit(std::size_t limit);

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
/// parent writes them). With `captured` the master's descriptors are closed here.
void become_worker(WorkerLog how);
/// The descriptor that a worker with WorkerLog::direct writes to, borrowed: it has to stay open in
/// the child. -1 before open().
int descriptor();
/// In a `direct` worker: `fd`, which the master reopened and sent, replaces the descriptor.
void use_descriptor(os::UniqueFd fd);

/// One line: the text, of pool `pool` if that is not empty. The text is cut to the limit; a caller
/// passes what strangers chose through printable().
void write(Level level, std::string_view pool, std::string_view text,
           const char* function = __builtin_FUNCTION(), int line = __builtin_LINE());

/// One line that a worker printed, made by OutputLines, at WARNING: with the usual prefix, or as
/// it is if not `decorated` (decorate_workers_output = no).
void write_output(std::string_view pool, std::string_view text, bool decorated = true);
/// How long a text write_output() takes without cutting it, in bytes.
std::size_t output_room(std::string_view pool, bool decorated = true);

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
