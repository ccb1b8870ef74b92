// What a script prints to its stderr, on its way into the log as a worker's output.
#pragma once

#include <string_view>

#include "fpm/config/config.hpp"
#include "fpm/log/log.hpp"

namespace fpm::worker {

/// The lines of one worker's scripts, written by the worker itself, which knows the request that
/// they belong to: with catch_workers_output in php-fpm's form, into output_log where there is one,
/// and with log_format = json as they are, in a field of their own.
class ScriptOutput {
 public:
  explicit ScriptOutput(const config::Pool& pool);

  /// The log takes output in one of these ways. Else a handler tells it in lines about the request.
  bool wanted() const { return wanted_; }
  void feed(std::string_view bytes, std::string_view request_id);
  /// The request has ended: what has no newline is a line too.
  void end(std::string_view request_id);

 private:
  log::OutputLines::Emit emit(std::string_view request_id) const;

  const config::Pool& pool_;
  pid_t pid_;
  bool wanted_;
  log::OutputLines lines_;
};

}  // namespace fpm::worker
