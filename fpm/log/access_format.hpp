// access.format: what a line of the access log shows. Pure: no clock, no descriptor, no log.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fpm::log {

/// What a request can be asked for by name.
class AccessLookup {
 public:
  virtual ~AccessLookup() = default;
  /// A FastCGI parameter, for %{NAME}e. Nothing if the request has none of that name.
  virtual std::optional<std::string_view> parameter(std::string_view name) const = 0;
  /// A header of the answer, for %{Name}o; case matters, as with php-fpm.
  virtual std::optional<std::string_view> response_header(std::string_view name) const = 0;
};

/// How a request ended.
enum class RequestEnd {
  ok,
  timeout,      ///< its time was over
  abort,        ///< the client went away
  failed,       ///< the application gave no usable answer
  worker_died,  ///< the worker ended within it
  rejected,     ///< it was not run
};
/// "ok", "timeout", "abort", "failed", "worker died", "rejected".
std::string_view end_name(RequestEnd end);

/// A finished request, as the access log sees it. Views are borrowed for the time of render().
struct AccessRecord {
  std::string_view pool;
  std::string_view remote;  ///< address of the FastCGI peer, empty for a UNIX socket
  std::string_view method;
  std::string_view uri;  ///< SCRIPT_NAME plus PATH_INFO, without the query
  std::string_view query;
  std::string_view script;
  std::string_view user;
  std::string_view end;  ///< end_name(); json only
  int status = 200;      ///< 0: no answer was begun, shown as `-`
  std::uint64_t content_length = 0;  ///< of the request
  std::uint64_t response_bytes = 0;  ///< of the answer's body; json only
  pid_t pid = 0;
  pid_t master_pid = 0;
  std::chrono::system_clock::time_point accepted{};
  std::chrono::system_clock::time_point logged{};
  std::chrono::microseconds duration{};
  std::optional<std::chrono::microseconds> queue_wait;  ///< json only
  std::chrono::microseconds cpu_user{};
  std::chrono::microseconds cpu_system{};
  std::uint64_t memory = 0;  ///< bytes
  const AccessLookup* lookup = nullptr;
};

/// A compiled access.format. Tokens, modifiers and their output are those of php-fpm, with two
/// differences: in values (not in the format's own text) control characters, `"`, `\` and what is
/// no UTF-8 come out as \xNN, so that no request can forge a line or close a quote; and %C of a
/// request without duration is 0.00. The format `json` gives one object a line instead, with
/// "time" (of acceptance, ISO 8601), "pool", "pid", "request_id" (REQUEST_ID, else
/// HTTP_X_REQUEST_ID), "remote", "method", "uri", "query", "status", "bytes" (of the answer's
/// body), "duration" and "queue_wait" (seconds), "cpu" (percent, as %C), "memory" (bytes),
/// "script", "user", "end"; what is not known is null.
class AccessFormat {
 public:
  /// Writes one line, newline included, into `buffer`, which has 1 KiB or more. Allocates nothing.
  struct Line {
    std::size_t size = 0;    ///< 0: an empty line, which is not logged
    bool truncated = false;  ///< the buffer was too small; the line is cut (json: its strings are)
  };
  Line render(const AccessRecord& record, std::span<char> buffer) const;

  /// The format has %C: the CPU time of a request has to be taken.
  bool needs_cpu() const;

 private:
  friend struct AccessFormatCompiler;
  struct Token {
    char letter = 0;    // as in the format; 0: plain text
    std::string text;   // plain text, name or strftime format
    double factor = 1;  // of %d
    std::uint64_t unit = 1;
    bool user = true;  // of %C
    bool system = true;
  };
  bool json_ = false;
  std::vector<Token> tokens_;
};

/// A format, or why there is none: `error` is php-fpm's text, empty if all is well.
struct CompiledAccessFormat {
  AccessFormat format;
  std::string error;
};
CompiledAccessFormat compile_access_format(std::string_view text);

/// The error of compile_access_format() alone, "" for a good format.
std::string check_access_format(std::string_view text);

}  // namespace fpm::log
