#include "fpm/worker/script_output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <iterator>
#include <string>

namespace fpm::worker {

namespace {

bool log_is_json() { return !log::output_decorated(true); }

/// Bytes that could talk to the terminal of whoever reads the log, as \xNN. php-fpm leaves them.
std::string without_controls(std::string_view bytes) {
  std::string clean;
  clean.reserve(bytes.size());
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    const bool control = (code < 0x20 && byte != '\n' && byte != '\t') || code == 0x7f;
    if (control) {
      fmt::format_to(std::back_inserter(clean), "\\x{:02x}", code);
    } else {
      clean.push_back(byte);
    }
  }
  return clean;
}

}  // namespace

ScriptOutput::ScriptOutput(const config::Pool& pool)
    : pool_(pool),
      pid_(::getpid()),
      wanted_(pool.catch_workers_output || !pool.output_log.empty() || log_is_json()),
      lines_(pid_, "stderr", log::output_decorated(pool.decorate_workers_output)) {}

log::OutputLines::Emit ScriptOutput::emit(std::string_view request_id) const {
  return [this, request_id](std::string_view text, log::OutputPart part) {
    log::write_output({.about = {.pool = pool_.name, .request_id = request_id, .pid = pid_},
                       .stream = "stderr",
                       .decorated = pool_.decorate_workers_output,
                       .source = this},
                      text, part);
  };
}

void ScriptOutput::feed(std::string_view bytes, std::string_view request_id) {
  // Undecorated and json lines are the application's own; json escapes by itself.
  std::string clean;
  if (log::output_decorated(pool_.decorate_workers_output)) {
    clean = without_controls(bytes);
    bytes = clean;
  }
  lines_.feed(bytes, log::output_room(pool_.name, pool_.decorate_workers_output),
              emit(request_id));
  if (log::output_unbuffered(pool_.name)) lines_.show(emit(request_id));
}

void ScriptOutput::end(std::string_view request_id) {
  lines_.flush(log::output_room(pool_.name, pool_.decorate_workers_output), emit(request_id));
}

}  // namespace fpm::worker
