#include "fpm/log/slow_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "fpm/log/line.hpp"
#include "fpm/log/text.hpp"

namespace fpm::log {

std::string late_line(const LateRequest& request, Lateness lateness) {
  const bool slow = lateness == Lateness::slow;
  const auto taken = request.taken.count();
  return fmt::format("child {}, script '{}' (request: \"{} {}{}{}\") {} ({}.{:06} sec), {}",
                     request.pid, printable(request.script), printable(request.method, 32),
                     printable(request.uri), request.query.empty() ? "" : "?",
                     printable(request.query, 256),
                     slow ? "executing too slow" : "execution timed out", taken / 1'000'000,
                     taken % 1'000'000, slow ? "logging" : "terminating");
}

std::string render_slow(const SlowEntry& entry, int depth) {
  Line line;
  append(line, "\n");
  append_time(line, false);
  fmt::format_to(std::back_inserter(line), " [pool {}] pid {}\nscript_filename = {}\n", entry.pool,
                 entry.pid, printable(entry.script));
  const auto most = static_cast<std::size_t>(std::max(depth, 0));
  for (const std::string& frame : entry.frames.first(std::min(most, entry.frames.size()))) {
    append(line, frame);
    append(line, "\n");
  }
  return std::string(line.data(), line.size());
}

}  // namespace fpm::log
