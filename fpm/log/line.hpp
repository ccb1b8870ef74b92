// How one line of the log looks. Room of the log; others use log.hpp.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string_view>

#include "fpm/log/log.hpp"

namespace fpm::log {

// "[22-Nov-2026 05:10:12.123456] " and a pid have room several times over.
inline constexpr std::size_t kInlineLine = 2048;
using Line = fmt::basic_memory_buffer<char, kInlineLine>;

/// How a line begins.
enum class Head {
  complete,   ///< [22-Nov-2026 05:10:12] NOTICE: [pool www]
  in_worker,  ///< NOTICE: [pool www]
  syslog,     ///< [NOTICE] [pool www]
  none,
};

/// What a line says besides its text.
struct Entry {
  Level level = Level::notice;
  About about{};
  const char* function = nullptr;
  int line = 0;
  /// log_level = debug: the time has microseconds, and function and line are shown.
  bool detailed = false;
  /// Not empty: the text was printed to that stream; json only.
  std::string_view stream{};
};

void append(Line& line, std::string_view text);
/// "[22-Nov-2026 05:10:12] ", now, in local time; with `micros` "[22-Nov-2026 05:10:12.123456] ".
void append_time(Line& line, bool micros);
/// What stands before the text.
void append_head(Line& line, Head head, const Entry& entry);
/// Cuts to `limit` bytes, newline included, and ends the line; a newline inside would look like a
/// line of its own.
void finish(Line& line, std::size_t limit);
/// The whole line as an object, newline included. `room`: of the text, in bytes before escaping.
void append_json(Line& line, const Entry& entry, std::string_view text, std::size_t room);

}  // namespace fpm::log
